"""Ends a process in which some work does not end: no exception comes of a decoder that runs for ever.

Two clocks, since neither sees everything. A thread looks twice a second which works are running, and counts its looks:
time in which the whole process was stopped, by Ctrl-Z or with its machine, does not count. It cannot look while a
decoder holds the interpreter's lock. So it sets, at each look, the kernel's timer of processor time anew, which ends
the process by its default action, SIGPROF, when no look has come for as long as a work may take.

What is not seen: a decoder that holds the lock and waits, without using the processor.
"""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator

_LOOK_SECONDS = 0.5

_running: set['_Work'] = set()


class _Work:
    """Something that is running, and in how many looks it was seen."""

    __slots__ = ('looks', 'name')

    def __init__(self, name: str) -> None:
        self.name = name
        self.looks = 0


@contextlib.contextmanager
def timed(name: str) -> Iterator[None]:
    """Times some work, in any thread, if this process is watched.

    Args:
        name: of the work, for a message.
    """
    work = _Work(name)
    _running.add(work)
    try:
        yield
    finally:
        _running.discard(work)


@contextlib.contextmanager
def watching(time_limit: float, end: Callable[[str], None]) -> Iterator[None]:
    """Watches the process while the block runs; its works are those of `timed`.

    Args:
        time_limit: of one work, in seconds.
        end: ends the process; gets the name of the work that is late, in another thread than that of the work. Where
            that thread cannot run, the process ends by SIGPROF.
    """
    done = threading.Event()
    _set_timer(time_limit)
    thread = threading.Thread(target=_look, args=(time_limit, end, done), daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        _set_timer(0)


def _look(time_limit: float, end: Callable[[str], None], done: threading.Event) -> None:
    while not done.wait(_LOOK_SECONDS):
        _set_timer(time_limit)
        for work in list(_running):
            work.looks += 1
            if work.looks * _LOOK_SECONDS > time_limit:
                end(work.name)


def _set_timer(seconds: float) -> None:
    signal.setitimer(signal.ITIMER_PROF, seconds)
