"""The trainer: a U-Net on the data sets that beam_jobs prepares, on every device of the machine.

Importing this package loads no TensorFlow. The commands (train, evaluate, predict, export) check what the user gave
before they load it, so that a mistake is answered at once and on one line.
"""

import importlib.util
import os
import tempfile

from absl import logging

from seg_pipeline import errors

_NVIDIA_DEVICE = '/dev/nvidiactl'  # there as soon as the driver is


def start_tensorflow() -> None:
    """Call this first in the main of a command; TensorFlow itself is loaded by the imports that need it.

    Sets its log to warnings, and has it compute by oneDNN on every x86 CPU: by itself it does so only where there are
    instructions made for neural networks, though those without gain by it too. The environment and --verbosity may say
    otherwise.

    Raises:
        UserError: TensorFlow is not installed; the message says how to get it.
    """
    if importlib.util.find_spec('tensorflow') is None:
        raise errors.UserError(
            'the trainer needs tensorflow, which is not installed: pip install "seg-pipeline[train]"'
        )
    os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
    os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '1')
    if logging.get_verbosity() == logging.INFO:  # Its default once flags are parsed.
        logging.set_verbosity(logging.WARNING)


def load_tensorflow() -> None:
    """Imports TensorFlow without what it tells a machine that has no GPU about its search for one.

    Its libraries write that to the descriptor of stderr before any log level counts, where it would bury the one line
    that a user's mistake gets. Where there is a GPU, every word of it may matter and stays.
    """
    if os.path.exists(_NVIDIA_DEVICE):
        return
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as said:
        os.dup2(said.fileno(), 2)
        try:
            import tensorflow as tf

            tf.config.list_physical_devices()
        except BaseException:
            said.seek(0)
            os.write(stderr, said.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
