"""A worker process of the local runner: Beam's own, without its chatter on stderr.

What a worker logs, and the exception that ends it, travel to the command through Beam's services. A second copy that
Python code writes to stderr is dropped; what the process itself says there when it crashes is not.
"""

import os
import sys

from apache_beam.runners.worker import sdk_worker_main

if __name__ == '__main__':
    with open(os.devnull, 'w') as sys.stderr:
        sdk_worker_main.main(sys.argv)
