"""What happens before TensorFlow is loaded: is it there, how does it compute, and what may it print."""

import importlib.util
import os
import tempfile

from absl import logging

from seg_pipeline import errors

_NVIDIA_DEVICE = '/dev/nvidiactl'  # Exists as soon as the driver is loaded.


def start_tensorflow() -> None:
    """Call this first in the main of a command; TensorFlow itself is loaded by the imports that need it.

    Beside what `load_tensorflow` sets, it turns absl's log down to warnings, which a library must not do to the program
    that calls it. --verbosity may say otherwise.

    Raises:
        UserError: TensorFlow is not installed; the message says how to get it.
    """
    _prepare()
    if logging.get_verbosity() == logging.INFO:  # Its default once flags are parsed.
        logging.set_verbosity(logging.WARNING)


def load_tensorflow(deterministic: bool = False) -> None:
    """Imports TensorFlow without what it tells a machine that has no GPU about its search for one.

    Its libraries write that to the descriptor of stderr before any log level counts, where it would bury the one line
    that a user's mistake gets. So the descriptor, which native code writes to and Python's sys.stderr only wraps, leads
    to a file meanwhile. Where there is a GPU every message may matter, and where the import fails the file is printed.

    Args:
        deterministic: turn on op determinism in this process: on a GPU, operations that add up in any order are
            replaced by others, or are an error where there is none.

    Raises:
        UserError: TensorFlow is not installed; the message says how to get it.
    """
    _load()
    if deterministic:
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()


def _load() -> None:
    _prepare()
    if os.path.exists(_NVIDIA_DEVICE):
        return
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as printed:
        os.dup2(printed.fileno(), 2)
        try:
            import tensorflow as tf

            tf.config.list_physical_devices()
        except BaseException:
            printed.seek(0)
            os.write(stderr, printed.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


def _prepare() -> None:
    """Checks that TensorFlow is installed and sets the variables that it reads when it is loaded.

    It computes by oneDNN on every x86 CPU: by itself it does so only on CPUs with instructions made for neural
    networks, though those without become faster by it too. Variables that the user has set stay as they are.
    """
    if importlib.util.find_spec('tensorflow') is None:
        raise errors.UserError(
            'the trainer needs tensorflow, which is not installed: pip install "seg-pipeline[train]"'
        )
    os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
    os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '1')
