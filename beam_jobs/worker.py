"""A worker process of the local runner: Beam's own, without its chatter on stderr.

What a worker logs travels to the command through Beam's logging service; `import beam_jobs`, which Python does before
it runs this module, keeps the second copy off the terminal.
"""

import sys

from apache_beam.runners.worker import sdk_worker_main

if __name__ == '__main__':
    sdk_worker_main.main(sys.argv)
