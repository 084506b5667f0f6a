"""The work directory of a data set: who is at work there, what others left, and its removal.

Every command holds a shared lock on the directory while it lives, and the kernel drops the lock of one that was killed.
Whoever gets the exclusive lock is alone, and may remove what nobody needs.

An object store has neither directories nor locks: there, nothing is half-written, and only --clean removes anything.
"""

import contextlib
import fcntl
import os
import shutil
import uuid
from collections.abc import Collection, Iterator

from seg_pipeline import errors, storage
from seg_pipeline.storage import atomic

STAGING_PREFIX = 'publish-'


@contextlib.contextmanager
def held(directory: str) -> Iterator[None]:
    """Makes the directory, makes sure that it can be written, and holds it while the block runs.

    Before and afterwards, what killed commands left half-written is removed if no other command is at work there;
    afterwards, the directory too if it is empty.

    Raises:
        UserError: if it cannot be written.
    """
    if not storage.has_directories(directory):
        with storage.writing(directory):
            _probe(directory)
        yield
        return
    with storage.writing(directory):
        tidy(directory)
        descriptor = _open_locked(directory)
        try:
            _probe(directory)
        except OSError:
            os.close(descriptor)
            tidy(directory)
            raise
    try:
        yield
    finally:
        os.close(descriptor)
        tidy(directory)


def _open_locked(directory: str) -> int:
    """Opens the directory under a shared lock; one that is being removed at this moment is made again."""
    while True:
        os.makedirs(directory, exist_ok=True)
        try:
            descriptor = os.open(directory, os.O_RDONLY)
        except FileNotFoundError:
            continue
        _lock(descriptor, fcntl.LOCK_SH)
        if _is_at(descriptor, directory):
            return descriptor
        os.close(descriptor)


def _lock(descriptor: int, kind: int) -> bool:
    """Whether the lock was had; on a file system without locks, nobody has one."""
    try:
        fcntl.flock(descriptor, kind)
    except OSError:
        return False
    return True


def _is_at(descriptor: int, directory: str) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(directory))
    except FileNotFoundError:
        return False


def _probe(directory: str) -> None:
    path = os.path.join(directory, f'probe-{uuid.uuid4().hex}')
    try:
        storage.write(path, b'x')
    except OSError as error:  # the user knows the directory, not the probe
        raise OSError(error.errno, error.strerror, directory) from error
    finally:
        storage.remove(path)


@contextlib.contextmanager
def _alone(directory: str) -> Iterator[bool]:
    """Whether no command is at work in the directory; none can begin while the block runs.

    An object store tells nobody: there, whoever asks is taken to be alone.
    """
    if not storage.has_directories(directory):
        yield True
        return
    try:
        descriptor = os.open(directory, os.O_RDONLY)
    except OSError:
        yield False
        return
    try:
        yield _lock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB) and _is_at(descriptor, directory)
    finally:
        os.close(descriptor)


def tidy(directory: str) -> None:
    """Removes what nobody will ever read, and the directory if that leaves it empty; nothing while others are there."""
    if not storage.has_directories(directory):
        return
    with _alone(directory) as alone, contextlib.suppress(OSError):
        if not alone:
            return
        atomic.remove_abandoned(directory, young_seconds=0)
        for entry in list(os.scandir(directory)):
            if entry.name.startswith(STAGING_PREFIX):
                shutil.rmtree(entry.path, ignore_errors=True)
        os.rmdir(directory)  # fails, rightly, while there is work in it


def foreign(directory: str, own: Collection[str]) -> list[str]:
    """The files of a work directory that belong to none of the given fingerprints: what other commands left or make."""
    try:
        names = storage.names(directory)
    except OSError:
        return []
    return [f'{directory}/{name}' for name in names if '/' not in name and name.partition('.')[0] not in own]


def num_bytes(paths: Collection[str]) -> int:
    """The bytes of all files together; what has gone counts nothing."""
    total = 0
    for path in paths:
        with contextlib.suppress(OSError):
            total += storage.num_bytes(path)
    return total


def clean(directory: str, own: Collection[str] = ()) -> None:
    """Removes the work of other fingerprints; call it outside of `held`.

    Raises:
        UserError: if a command is at work there.
    """
    with _alone(directory) as alone:
        if not alone and storage.exists(directory):
            raise errors.UserError(f'--clean: {directory}: another command is at work there; wait for its end')
        for path in foreign(directory, own):
            storage.remove(path)
    tidy(directory)
