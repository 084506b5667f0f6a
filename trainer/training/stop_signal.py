"""SIGTERM and SIGINT as a request to stop at the next good place."""

import signal
import types
from typing import Self


class Interruption:
    """Takes down, while it is entered, that a signal asks the process to stop.

    A second signal of the same kind has its usual effect at once.

    Example:
        with Interruption() as interruption:
            while work and not interruption.requested: ...
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self._previous: dict[signal.Signals, object] = {}

    @property
    def requested(self) -> bool:
        return self.signal is not None

    @property
    def exit_code(self) -> int:
        """What a shell reports of a process that this signal ended."""
        return 128 + (self.signal or 0)

    def __enter__(self) -> Self:
        self._previous = {number: signal.signal(number, self._note) for number in self.SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # What signal.signal returned, it also takes.

    def _note(self, number: int, frame: types.FrameType | None) -> None:
        del frame
        self.signal = signal.Signals(number)
        signal.signal(number, self._previous[self.signal])  # type: ignore[arg-type]
