"""The work directory of a data set: which commands are at work there, what others left, and its removal.

Every command holds a shared lock (flock) on the directory while it runs, and the kernel drops the lock of one that was
killed: no lock file can be left behind. A command that gets the exclusive lock is alone, and may remove what no command
needs.

An object store has neither directories nor locks: there, nothing is half-written, and only --clean removes anything.
"""

import contextlib
import fcntl
import os
import shutil
import uuid
from collections.abc import Collection, Iterator

from seg_pipeline import errors, storage
from seg_pipeline.building import markers
from seg_pipeline.planning import plan_files
from seg_pipeline.storage import atomic

STAGING_PREFIX = 'publish-'


@contextlib.contextmanager
def locked(directory: str) -> Iterator[None]:
    """Makes the directory, makes sure that it can be written, and locks it while the block runs.

    Before and afterwards, what killed commands left unfinished is removed if no other command is at work there;
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
        remove_stale(directory)
        descriptor = _open_locked(directory)
        try:
            _probe(directory)
        except OSError:
            os.close(descriptor)
            remove_stale(directory)
            raise
    try:
        yield
    finally:
        os.close(descriptor)
        remove_stale(directory)


def _open_locked(directory: str) -> int:
    """Opens the directory under a shared lock; one that is being removed at this moment is made again.

    Between the opening and the lock another command may remove the directory: the lock is then on a directory without
    a name, which is found out by comparing it with the one that has the name now.
    """
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
    """Takes a lock; whether that was possible. A file system without locks gives none."""
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

    An object store has no locks: there, every command is taken to be alone, and removes only what --clean asks for.
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


def remove_stale(directory: str) -> None:
    """Removes what no command will read, and the directory if it is empty then; nothing while another is at work."""
    if not storage.has_directories(directory):
        return
    with _alone(directory) as alone, contextlib.suppress(OSError):
        if not alone:
            return
        atomic.remove_abandoned(directory, young_seconds=0)
        for entry in list(os.scandir(directory)):
            is_dead_plan = entry.name.startswith(plan_files.PREFIX) and not plan_files.is_living(entry.path)
            if entry.name.startswith(STAGING_PREFIX) or is_dead_plan:
                shutil.rmtree(entry.path, ignore_errors=True)
            elif entry.name.endswith(markers.OUTCOME_SUFFIX):  # of a command that was killed before it read it
                storage.remove(entry.path)
        os.rmdir(directory)  # fails, rightly, while there is work in it


def unowned(directory: str, own: Collection[str]) -> list[str]:
    """The files of a work directory that belong to none of some fingerprints and plans: of other commands."""
    try:
        names = storage.names(directory)
    except OSError:
        return []
    kept = {*own, STAGING_PREFIX}
    return [f'{directory}/{name}' for name in names if _owner(name) not in kept]


def _owner(name: str) -> str:
    """What a file of a work directory belongs to: a fingerprint, a plan, or a publication under way."""
    first, _, rest = name.partition('/')
    if not rest:
        return first.partition('.')[0]
    return first if first.startswith(plan_files.PREFIX) else STAGING_PREFIX


def num_bytes(paths: Collection[str]) -> int:
    """The bytes of all files together; one that was removed meanwhile counts as empty."""
    total = 0
    for path in paths:
        with contextlib.suppress(OSError):
            total += storage.num_bytes(path)
    return total


def clean(directory: str, own: Collection[str] = ()) -> None:
    """Removes the work of other fingerprints; call it outside `locked`, whose lock would be in the way.

    Raises:
        UserError: if a command is at work there.
    """
    with _alone(directory) as alone:
        if not alone and storage.exists(directory):
            raise errors.UserError(f'--clean: {directory}: another command is at work there; wait for its end')
        for path in unowned(directory, own):
            storage.remove(path)
    remove_stale(directory)
