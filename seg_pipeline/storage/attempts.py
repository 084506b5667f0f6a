"""Which pair a process was at when it died: a note in the work directory before each pair.

No exception tells of a crash inside a decoder's C code: the process is gone, and without a note the same command would
die of the same file for ever. A note says only that a process died, and it may have been killed from outside. So who
finds one does not reject the pair, but has it read by a process of its own first (`seg_pipeline.trial`).

Who ends a process from outside has its notes withdrawn, but not those of a pair that it was at for long: maybe that is
why it was ended.

A note needs no `fsync`: what was written outlives the process that wrote it. Each line of it names a pair, the last one
that which was at work. The ones before are suspect too: memory that one pair spoils may end the process at the next,
and a signal may reach it later than the line that caused it. Its writer holds a lock (flock) on it, which the kernel
drops with the process: so the note of a living process is told from that of a dead one.

In an object store, where each note is a request and nothing is locked, there is one for an attempt, and its only line
names all of its pairs. So it matters that it is withdrawn: else each of them is tried alone.
"""

import atexit
import contextlib
import fcntl
import json
import math
import os
import threading
import time
import uuid
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from typing import IO, NamedTuple

from seg_pipeline.storage import files

SUFFIX = '.attempt'
_MOST_SECONDS = 1.0  # that `withdraw` waits for another thread
_SUSPECTED = 5  # the last pairs of a note; up to four were seen to be begun after a signal was sent
_LONG_SECONDS = 30.0  # a pair that is at work for longer may be what keeps the process; most take some milliseconds

_open: dict[str, float] = {}  # the notes of this process, and when the last pair of each was begun
_making = threading.Lock()  # held while a note is made, and for ever by `withdraw`


class _Note(NamedTuple):
    """What a note of a dead process, or in an object store of any, says.

    Attributes:
        path: of the note.
        fingerprint: of the work.
        lines: the last ones; the keys of each.
    """

    path: str
    fingerprint: str
    lines: tuple[tuple[str, ...], ...]

    @property
    def keys(self) -> set[str]:
        """All that are suspect."""
        return {key for line in self.lines for key in line}


class Attempt:
    """What is known of the pairs of some work before it begins; call it with the key of each pair before its files are.

    Args:
        earlier: the notes of dead processes, of any work.
        fingerprint: of this work.
        suspects: keys of further pairs that are known to have ended a process.
        path: the note of this attempt.
        file: the same, if it is one that names each pair.
    """

    def __init__(
        self, earlier: Sequence[_Note], fingerprint: str, suspects: Collection[str], path: str, file: IO[bytes] | None
    ) -> None:
        own = [note for note in earlier if note.fingerprint == fingerprint]
        self._own = own
        self._suspects = {*suspects, *(key for note in earlier for key in note.keys)}
        self._deaths = Counter(note.lines[-1][0] for note in own if note.lines and len(note.lines[-1]) == 1)
        self._kept: set[str] = set()
        self._path, self._file = path, file

    def __call__(self, key: str) -> bool:
        """Notes that a pair is next; whether an earlier attempt died at it, or may have."""
        if self._file is not None:
            self._file.write(_line([key]))
        _open[self._path] = time.monotonic()
        return key in self._suspects

    def num_deaths(self, key: str) -> int:
        """How many processes died while they were at the pair, in this very work, which includes its files."""
        return self._deaths[key]

    def keep(self, key: str) -> None:
        """Lets the notes of a pair stay, because it does end a process: for later passes over the pairs."""
        self._kept.add(key)

    def finished(self) -> list[str]:
        """The notes that nobody needs when the work is done."""
        return [note.path for note in self._own if self._kept.isdisjoint(note.keys)]


@contextlib.contextmanager
def noted(work_dir: str, fingerprint: str, keys: Sequence[str], suspects: Collection[str] = ()) -> Iterator[Attempt]:
    """Keeps a note while the block runs.

    Notes have names of their own, so two attempts at once do not disturb each other. Notes of dead ones are removed
    when the block ends without an exception, but for those of pairs that `Attempt.keep` names. Its own note is removed
    in any case, but for an interrupt at a pair that takes long.

    Args:
        work_dir: the work directory.
        fingerprint: of the shard or batch, the first part of the note's name.
        keys: of all of its pairs.
        suspects: keys of pairs that are known to have ended a process.

    Raises:
        OSError: if the note cannot be written.
    """
    earlier, is_left = _dead(work_dir), False
    path = os.path.join(work_dir, f'{fingerprint}.{uuid.uuid4().hex}{SUFFIX}')
    try:
        file = _make(path, keys)
        with file or contextlib.nullcontext():
            attempt = Attempt(earlier, fingerprint, suspects, path, file)
            yield attempt
    except KeyboardInterrupt:
        is_left = _is_long(path)
        raise
    finally:
        if not is_left:
            files.remove(path)
        _open.pop(path, None)
    for left in attempt.finished():
        files.remove(left)


def _make(path: str, keys: Sequence[str]) -> IO[bytes] | None:
    """Makes an empty note and opens and locks it; in an object store, one of all pairs."""
    is_local = files.has_directories(path)
    if is_local:
        os.makedirs(os.path.dirname(path), exist_ok=True)
    with _making:
        _open[path] = time.monotonic()
        if not is_local:
            files.write(path, _line(keys))
            return None
        file = open(path, 'xb', buffering=0)  # noqa: SIM115 (closed by the caller)
    with contextlib.suppress(OSError):  # a file system without locks
        fcntl.flock(file, fcntl.LOCK_EX)
    return file


def withdraw() -> None:
    """Removes the notes of this process, which is about to be ended from outside: that says nothing about a pair.

    But for those of pairs that were at work for long. Afterwards a thread that wants to make another waits for the end
    of the process.
    """
    # Making a note takes no time, in a store one request: if this takes longer, another thread is in here.
    _making.acquire(timeout=_MOST_SECONDS)
    for path in list(_open):
        if not _is_long(path):
            with contextlib.suppress(OSError):
                files.remove(path)


def _is_long(path: str) -> bool:
    """Whether the last pair of a note of this process, if there is one, was begun long ago."""
    return time.monotonic() - _open.get(path, math.inf) > _LONG_SECONDS


# A command that a signal ends goes through these functions and waits for no thread: one may be at a pair.
atexit.register(withdraw)


def last_keys(work_dir: str, fingerprints: Collection[str]) -> list[tuple[str, tuple[str, ...]]]:
    """At which pairs processes died that were at some work.

    Args:
        work_dir: the work directory.
        fingerprints: of the work.

    Returns:
        For each note, ordered by its name, the fingerprint and the key; in an object store, all keys of the work.
    """
    return [(note.fingerprint, note.lines[-1]) for note in _dead(work_dir) if note.fingerprint in fingerprints]


def num_done(work_dir: str, fingerprints: Collection[str]) -> dict[str, int]:
    """How many pairs living attempts at some work have behind them; of two at the same, the one that is further.

    Args:
        work_dir: the work directory.
        fingerprints: of the work.

    Returns:
        Counts by fingerprint, of work that is at some pair now. In an object store, whose notes name all pairs at once
        and whose attempts nobody sees living, there are none.
    """
    found: dict[str, int] = {}
    if not files.has_directories(work_dir):  # a listing for nothing would be a request
        return found
    for path in _notes(work_dir):
        fingerprint = os.path.basename(path).rsplit('.', 2)[0]
        if fingerprint in fingerprints and _is_living(path):
            with contextlib.suppress(OSError):  # its attempt ended meanwhile
                begun = files.read_bytes(path).count(b'\n')
                found[fingerprint] = max(found.get(fingerprint, 0), begun - 1)
    return found


def forget(work_dir: str, fingerprints: Collection[str]) -> None:
    """Removes the notes that are left of attempts at work that is finished; other attempts may have made it."""
    for path in _notes(work_dir):
        if os.path.basename(path).partition('.')[0] in fingerprints:
            files.remove(path)


def _notes(work_dir: str) -> list[str]:
    try:
        names = files.names(work_dir)
    except OSError:
        return []
    return [f'{work_dir}/{name}' for name in names if name.endswith(SUFFIX)]


def _dead(work_dir: str) -> list[_Note]:
    """The notes that name pairs and whose writers are dead, as far as the file system tells."""
    found = []
    for path in _notes(work_dir):
        lines = () if _is_living(path) else _read(path)
        if lines:
            found.append(_Note(path, os.path.basename(path).rsplit('.', 2)[0], lines))
    return found


def _is_living(path: str) -> bool:
    if not files.has_directories(path):
        return False
    try:
        with open(path, 'rb') as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # no locks there, or its attempt ended meanwhile
        return False
    return False


def _line(keys: Sequence[str]) -> bytes:
    return json.dumps(list(keys)).encode() + b'\n'


def _read(path: str) -> tuple[tuple[str, ...], ...]:
    """The last lines of a note; one that was being written when its attempt was killed is left out."""
    lines: list[tuple[str, ...]] = []
    with contextlib.suppress(OSError):  # its attempt ended meanwhile
        for line in files.read_bytes(path).splitlines()[-_SUSPECTED:]:
            with contextlib.suppress(ValueError):
                lines.append(tuple(json.loads(line)))
    return tuple(line for line in lines if line)
