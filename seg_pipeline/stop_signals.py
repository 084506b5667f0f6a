"""The signals that ask a command to end: an exception in the main thread, raised again if it is lost on its way.

Python drops an exception that is raised in a `__del__` or in the callback of a weak reference, and C code that calls
Python may drop it too. A signal comes at any moment, so also at such a one. Therefore a timer looks, after the first
signal, whether the exception still exists. As long as it does, or any exception is being handled, the command ends or
cleans up, and is left alone. Otherwise it goes on as if there had been no signal, and the exception is raised again.

Before that, the signal itself may be missed. The system gives it to any thread, and Python has it handled by the main
one, but does not wake that: a main thread that waits for a lock would wait on. So a thread of its own hears of each
signal, and sends it to the main thread until that has handled it.
"""

import math
import os
import signal
import sys
import threading
import time
import types
import weakref
from typing import Any, ClassVar, NoReturn

# What ends a command that gets one, and what the command says then.
SIGNALS = {signal.SIGINT: 'interrupted', signal.SIGTERM: 'terminated', signal.SIGHUP: 'hung up'}
_REPEATED_SECONDS = 1.0  # `timeout`, and some services, send a signal to the process and to its group: twice
_LOOK_SECONDS = 0.25
# So many looks in a row find the exception while nothing is handled: someone keeps it, and it is not on its way.
_MOST_IDLE_LOOKS = 12


class StoppedBySignal(KeyboardInterrupt):
    """A signal asks the command to end: raised in the main thread, so that every `with` and `finally` is carried out.

    Attributes:
        received: the first signal that came to this process; None so far.
        last_heard: when a signal was handled, by the monotonic clock.
    """

    received: ClassVar[signal.Signals | None] = None
    last_heard: ClassVar[float] = -math.inf


def handle() -> None:
    """Makes the first of `SIGNALS` raise `StoppedBySignal`, and a later one end the process; for the main thread.

    A signal that the process ignores, as nohup sets it, and shells for what runs behind, stays ignored.
    """
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _stop)
    _pass_on()
    if sys.unraisablehook is sys.__unraisablehook__:
        sys.unraisablehook = _report_dropped
    if sys.excepthook is sys.__excepthook__:
        sys.excepthook = _report_printed


def _pass_on() -> None:
    """Wakes the main thread for each signal that it does not notice."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    os.register_at_fork(after_in_child=lambda: signal.set_wakeup_fd(-1))  # whose signals are not ours
    main = threading.main_thread().ident
    assert main is not None

    def listen() -> None:
        while received := os.read(reader, 1):
            number, began = received[0], time.monotonic()
            # While it is ours to handle: whoever has put another handler there does what it wants, and may put ours
            # back when it has heard one.
            while number in tuple(SIGNALS) and signal.getsignal(number) is _stop:
                time.sleep(_LOOK_SECONDS)
                if StoppedBySignal.last_heard > began - _REPEATED_SECONDS:
                    break
                if signal.getsignal(number) is _stop:
                    signal.pthread_kill(main, number)

    threading.Thread(target=listen, name='signals', daemon=True).start()


def heard() -> None:
    """Notes that one of `SIGNALS` was handled. For handlers that put the one before them back."""
    StoppedBySignal.last_heard = time.monotonic()


def unwatch() -> None:
    """Ends the raising: the command has done what it had to do, or ends."""
    signal.setitimer(signal.ITIMER_REAL, 0)


def _stop(number: int, frame: types.FrameType | None) -> None:
    """Handles the first signal: raises it. A later one ends the process at once, whatever it is at."""
    del frame
    heard()
    first = time.monotonic()

    def end_at_once(again: int, frame: types.FrameType | None) -> None:
        del frame
        if time.monotonic() - first > _REPEATED_SECONDS:
            os._exit(128 + again)

    for each in SIGNALS:
        if signal.getsignal(each) is not signal.SIG_IGN:
            signal.signal(each, end_at_once)
    StoppedBySignal.received = signal.Signals(number)
    watch = _Watch()
    signal.signal(signal.SIGALRM, watch.look)
    signal.siginterrupt(signal.SIGALRM, False)  # C code that waits for the system goes on waiting
    signal.setitimer(signal.ITIMER_REAL, _LOOK_SECONDS, _LOOK_SECONDS)
    watch.raise_stop()


class _Watch:
    """Raises the stop, and again whenever it was lost."""

    def __init__(self) -> None:
        self._raised: weakref.ref[StoppedBySignal] | None = None
        self._idle_looks = 0

    def raise_stop(self) -> NoReturn:
        stop = StoppedBySignal()
        self._raised, self._idle_looks = weakref.ref(stop), 0
        try:
            raise stop
        finally:
            del stop  # this frame is in its traceback: it would keep itself

    def look(self, number: int, frame: types.FrameType | None) -> None:
        del number, frame
        # Also while C++ code, which has made another error of the stop, has it handled.
        if sys.exception() is not None:
            self._idle_looks = 0
            return
        self._idle_looks += 1
        if self._raised is None or self._raised() is None or self._idle_looks >= _MOST_IDLE_LOOKS:
            self.raise_stop()


def _report_dropped(dropped: Any) -> None:
    """Python's report, with a traceback, of an exception that it drops; but not of a stop, which is raised again."""
    if not _comes_of_a_stop(dropped.exc_value):
        sys.__unraisablehook__(dropped)


def _report_printed(kind: type[BaseException], error: BaseException, trace: types.TracebackType | None) -> None:
    """Python's traceback of an exception; but not of what C++ code makes of a stop, prints and drops."""
    if not _comes_of_a_stop(error):
        sys.__excepthook__(kind, error, trace)


def _comes_of_a_stop(error: BaseException | None) -> bool:
    while error is not None and not isinstance(error, StoppedBySignal):
        error = error.__cause__ or error.__context__
    return error is not None
