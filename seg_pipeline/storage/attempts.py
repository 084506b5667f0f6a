"""Which pair a worker was at when it died: a note in the work directory before each decode.

No exception tells of a crash inside a decoder's C code: the process is gone, and without a note the same command would
die of the same file for ever. A note says only that a process died, and it may have been killed from outside. So who
finds one does not reject the pair, but has it decoded by a process of its own first (`imaging.trial`).

A note needs no `fsync`: what was written outlives the process that wrote it. It names the pair in its last line. In an
object store, where each note is a request, there is one for an attempt, and it names all of its pairs.
"""

import contextlib
import json
import os
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence

from seg_pipeline.storage import files

SUFFIX = '.attempt'


@contextlib.contextmanager
def noted(
    work_dir: str, fingerprint: str, keys: Sequence[str], suspects: Collection[str] = ()
) -> Iterator[Callable[[str], bool]]:
    """Keeps a note while the block runs; call what it yields with the key of each pair before its files are decoded.

    It returns whether an earlier attempt died at this pair, or may have. Notes have names of their own, so two attempts
    at once do not disturb each other: that of a living one costs a process. Notes of dead ones are removed when the
    block ends without an exception.

    Args:
        work_dir: the work directory.
        fingerprint: of the shard or batch, the first part of the note's name.
        keys: of all of its pairs.
        suspects: keys of pairs that are known to have ended a process.

    Raises:
        OSError: if the note cannot be written.
    """
    left = _left(work_dir, fingerprint)
    suspected = {*suspects, *(key for path in left for key in _last_keys(path))}
    path = os.path.join(work_dir, f'{fingerprint}.{uuid.uuid4().hex}{SUFFIX}')
    try:
        if files.has_directories(work_dir):
            os.makedirs(work_dir, exist_ok=True)
            with open(path, 'xb', buffering=0) as file:

                def note(key: str) -> bool:
                    file.write(_line([key]))
                    return key in suspected

                yield note
        else:
            files.write(path, _line(keys))
            yield suspected.__contains__
    finally:
        files.remove(path)
    for path in left:
        files.remove(path)


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


def _left(work_dir: str, fingerprint: str) -> list[str]:
    """The notes of other attempts at the same work."""
    return [path for path in _notes(work_dir) if os.path.basename(path).startswith(fingerprint)]


def _line(keys: Sequence[str]) -> bytes:
    return json.dumps(list(keys)).encode() + b'\n'


def _last_keys(path: str) -> list[str]:
    try:
        lines = files.read_bytes(path).splitlines()
        keys: list[str] = json.loads(lines[-1]) if lines else []
    except (OSError, ValueError):  # its attempt ended meanwhile, or was killed within a line
        return []
    return keys
