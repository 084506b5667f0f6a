"""Server processes that are up when they are used, and gone afterwards."""

import contextlib
import os
import pathlib
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

_START_SECONDS = 240.0
_END_SECONDS = 10.0
_POLL_SECONDS = 0.2


class EngineError(Exception):
    """A server did not start."""


@contextlib.contextmanager
def running(
    command: Sequence[str],
    log: pathlib.Path,
    is_up: Callable[[], bool] = lambda: True,
    environment: Mapping[str, str] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Runs a server while the `with` block runs.

    Args:
        command: its program and arguments.
        log: the file that gets what it prints.
        is_up: tells whether it is ready; it is waited for.
        environment: variables besides those of this process.

    Raises:
        EngineError: it ended, or was not up in time; with the last lines of its log.
    """
    with log.open('wb') as output:
        server = subprocess.Popen(
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=os.environ | dict(environment or {}),
            start_new_session=True,  # its children end with it, and Ctrl-C reaches it through us
        )
        try:
            _wait(server, command, log, is_up)
            yield server
        finally:
            end(server)


def end(server: subprocess.Popen[bytes]) -> None:
    """Ends a server and its children, in order if it takes the time that is given."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(_END_SECONDS)


def _wait(
    server: subprocess.Popen[bytes], command: Sequence[str], log: pathlib.Path, is_up: Callable[[], bool]
) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not is_up():
        if server.poll() is not None or time.monotonic() > deadline:
            last = '\n'.join(log.read_text(errors='replace').splitlines()[-10:])
            raise EngineError(f'{" ".join(command)[:200]} did not start; the end of {log}:\n{last}')
        time.sleep(_POLL_SECONDS)
