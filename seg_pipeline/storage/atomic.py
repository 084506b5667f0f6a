"""Atomic writes on the local file system: a file appears complete or not at all, even after a power cut.

Four steps, each of which is needed. The contents go to a temporary file in the same directory, because a rename is
atomic within one file system only. `fsync` brings them to the disk before the rename, because a file system may write
the new name first: after a power cut the name would stand for an empty file. The rename replaces the old file in one
step. `fsync` of the directory, at last, makes the new name itself survive: a caller who goes on to delete what the file
was made from may rely on it.
"""

import contextlib
import fcntl
import os
import re
import time
import uuid
from collections.abc import Iterator
from typing import IO

TEMPORARY_SUFFIX = '.tmp'
TEMPORARY_NAME = re.compile(r'.+\.[0-9a-f]{32}\.tmp')  # in a directory that may have other files of that suffix
_ANY_TEMPORARY = re.compile(r'.*\.tmp', re.DOTALL)
_ATTEMPTS = 10
_YOUNG_SECONDS = 60  # a younger file may belong to a writer that has created it and not locked it yet


@contextlib.contextmanager
def replacing(path: str) -> Iterator[IO[bytes]]:
    """Opens a temporary file that replaces `path` when the block ends without an exception.

    Its directory is made if it is missing. The temporary name is unique, so two writers of one path do not disturb each
    other; the last to finish wins. The writer holds a lock on the temporary file, which the kernel releases when the
    process ends in any way; so `remove_abandoned` can tell the files of killed writers from those in use.

    Raises:
        OSError: if the file cannot be written; `path` is then as it was. Only if the last step fails, the `fsync` of
            the directory, `path` already has the new contents.
    """
    temporary = f'{path}.{uuid.uuid4().hex}{TEMPORARY_SUFFIX}'
    try:  # the creation in it: a signal can end the block at any line
        with _create(temporary) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file
            file.flush()
            os.fsync(file.fileno())
            os.replace(temporary, path)  # still locked: `remove_abandoned` could delete it in between
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    sync_directory(os.path.dirname(path))


def _create(path: str) -> IO[bytes]:
    """Creates a file and its directory. Tries again if another process removes the still empty directory in between."""
    for _ in range(_ATTEMPTS):
        os.makedirs(os.path.dirname(path) or '.', exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            return open(path, 'xb')
    return open(path, 'xb')


def write(path: str, data: bytes) -> None:
    """Writes a small file through `replacing`."""
    with replacing(path) as file:
        file.write(data)


def create(path: str, data: bytes) -> bool:
    """Writes a small file, complete or not at all, unless there is one of that name; whether it did."""
    temporary = f'{path}.{uuid.uuid4().hex}{TEMPORARY_SUFFIX}'
    try:
        write(temporary, data)
        os.link(temporary, path)  # unlike a rename, it never replaces
    except FileExistsError:
        return False
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
    sync_directory(os.path.dirname(path))
    return True


def sync_directory(path: str) -> None:
    """Makes the names in a directory, as they are now, survive a power cut."""
    descriptor = os.open(path or '.', os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_abandoned(
    directory: str, young_seconds: float = _YOUNG_SECONDS, pattern: re.Pattern[str] = _ANY_TEMPORARY
) -> None:
    """Removes the temporary files in a directory whose writers ended without removing them.

    Args:
        directory: it is not searched below.
        young_seconds: files that changed this recently are left, see `_YOUNG_SECONDS`.
        pattern: of the names to look at.
    """
    for entry in list(os.scandir(directory)):
        if not pattern.fullmatch(entry.name):
            continue
        with contextlib.suppress(OSError), open(entry.path, 'rb') as file:
            if time.time() - os.fstat(file.fileno()).st_mtime < young_seconds:
                continue
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # raises BlockingIOError while its writer holds the lock
            # If the writer finished just before, the file has its final name, and there is nothing of this name to
            # remove: temporary names are never used again.
            os.unlink(entry.path)
