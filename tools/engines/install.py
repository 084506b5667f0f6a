"""Gets the engines from their registries: Prism from Go's module proxy, Flink, Spark and Beam's job servers from Maven.

What is there is taken as it is; to get it anew, remove the directory.
"""

import contextlib
import fcntl
import pathlib
import shutil
import subprocess
from collections.abc import Iterator

import apache_beam

from tools.engines.processes import EngineError

DIRECTORY = pathlib.Path(__file__).parents[2] / '.engines'
_POMS = pathlib.Path(__file__).parent


def prism(directory: pathlib.Path = DIRECTORY) -> pathlib.Path:
    """Builds Prism of the version of Beam that is installed.

    Returns:
        The path of the program.

    Raises:
        EngineError: Go is not there, or it could not be built.
    """
    program = directory / f'prism-{apache_beam.__version__}' / 'prism'
    with _locked(directory):
        if not program.exists():
            package = f'github.com/apache/beam/sdks/v2/go/cmd/prism@v{apache_beam.__version__}'
            _run(['env', f'GOBIN={program.parent}', 'go', 'install', package], 'go', 'https://go.dev/dl')
    return program


def job_server(engine: str, directory: pathlib.Path = DIRECTORY) -> pathlib.Path:
    """Builds the jar of Beam's job server for 'flink' or 'spark', as its pom.xml says. Returns the path of the jar.

    Raises:
        EngineError: Java or Maven is not there, or the packages cannot be had.
    """
    target = directory / f'{engine}-job-server'
    jar = target / f'{engine}-job-server-1.jar'
    with _locked(directory):
        if not jar.exists():
            _maven(f'{engine}_job_server', 'package', f'-Dtarget={target}')
    return jar


def cluster(engine: str, directory: pathlib.Path = DIRECTORY) -> pathlib.Path:
    """Gets the jars of a cluster of 'flink' or 'spark'. Returns a directory that holds them in `jars`.

    Raises:
        EngineError: Java or Maven is not there, or the packages cannot be had.
    """
    target = directory / f'{engine}-cluster'
    complete = target / 'complete'
    with _locked(directory):
        if not complete.exists():
            _maven(f'{engine}_cluster', 'dependency:copy-dependencies', f'-DoutputDirectory={target / "jars"}')
            complete.touch()
    return target


@contextlib.contextmanager
def _locked(directory: pathlib.Path) -> Iterator[None]:
    """Lets one process at a time install something."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / 'lock').open('w') as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _maven(name: str, *arguments: str) -> None:
    if shutil.which('java') is None:
        raise EngineError('java is missing: apt-get install openjdk-17-jre-headless')
    command = ['mvn', '--quiet', '--batch-mode', '--file', str(_POMS / name / 'pom.xml'), *arguments]
    _run(command, 'mvn', 'apt-get install maven')


def _run(command: list[str], program: str, remedy: str) -> None:
    if shutil.which(program) is None:
        raise EngineError(f'{program} is missing: {remedy}')
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        raise EngineError(f'{" ".join(command)}: {said[0] if said else f"exit code {done.returncode}"}')
