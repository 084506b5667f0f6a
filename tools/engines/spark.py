"""A standalone cluster of Spark: a master on the first host, a worker and a worker pool on each other one."""

import contextlib
import pathlib
import subprocess
from collections.abc import Iterator, Mapping

from tools.engines import install, processes, worker_pool
from tools.engines.cluster import Cluster
from tools.engines.hosts import Host

_PORT = 7077
# What Spark's own script gives to Java 17.
_OPENED = (
    'java.base/java.lang',
    'java.base/java.lang.invoke',
    'java.base/java.lang.reflect',
    'java.base/java.io',
    'java.base/java.net',
    'java.base/java.nio',
    'java.base/java.util',
    'java.base/java.util.concurrent',
    'java.base/java.util.concurrent.atomic',
    'java.base/sun.nio.ch',
    'java.base/sun.nio.cs',
    'java.base/sun.security.action',
    'java.base/sun.util.calendar',
)
_JAVA = ('java', *(f'--add-opens={package}=ALL-UNNAMED' for package in _OPENED), '-Xmx512m')


@contextlib.contextmanager
def cluster(
    hosts: list[Host], directory: pathlib.Path, environment: Mapping[str, str] | None = None
) -> Iterator[Cluster]:
    """Runs a cluster while the `with` block runs.

    Args:
        hosts: the first gets the master, and is where to submit jobs; each other one a worker of one core.
        directory: gets logs and what the executors need.
        environment: variables for the workers, which get none of the job's options.

    Raises:
        EngineError: something is missing, or a server did not start.
    """
    jar = install.job_server('spark')
    home = install.cluster('spark')
    java = (*_JAVA, '-cp', f'{home}/jars/*')
    manager, *others = hosts
    master = f'spark://{manager.address}:{_PORT}'
    with contextlib.ExitStack() as stack:
        pools = [stack.enter_context(worker_pool.running(host, directory, environment)) for host in others]
        entry = ['org.apache.spark.deploy.master.Master', '--host', manager.address, '--port', str(_PORT)]
        up = worker_pool.listens(manager, _PORT)
        stack.enter_context(processes.running(manager.command([*java, *entry]), directory / 'master.log', up))
        workers = [stack.enter_context(_worker(java, home, master, host, directory)) for host in others]
        arguments = (
            '--runner=SparkRunner',
            f'--spark_master_url={master}',
            f'--spark_job_server_jar={jar}',
            *worker_pool.ARGUMENTS,
        )
        yield Cluster(
            'spark', arguments, manager, tuple(others), tuple(workers), tuple(pools), _environment(home, manager)
        )


@contextlib.contextmanager
def _worker(
    java: tuple[str, ...], home: pathlib.Path, master: str, host: Host, directory: pathlib.Path
) -> Iterator[subprocess.Popen[bytes]]:
    entry = ['org.apache.spark.deploy.worker.Worker', '--host', host.address, '--cores', '1', '--memory', '1g']
    work = ['--work-dir', str(directory / host.name), '--webui-port', '0', master]
    log = directory / f'{host.name}-worker.log'
    registered = b'Successfully registered with master'
    command = host.command([*java, *entry, *work])
    environment = _environment(home, host)
    with processes.running(command, log, lambda: registered in log.read_bytes(), environment) as server:
        yield server


def _environment(home: pathlib.Path, host: Host) -> Mapping[str, str]:
    # Spark asks for the version of Scala where its directory has no file RELEASE, which no jar brings.
    return {'SPARK_LOCAL_IP': host.address, 'SPARK_HOME': str(home), 'SPARK_SCALA_VERSION': '2.12'}


def local() -> tuple[tuple[str, ...], Mapping[str, str]]:
    """Arguments and environment for Spark within the job server: its local master."""
    arguments = ('--runner=SparkRunner', f'--spark_job_server_jar={install.job_server("spark")}')
    return (*arguments, '--spark_master_url=local[2]'), {}
