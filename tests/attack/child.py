"""The process that attacks: runs the cases of one target one by one, until their number or its time is over.

    python -m tests.attack.child TARGET SEED FIRST END SECONDS DIRECTORY

Before each case it notes the case's number in DIRECTORY/TARGET/current, so that `supervisor` knows at which one it died
or hangs. It prints counts and escapes as lines of JSON.
"""

import hashlib
import json
import mmap
import os
import pathlib
import struct
import sys
import time
import traceback
from collections import Counter

from tests.attack import registry
from tests.attack.target import Target, random_of

CURRENT = 'current'
STARTED = struct.Struct('<qd')  # the number of the case, and when it began by `time.monotonic`
MOST_MEGABYTES = 200  # of one case, beyond what the process had before
_FLUSH_SECONDS = 0.25


def saved(directory: pathlib.Path, name: str, data: bytes) -> str:
    """Writes the bytes of a case where they can be tried again, and returns the path."""
    folder = directory / 'escapes'
    folder.mkdir(exist_ok=True)
    path = folder / f'{name}-{hashlib.sha256(data).hexdigest()[:12]}'
    path.write_bytes(data)
    return str(path)


def _peak_megabytes() -> float:
    """Not `ru_maxrss`, which a process inherits from its parent: one that tests big networks has gigabytes."""
    text = pathlib.Path('/proc/self/status').read_text()
    return int(text.partition('VmHWM:')[2].split(maxsplit=1)[0]) / 1024


class _Run:
    def __init__(self, target: Target, seed: int, directory: pathlib.Path) -> None:
        self._target, self._seed, self._directory = target, seed, directory
        self._counts: Counter[str] = Counter()
        self._flushed = time.monotonic()
        self._peak = _peak_megabytes()

    def case(self, index: int) -> bool:
        """Runs one case; False if the process should end, since its peak of memory is no measure any more."""
        data = self._target.case(random_of(self._target.name, self._seed, index))
        try:
            self._counts[self._target.check(data)] += 1
        except Exception as error:  # whatever is not documented
            where = traceback.extract_tb(error.__traceback__)[-1]
            place = f'{pathlib.Path(where.filename).name}:{where.lineno}'
            self._escape(index, data, f'{type(error).__name__} at {place}: {ascii(str(error))[1:-1][:200]}')
        before, self._peak = self._peak, _peak_megabytes()
        if (grown := self._peak - before) > MOST_MEGABYTES:
            self._escape(index, data, f'took {grown:.0f} MB')
            return False
        if time.monotonic() > self._flushed + _FLUSH_SECONDS:
            self.flush(index + 1)
        return True

    def _escape(self, index: int, data: bytes, what: str) -> None:
        path = saved(self._directory, self._target.name, data)
        _say({'escape': what, 'seed': self._seed, 'index': index, 'file': path})

    def flush(self, following: int) -> None:
        _say({'counts': self._counts, 'next': following})
        self._counts.clear()
        self._flushed = time.monotonic()


def _say(line: dict[str, object]) -> None:
    print(json.dumps(line), flush=True)


def main(name: str, seed: int, first: int, end: int, seconds: float, directory: pathlib.Path) -> None:
    folder = directory / name
    folder.mkdir(exist_ok=True)
    target = registry.ALL[name](folder)
    note = os.open(folder / CURRENT, os.O_RDWR | os.O_CREAT)
    os.ftruncate(note, STARTED.size)
    run, index = _Run(target, seed, directory), first
    _say({'ready': True})
    deadline = time.monotonic() + seconds
    with mmap.mmap(note, STARTED.size) as current:
        go_on = True
        while go_on and index < end and time.monotonic() < deadline:
            STARTED.pack_into(current, 0, index, time.monotonic())
            go_on = run.case(index)
            index += 1
        STARTED.pack_into(current, 0, -1, 0.0)
    run.flush(index)


if __name__ == '__main__':
    main(sys.argv[1], *map(int, sys.argv[2:5]), float(sys.argv[5]), pathlib.Path(sys.argv[6]))
