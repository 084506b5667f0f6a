"""A standalone cluster of Flink: a job manager on the first host, a task manager and a worker pool on each other."""

import contextlib
import pathlib
import subprocess
from collections.abc import Iterator, Mapping

from tools.engines import install, processes, worker_pool
from tools.engines.cluster import Cluster
from tools.engines.hosts import Host

_REST_PORT = 8081
_SLOTS = 2  # so that one host can do the work of two
_SETTINGS = """\
jobmanager.rpc.address: {manager}
jobmanager.bind-host: 0.0.0.0
jobmanager.memory.process.size: 1gb
rest.address: {manager}
rest.bind-address: 0.0.0.0
rest.port: {port}
taskmanager.host: {host}
taskmanager.bind-host: 0.0.0.0
taskmanager.numberOfTaskSlots: {slots}
cluster.evenly-spread-out-slots: true
taskmanager.memory.process.size: 1200mb
restart-strategy.type: fixed-delay
restart-strategy.fixed-delay.attempts: 3
restart-strategy.fixed-delay.delay: 1s
heartbeat.interval: 1000
heartbeat.timeout: 10000
"""
# What Flink's own script gives to Java 17.
_OPENED = ('lang', 'net', 'io', 'nio', 'lang.reflect', 'text', 'time', 'util', 'util.concurrent')
_JAVA = (
    'java',
    *(f'--add-opens=java.base/java.{package}=ALL-UNNAMED' for package in _OPENED),
    '--add-opens=java.base/java.util.concurrent.atomic=ALL-UNNAMED',
    '--add-opens=java.base/java.util.concurrent.locks=ALL-UNNAMED',
    '--add-opens=java.base/sun.nio.ch=ALL-UNNAMED',
    '--add-exports=java.base/sun.net.util=ALL-UNNAMED',
)
_RUNTIME = 'org.apache.flink.runtime'


@contextlib.contextmanager
def cluster(
    hosts: list[Host], directory: pathlib.Path, environment: Mapping[str, str] | None = None
) -> Iterator[Cluster]:
    """Runs a cluster while the `with` block runs.

    Args:
        hosts: the first gets the job manager, and is where to submit jobs; each other one a task manager.
        directory: gets settings and logs.
        environment: variables for the workers, which get none of the job's options.

    Raises:
        EngineError: something is missing, or a server did not start.
    """
    jar = install.job_server('flink')
    java = (*_JAVA, '-cp', f'{install.cluster("flink")}/jars/*')
    manager, *others = hosts
    with contextlib.ExitStack() as stack:
        pools = [stack.enter_context(worker_pool.running(host, directory, environment)) for host in others]
        entry = f'{_RUNTIME}.entrypoint.StandaloneSessionClusterEntrypoint'
        command = manager.command([*java[:1], '-Xmx512m', *java[1:], entry, *_settings(manager, manager, directory)])
        up = worker_pool.listens(manager, _REST_PORT)
        stack.enter_context(processes.running(command, directory / 'job-manager.log', up))
        workers = [stack.enter_context(_task_manager(java, manager, host, directory)) for host in others]
        arguments = (
            '--runner=FlinkRunner',
            f'--flink_master={manager.address}:{_REST_PORT}',
            f'--flink_job_server_jar={jar}',
            f'--parallelism={len(others)}',
            *worker_pool.ARGUMENTS,
        )
        yield Cluster('flink', arguments, manager, tuple(others), tuple(workers), tuple(pools))


def _settings(host: Host, manager: Host, directory: pathlib.Path) -> list[str]:
    path = directory / host.name
    path.mkdir()
    settings = _SETTINGS.format(host=host.address, manager=manager.address, port=_REST_PORT, slots=_SLOTS)
    (path / 'config.yaml').write_text(settings)
    return ['--configDir', str(path)]


@contextlib.contextmanager
def _task_manager(
    java: tuple[str, ...], manager: Host, host: Host, directory: pathlib.Path
) -> Iterator[subprocess.Popen[bytes]]:
    settings = _settings(host, manager, directory)
    # Flink's script asks Flink how to divide the memory, and starts it with the answer: so do we.
    question = [*java, f'{_RUNTIME}.util.bash.BashJavaUtils', 'GET_TM_RESOURCE_PARAMS', *settings]
    said = subprocess.run(question, check=True, capture_output=True, text=True).stdout
    of_java, of_flink = (
        line.partition(':')[2].split() for line in said.splitlines() if line.startswith('BASH_JAVA_UTILS_EXEC_RESULT:')
    )
    entry = f'{_RUNTIME}.taskexecutor.TaskManagerRunner'
    command = host.command([*java[:1], *of_java, *java[1:], entry, *settings, *of_flink])
    log = directory / f'{host.name}-task-manager.log'
    registered = b'Successful registration at resource manager'
    with processes.running(command, log, lambda: registered in log.read_bytes()) as server:
        yield server


def local() -> tuple[tuple[str, ...], Mapping[str, str]]:
    """Arguments and environment for Flink within the job server: its local master."""
    return ('--runner=FlinkRunner', f'--flink_job_server_jar={install.job_server("flink")}', '--parallelism=2'), {}
