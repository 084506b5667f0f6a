"""A worker process of the local runner: Beam's own, with two differences.

It drops what Python code writes to stderr: log lines and the exception that ends a worker reach the command through
Beam's services anyway, and would be printed twice. What the process itself writes when it crashes is kept.

It ends when the command ends, even if that was killed: the last argument is a directory that the command keeps, and
holds a lock on, for as long as it wants its workers, and that the process watches (`worker_dirs`). Its temporary files
are in it, and are removed with it.

A signal to the whole group, as a terminal sends it, reaches command and workers, but it is the command that ends its
workers. They start with signals ignored; SIGTERM, which may be meant for one worker alone, ends it with a delay.

A pair that takes too long ends it by SIGPROF.
"""

import os
import signal
import sys
import tempfile
import threading
import time
import types

from beam_jobs import process_memory, worker_dirs
from seg_pipeline import trial, watchdog
from seg_pipeline.storage import attempts

_POLL_SECONDS = 0.25
_SIGNAL_SECONDS = 3.0  # from a signal to the end; the command has ended long before, if it got the signal too


def _end_with(directory: str) -> None:
    while not worker_dirs.is_gone(directory):
        time.sleep(_POLL_SECONDS)
    attempts.withdraw()
    os._exit(1)


def _end_late(name: str) -> None:
    """Ends this process because a pair, which the note on the disk names, takes too long."""
    del name
    os.kill(os.getpid(), signal.SIGPROF)  # as the kernel does where this thread cannot run


def _end_later(number: int, frame: types.FrameType | None) -> None:
    del frame
    timer = threading.Timer(_SIGNAL_SECONDS, _end_by, (number,))
    timer.daemon = True
    timer.start()


def _end_by(number: int) -> None:
    attempts.withdraw()
    os._exit(128 + number)


if __name__ == '__main__':
    signal.signal(signal.SIGTERM, _end_later)
    process_memory.share_heaps()
    watched = tempfile.tempdir = sys.argv.pop()
    threading.Thread(target=_end_with, args=(watched,), daemon=True).start()
    from apache_beam.runners.worker import sdk_worker_main  # here: it takes a second or two, and is watched already

    sys.stderr = open(os.devnull, 'w')  # noqa: SIM115 (open until the process ends)
    with watchdog.watching(trial.TIME_LIMIT, _end_late):
        sdk_worker_main.main(sys.argv)
    attempts.withdraw()  # the command may have closed the connection while a thread is at a pair
    os._exit(0)  # all is done and sent; an orderly end would keep the command waiting for half a second
