"""The directory of a command for its workers: they live as long as it does, and it as long as the command.

The command holds a lock (flock) on it, which the kernel drops when the command is killed. Whoever gets the lock then,
a worker or a later command, knows that the directory is of no use, and removes it.
"""

import contextlib
import fcntl
import os
import pathlib
import shutil
import signal
from collections.abc import Iterator

PREFIX = 'workers-'


def make(directory: str) -> int:
    """Makes the directory and locks it.

    Returns:
        The descriptor that has the lock; closing it, or the end of the process, drops it.

    Raises:
        OSError: if it cannot be made.
    """
    while True:
        os.mkdir(directory, 0o700)
        descriptor = None
        # Another command may take it for abandoned before it is locked: then it is made again.
        with contextlib.suppress(FileNotFoundError):
            descriptor = os.open(directory, os.O_RDONLY)
            with contextlib.suppress(OSError):  # a file system without locks: nobody else gets one either
                fcntl.flock(descriptor, fcntl.LOCK_SH)
            if os.path.samestat(os.fstat(descriptor), os.stat(directory)):
                return descriptor
        if descriptor is not None:
            os.close(descriptor)


def is_gone(directory: str) -> bool:
    """Whether the directory is not there, or the command that made it has ended: then it is removed."""
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return True
    except OSError:  # it may still be in use: too many open files, no permission
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Under the lock: the command that has just made it waits, and sees that it is gone.
        shutil.rmtree(directory, ignore_errors=True)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def kill_processes(directory: str) -> None:
    """Kills the workers of a directory: for those in which a decoder keeps the interpreter's lock, and so all threads.

    They have the directory as an argument. Nothing is killed where there is no /proc.
    """
    for path in pathlib.Path('/proc').glob('[0-9]*/cmdline'):
        with contextlib.suppress(OSError):
            if os.fsencode(directory) in path.read_bytes().split(b'\0'):
                os.kill(int(path.parent.name), signal.SIGKILL)


def remove_abandoned(parent: str) -> None:
    """Removes the directories that killed commands of this user left."""
    for path in _own(parent):
        is_gone(path)


def _own(parent: str) -> Iterator[str]:
    with contextlib.suppress(OSError), os.scandir(parent) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                is_ours = entry.name.startswith(PREFIX) and entry.is_dir(follow_symlinks=False)
                if is_ours and entry.stat(follow_symlinks=False).st_uid == os.geteuid():
                    yield entry.path
