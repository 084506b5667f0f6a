"""A worker process of the local runner: Beam's own, without its chatter on stderr, and with an eye on the command.

What a worker logs, and the exception that ends it, travel to the command through Beam's services. A second copy that
Python code writes to stderr is dropped; what the process itself says there when it crashes is not.

The last argument is a directory that the command keeps for as long as it wants its workers: they end with it.
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
    sys.stderr = open(os.devnull, 'w')  # noqa: SIM115 (to the end of the process, and not a line less)
    sdk_worker_main.main(sys.argv)
    os._exit(0)  # all is done and sent: taking the interpreter down would keep the command waiting for half a second
