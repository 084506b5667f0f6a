"""Calls a function in a process of its own: whatever ends that process, or keeps it for ever, does so to no other.

Starting it takes some thirty times as long as a pair takes, so it is for what is suspected to end a process.
"""

import contextlib
import fcntl
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any, TypeVar

from seg_pipeline import errors

_T = TypeVar('_T')

TIME_LIMIT = 300.0  # seconds; the largest accepted pair takes a few
# The first word says that everything was imported, the last one that the function returned or raised: what ends the
# process in between, even with exit code 0, does not say it.
_READY, _DONE = b'ready', b'done'


class FailedError(Exception):
    """The process ended, or was ended after the time limit, before the function did; the message says how."""


def call(function: Callable[..., _T], *arguments: Any, time_limit: float = TIME_LIMIT) -> _T:
    """Calls a function in a process of its own, and returns or raises what it does.

    Args:
        function: of a module, or a method; it, the arguments and what comes of it can be pickled.
        arguments: of the function.
        time_limit: in seconds.

    Raises:
        FailedError: if the function does not come to its end.
        OutsideError: if the process did not come as far as the function, which says nothing about it.
    """
    # Nothing is ever written to this pipe: the kernel closes its end with the caller, however that ends.
    lifeline, ours = os.pipe()
    command = [sys.executable, '-m', 'seg_pipeline.trial', str(lifeline)]
    try:
        done = subprocess.run(
            command,
            input=pickle.dumps((function, arguments)),
            capture_output=True,
            timeout=time_limit,
            pass_fds=(lifeline,),
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise FailedError(f'takes more than {time_limit:g} seconds') from error
    finally:
        os.close(lifeline)
        os.close(ours)
    if not done.stdout.startswith(_READY):
        said = done.stderr.decode(errors='replace').strip().rpartition('\n')[2]
        raise errors.OutsideError(f'a process of its own cannot be started for what may end one: {said}')
    if not done.stdout.endswith(_DONE):
        raise FailedError(f'ends the process, {_describe_exit(done.returncode)}')
    returned, value = pickle.loads(done.stdout[len(_READY) : -len(_DONE)])
    if not returned:
        raise value
    result: _T = value
    return result


def _describe_exit(code: int) -> str:
    if code >= 0:
        return f'with exit code {code}'
    reason = ' (was memory short?)' if -code == signal.SIGKILL else ''
    with contextlib.suppress(ValueError):
        return f'by {signal.Signals(-code).name}{reason}'
    return f'by signal {-code}'


def _end_with_caller(lifeline: int) -> None:
    """Lets the kernel end this process when the caller's end of a pipe is closed.

    By SIGIO, whose default is to end the process: a thread that waits for the pipe could not do so while a decoder
    holds the interpreter's lock.
    """
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC | os.O_NONBLOCK)
    with contextlib.suppress(BlockingIOError):
        if not os.read(lifeline, 1):  # the caller ended before
            os._exit(1)


def _main() -> None:
    _end_with_caller(int(sys.argv[1]))
    output = os.fdopen(os.dup(sys.stdout.fileno()), 'wb')
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints is no part of the answer
    function, arguments = pickle.load(sys.stdin.buffer)
    output.write(_READY)
    output.flush()
    try:
        answer = (True, function(*arguments))
    except Exception as error:
        answer = (False, error)
    output.write(pickle.dumps(answer) + _DONE)
    output.flush()
    os._exit(0)  # all is said: what the end of the interpreter does is not on trial


if __name__ == '__main__':
    _main()
