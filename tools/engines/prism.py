"""Prism, Beam's own engine for one machine: started by the command itself, or as a server of its own on one host."""

import contextlib
import pathlib
from collections.abc import Iterator, Mapping

from tools.engines import install, processes, worker_pool
from tools.engines.cluster import Cluster
from tools.engines.hosts import Host

_PORT = 8073


@contextlib.contextmanager
def cluster(
    hosts: list[Host], directory: pathlib.Path, environment: Mapping[str, str] | None = None
) -> Iterator[Cluster]:
    """Runs a server while the `with` block runs.

    Args:
        hosts: the first gets Prism and the worker pool: Prism tells its workers an address of the loopback device.
        directory: gets logs.
        environment: variables for the workers, which get none of the job's options.

    Raises:
        EngineError: something is missing, or a server did not start.
    """
    program = install.prism()
    host = hosts[0]
    command = host.command([str(program), '--job_port', str(_PORT), '--serve_http=false'])
    with contextlib.ExitStack() as stack:
        pool = stack.enter_context(worker_pool.running(host, directory, environment))
        up = worker_pool.listens(host, _PORT)
        server = stack.enter_context(processes.running(command, directory / 'prism.log', up))
        arguments = ('--runner=PortableRunner', f'--job_endpoint={host.address}:{_PORT}', *worker_pool.ARGUMENTS)
        yield Cluster('prism', arguments, host, (host,), (server,), (pool,))


def local() -> tuple[tuple[str, ...], Mapping[str, str]]:
    """Arguments and environment for Prism as the command starts it: its workers are threads of the command."""
    return ('--runner=PrismRunner', f'--prism_location={install.prism()}'), {}
