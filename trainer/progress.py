"""The line that says how far a run is."""

import sys
import time
from collections.abc import Callable
from typing import TextIO


class ProgressLine:
    """Shows a line that is overwritten in place on a terminal, and appended now and then to a file or a pipe.

    Args:
        total: number of the last unit of work.
        stream: where the line goes; None is stdout.
        clock: seconds, for tests.
    """

    TERMINAL_INTERVAL = 0.5  # Seconds between two showings.
    FILE_INTERVAL = 30.0

    def __init__(self, total: int, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._total = total
        self._stream = stream or sys.stdout
        self._clock = clock
        self._on_terminal = self._stream.isatty()
        self._width = 0
        self.begin(0)

    def begin(self, done: int) -> None:
        """Starts the clock, with so many units done before."""
        self._start = done
        self._began = self._shown = self._clock()

    def is_due(self) -> bool:
        """Tells whether it is time to show the line again, so that its text is not made for nothing."""
        interval = self.TERMINAL_INTERVAL if self._on_terminal else self.FILE_INTERVAL
        return self._clock() - self._shown >= interval

    def show(self, text: str, done: int, *, final: bool = False) -> None:
        """Shows `text` and the time left; `final` lines stay on a terminal."""
        line = f'{text}  {self._time_left(done)}'
        if self._on_terminal:
            padding = ' ' * max(0, self._width - len(line))
            self._stream.write('\r' + line + padding + ('\n' if final else ''))
            self._width = 0 if final else len(line)
        else:
            self._stream.write(line + '\n')
        self._stream.flush()
        self._shown = self._clock()

    def _time_left(self, done: int) -> str:
        if done <= self._start:
            return '? left'
        seconds_each = (self._clock() - self._began) / (done - self._start)
        return f'{_duration(seconds_each * (self._total - done))} left'


def _duration(seconds: float) -> str:
    minutes, seconds_left = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f'{hours}:{minutes:02}:{seconds_left:02}' if hours else f'{minutes}:{seconds_left:02}'
