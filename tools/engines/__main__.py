"""Starts an engine, prints how to run a job on it, and stops it at Ctrl-C: `python -m tools.engines flink`."""

import argparse
import pathlib
import shlex
import signal
import sys
import tempfile

from tools.engines import flink, hosts, prism, spark
from tools.engines.processes import EngineError

ENGINES = {'prism': prism, 'flink': flink, 'spark': spark}


def main() -> int:
    """Reads the arguments, and runs the engine until a signal comes."""
    parser = argparse.ArgumentParser(prog='python -m tools.engines', description=__doc__)
    parser.add_argument('engine', choices=list(ENGINES))
    parser.add_argument('--hosts', type=int, default=2, help='hosts that do the work (default: 2)')
    arguments = parser.parse_args()
    if problem := hosts.why_not():
        print(f'error: {problem}', file=sys.stderr)
        return 1
    try:
        with (
            tempfile.TemporaryDirectory() as directory,
            hosts.network(1 + arguments.hosts) as network,
            ENGINES[arguments.engine].cluster(network, pathlib.Path(directory)) as cluster,
        ):
            environment = [f'{name}={value}' for name, value in cluster.environment.items()]
            command = cluster.manager.command(
                ['env', *environment, 'python', '-m', 'beam_jobs.prepare_dataset', *cluster.arguments]
            )
            print(f'{arguments.engine} is up, its logs in {directory}. A job begins so, with its own flags after it:')
            print(shlex.join(command), flush=True)
            signal.pause()
    except KeyboardInterrupt:
        return 0
    except EngineError as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    return 1  # by a signal that says nothing


if __name__ == '__main__':
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
