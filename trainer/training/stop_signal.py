"""SIGTERM and SIGINT as a request to stop at the next good place."""

import signal
import threading
import types
from collections.abc import Callable
from typing import Any, Self

from seg_pipeline import stop_signals

_Handler = Callable[[int, types.FrameType | None], Any] | int | None  # What signal.signal takes and returns.


class StopSignal:
    """Notes, while it is entered, that a signal asks the process to stop.

    A second signal of the same kind has its usual effect at once. Outside of the main thread, where Python lets nobody
    handle signals, none is noted.

    Example:
        with StopSignal() as stop:
            while work and not stop.requested: ...

    Attributes:
        signal: the first signal that came; None so far.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self._previous: dict[signal.Signals, _Handler] = {}

    @property
    def requested(self) -> bool:
        return self.signal is not None

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._previous = {number: signal.signal(number, self._note) for number in self.SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: types.FrameType | None) -> None:
        del frame
        stop_signals.heard()
        self.signal = signal.Signals(number)
        # The loop may be in a step of many seconds, or hang: whoever repeats the signal does not want to wait for it.
        signal.signal(number, self._previous[self.signal])
