"""Starts the processes that attack, and pins a crash or a hang of one on the case it was at."""

import dataclasses
import json
import pathlib
import selectors
import signal
import subprocess
import sys
import time
from collections import Counter

from tests.attack import child, registry
from tests.attack.target import ACCEPTED, random_of

START_SECONDS = 120.0  # to import everything, on a machine that has other work too
_ROOT = pathlib.Path(__file__).parents[2]


@dataclasses.dataclass
class Tally:
    """What became of the cases of one target.

    Attributes:
        target: its name.
        seed: what all cases follow from.
        following: the number of the first case that has not been run.
        counts: how many cases had each outcome.
        escapes: what is wrong, each with the number of its case and a file that has its bytes.
    """

    target: str
    seed: int
    following: int = 0
    counts: Counter[str] = dataclasses.field(default_factory=Counter)
    escapes: list[dict[str, object]] = dataclasses.field(default_factory=list)

    @property
    def cases(self) -> int:
        """How many were run; `counts` lacks those of the last moment before a process died."""
        return self.following

    @property
    def accepted(self) -> int:
        return sum(count for outcome, count in self.counts.items() if outcome.startswith(ACCEPTED))

    def add(self, line: dict[str, object]) -> None:
        """Adds what a process printed."""
        if 'counts' in line:
            self.counts.update(line['counts'])
            self.following = int(str(line['next']))
        elif 'escape' in line:
            self.escapes.append(line)
            self.following = int(str(line['index'])) + 1


def attack(tally: Tally, seconds: float, directory: pathlib.Path, hang_seconds: float, end: int = sys.maxsize) -> None:
    """Runs cases of one target for a while, and adds what became of them.

    Args:
        tally: where to begin, and what is changed.
        seconds: for how long, without the starts of processes.
        directory: where everything is kept.
        hang_seconds: a case that takes longer is an escape.
        end: the number of the first case that is not run, even if time is left.
    """
    left = seconds
    while left > 0 and tally.following < end:
        started = time.monotonic()
        left -= _one_process(tally, end, left, directory, hang_seconds)
        if time.monotonic() - started > START_SECONDS + seconds + hang_seconds:
            break


def _one_process(tally: Tally, end: int, seconds: float, directory: pathlib.Path, hang_seconds: float) -> float:
    """Runs one process to its end or to the case that ends it; returns the seconds that it attacked."""
    arguments = [tally.target, str(tally.seed), str(tally.following), str(end), str(seconds), str(directory)]
    log = (directory / f'{tally.target}.stderr').open('ab')
    with (
        log,
        subprocess.Popen(
            [sys.executable, '-m', 'tests.attack.child', *arguments], cwd=_ROOT, stdout=subprocess.PIPE, stderr=log
        ) as process,
    ):
        started, ended = _follow(tally, process, directory, hang_seconds)
        code = process.wait()
    if code != 0:
        _pin(tally, directory, ended, code)
    return max(time.monotonic() - started, 0.1)


def _follow(
    tally: Tally, process: subprocess.Popen[bytes], directory: pathlib.Path, hang_seconds: float
) -> tuple[float, str]:
    """Reads what a process prints until it ends; kills it if a case takes too long, and says so."""
    assert process.stdout is not None
    began, is_ready = time.monotonic(), False
    selector = selectors.DefaultSelector()
    selector.register(process.stdout, selectors.EVENT_READ)
    while True:
        if selector.select(timeout=0.5):
            text = process.stdout.readline()
            if not text:
                return began, ''
            line = json.loads(text)
            if 'ready' in line:
                began, is_ready = time.monotonic(), True
            tally.add(line)
        elif is_ready and _age(directory, tally.target) > hang_seconds:
            process.kill()
            return began, f'took more than {hang_seconds:g} s'
        elif not is_ready and time.monotonic() > began + START_SECONDS:
            process.kill()
            return began, 'did not start'


def _current(directory: pathlib.Path, target: str) -> tuple[int, float]:
    """The number of the case that a process is at, and when that began; -1 between cases."""
    try:
        number, started = child.STARTED.unpack((directory / target / child.CURRENT).read_bytes())
    except (OSError, ValueError, child.struct.error):
        return -1, 0.0
    return int(number), float(started)


def _age(directory: pathlib.Path, target: str) -> float:
    number, started = _current(directory, target)
    return time.monotonic() - started if number >= 0 else 0.0


def _pin(tally: Tally, directory: pathlib.Path, said: str, code: int) -> None:
    number, _ = _current(directory, tally.target)
    if number < tally.following:  # before its first case
        text = (directory / f'{tally.target}.stderr').read_text(errors='replace').strip()
        raise RuntimeError(f'{tally.target}: the process ended with exit code {code}: {text[-2000:]}')
    what = said or (f'killed by {signal.Signals(-code).name}' if code < 0 else f'ended with exit code {code}')
    # The bytes are made again: they follow from target, seed and number.
    target = registry.ALL[tally.target](directory / tally.target)
    path = child.saved(directory, tally.target, target.case(random_of(tally.target, tally.seed, number)))
    tally.add({'escape': what, 'seed': tally.seed, 'index': number, 'file': path})


def prepare(directory: pathlib.Path) -> None:
    """Makes what the targets need once for all of them; in a process of its own, which imports TensorFlow."""
    from tests.attack import datasets

    made = directory / datasets.DATA_SETS
    if not made.exists():
        code = f'import pathlib; from tests.attack import datasets; datasets.make(pathlib.Path({str(made)!r}))'
        subprocess.run([sys.executable, '-c', code], cwd=_ROOT, check=True, stdout=subprocess.DEVNULL)
