"""What a run directory holds, and which directories a command can write."""

import os
import re
import stat

from seg_pipeline import errors, storage

CONFIG_FILE = 'config.json'
LATEST_DIR = 'checkpoints'
BEST_DIR = 'best'
TENSORBOARD_DIR = 'tensorboard'
EVALUATION_DIR = 'evaluation'
LOCK_FILE = 'lock'  # see `training.run_lock`
# The models of a run: the one at its largest validation mean IoU, and the one of its latest checkpoint.
BEST, LATEST = 'best', 'latest'

_INDEX = re.compile(r'ckpt-(\d+)\.index', re.ASCII)


def check_output_dir(flag: str, path: str) -> None:
    """Makes sure that a directory of this disk can be of that name, before anything is computed for it.

    Args:
        flag: the name of the flag, for messages.
        path: what it says.

    Raises:
        UserError: if it is an address of a store, a file, or no name that the file system takes.
    """
    if not storage.has_directories(path):
        raise errors.UserError(f'--{flag}={path}: the trainer writes on this disk; copy it from there')
    try:
        is_directory = stat.S_ISDIR(os.stat(path).st_mode)
    except FileNotFoundError:
        return
    except OSError as error:
        raise errors.UserError(f'--{flag}={path}: cannot be a directory: {error.strerror}') from error
    if not is_directory:
        raise errors.UserError(f'--{flag}={path} is a file; choose a directory')


def has_checkpoint(model_dir: str) -> bool:
    """Tells whether a run has saved its state at least once."""
    return bool(saved_steps(os.path.join(model_dir, LATEST_DIR)))


def checkpoint_path(directory: str, step: int) -> str:
    """The prefix of the files of a checkpoint, as TensorFlow wants it."""
    return os.path.join(directory, f'ckpt-{step}')


def saved_steps(directory: str) -> list[int]:
    """The steps of the checkpoints in a directory, in ascending order; none if it does not exist.

    Read from the names of the files, not from TensorFlow's list of them, which is a file that can be damaged. The index
    is what TensorFlow writes last of a checkpoint.
    """
    names = os.listdir(directory) if os.path.isdir(directory) else []
    return sorted(int(found[1]) for name in names if (found := _INDEX.fullmatch(name)))
