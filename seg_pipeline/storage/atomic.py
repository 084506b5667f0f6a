"""Files of this disk that appear as a whole or not at all, even after a power cut: write beside, sync, rename."""

import contextlib
import fcntl
import os
import time
import uuid
from collections.abc import Iterator
from typing import IO

TEMPORARY_SUFFIX = '.tmp'
_ATTEMPTS = 10
_YOUNG_SECONDS = 60  # a file of this age may belong to a writer that has not locked it yet


@contextlib.contextmanager
def replacing(path: str) -> Iterator[IO[bytes]]:
    """Opens a temporary file that takes the place of `path` when the block ends without an exception.

    The temporary name is unique, so that two writers of one path never meet; the last to finish wins. The file is
    locked while it is written, so that `remove_abandoned` can tell a dead writer's file from a living one's.

    Raises:
        OSError: if the file cannot be written; `path` is then as it was.
    """
    temporary = f'{path}.{uuid.uuid4().hex}{TEMPORARY_SUFFIX}'
    file = _create(temporary)
    try:
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file
            file.flush()
            os.fsync(file.fileno())
            os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    sync_directory(os.path.dirname(path))


def _create(path: str) -> IO[bytes]:
    """Creates a file and its directory; another process may remove the empty directory in between."""
    for attempt in range(_ATTEMPTS):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        try:
            return open(path, 'xb')
        except FileNotFoundError:
            if attempt == _ATTEMPTS - 1:
                raise
    raise AssertionError('unreachable')


def write(path: str, data: bytes) -> None:
    """Writes a small file through `replacing`."""
    with replacing(path) as file:
        file.write(data)


def sync_directory(path: str) -> None:
    """Makes the names in a directory survive a power cut."""
    descriptor = os.open(path or '.', os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_abandoned(directory: str, young_seconds: float = _YOUNG_SECONDS) -> None:
    """Removes temporary files whose writers are gone, and which are not younger than `young_seconds`."""
    for entry in list(os.scandir(directory)):
        if not entry.name.endswith(TEMPORARY_SUFFIX):
            continue
        with contextlib.suppress(OSError), open(entry.path, 'rb') as file:
            if time.time() - os.fstat(file.fileno()).st_mtime < young_seconds:
                continue
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # BlockingIOError: somebody is still writing it
            os.unlink(entry.path)
