"""Beam's worker pool: starts a Python process for each worker that an engine asks for."""

import contextlib
import os
import pathlib
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping

from tools.engines import processes
from tools.engines.hosts import Host

_PORT = 50000
_ROOT = pathlib.Path(__file__).parents[2]
# Each engine's worker asks the pool of its own host.
ARGUMENTS = ('--environment_type=EXTERNAL', f'--environment_config=localhost:{_PORT}')


@contextlib.contextmanager
def running(
    host: Host, directory: pathlib.Path, environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Runs the pool of a host while the `with` block runs.

    Args:
        host: where.
        directory: gets its log.
        environment: further variables for the workers.
    """
    variables = {
        **(environment or {}),
        # It starts `python`: the one that runs this, with the package of this directory.
        'PATH': f'{pathlib.Path(sys.executable).parent}:{os.environ["PATH"]}',
        'PYTHONPATH': str(_ROOT),
    }
    module = 'apache_beam.runners.worker.worker_pool_main'
    command = host.command([sys.executable, '-m', module, f'--service_port={_PORT}'])
    log = directory / f'{host.name}-worker-pool.log'
    with processes.running(command, log, listens(host, _PORT), variables) as server:
        yield server


def listens(host: Host, port: int) -> Callable[[], bool]:
    """Makes a function that tells whether something on a host listens on a port."""

    def connects() -> bool:
        program = f'import socket; socket.create_connection(("{host.address}", {port}), 1)'
        command = host.command([sys.executable, '-S', '-c', program])
        return subprocess.run(command, check=False, capture_output=True).returncode == 0

    return connects
