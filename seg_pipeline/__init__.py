"""Image/mask pairs as TFRecords and as a TFDS data set: what the Beam job and the trainer share.

Importing the package imports nothing else of it: a Beam worker and a training process each load only what they use.
"""

import sys

_PACKAGES = ('seg_pipeline', 'beam_jobs', 'trainer')


def _is_command_starting() -> bool:
    """Whether `python -m` imports the package of one of our commands at this moment; sys.argv tells it."""
    if sys.argv[:1] != ['-m'] or '-m' not in sys.orig_argv[:-1]:
        return False
    return sys.orig_argv[sys.orig_argv.index('-m') + 1].partition('.')[0] in _PACKAGES


# Ctrl-C while a command imports what it needs, which takes seconds, ends it as the system does, without a traceback of
# those imports. `command_line.run` sets handlers later. A program of others that imports this keeps its own.
if _is_command_starting():
    import signal

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
