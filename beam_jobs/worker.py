"""A worker process of the local runner: Beam's own, with two differences.

It drops what Python code writes to stderr: log lines and the exception that ends a worker reach the command through
Beam's services anyway, and would be printed twice. What the process itself writes when it crashes is kept.

It ends when the command ends, even if that was killed: the last argument is a directory that the command keeps for as
long as it wants its workers, and that the process watches.
"""

import os
import sys
import threading
import time

from apache_beam.runners.worker import sdk_worker_main

from beam_jobs import process_memory

_POLL_SECONDS = 0.25


def _end_with(directory: str) -> None:
    while os.path.isdir(directory):
        time.sleep(_POLL_SECONDS)
    os._exit(1)


if __name__ == '__main__':
    process_memory.share_heaps()
    threading.Thread(target=_end_with, args=(sys.argv.pop(),), daemon=True).start()
    sys.stderr = open(os.devnull, 'w')  # noqa: SIM115 (open until the process ends)
    sdk_worker_main.main(sys.argv)
    os._exit(0)  # all is done and sent; an orderly end would keep the command waiting for half a second
