"""One process trains a run at a time: two would mix their checkpoints.

The lock is the kernel's, on a file of the run directory, so it ends with its process, however that ends. The file says
who holds it, for the message of whoever comes second.
"""

import contextlib
import fcntl
import json
import os
import socket
from collections.abc import Iterator

from seg_pipeline import errors, storage
from trainer import config


@contextlib.contextmanager
def held(model_dir: str) -> Iterator[None]:
    """Holds the lock of a run while the block runs; makes the directory if it is missing.

    Raises:
        UserError: another process holds it; names its number and host.
        OutsideError: no space.
    """
    with storage.writing(model_dir):
        os.makedirs(model_dir, exist_ok=True)
    # Not 'w': the holder's name stands in it.
    with storage.writing(model_dir), open(os.path.join(model_dir, config.LOCK_FILE), 'a+b') as file:
        _lock(file.fileno(), model_dir)
        file.truncate(0)
        file.write(json.dumps({'pid': os.getpid(), 'host': socket.gethostname()}).encode())
        file.flush()
        yield


def check(model_dir: str) -> None:
    """Raises `UserError` if a process trains the run now: to be told before TensorFlow is loaded."""
    with contextlib.suppress(OSError), open(os.path.join(model_dir, config.LOCK_FILE), 'rb') as file:
        _lock(file.fileno(), model_dir)


def _lock(descriptor: int, model_dir: str) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise errors.UserError(
            f'--model_dir={model_dir}: {_holder(model_dir)} trains this run; wait for it, or choose another directory'
        ) from error


def _holder(model_dir: str) -> str:
    try:
        with open(os.path.join(model_dir, config.LOCK_FILE), 'rb') as file:
            holder = json.load(file)
        return f'process {int(holder["pid"])} on {str(holder["host"])[:255]}'
    except (OSError, ValueError, TypeError, KeyError):  # it has just taken the lock and not written yet
        return 'another process'
