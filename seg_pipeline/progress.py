"""A line that says how far a long job is: rewritten on a terminal, printed now and then into a log."""

import sys
import time
from collections.abc import Callable
from typing import TextIO

TERMINAL_SECONDS = 0.5  # Between two showings on a terminal.


class ProgressLine:
    """Shows one line of text that changes.

    A terminal shows it in place. A file or a pipe, which keeps every line, gets a new one every `log_seconds`.

    Example:
        line = ProgressLine()
        for done, item in enumerate(items, start=1):
            work(item)
            if line.is_due():
                line.show(f'{done}/{len(items)} items')
        line.close()

    Args:
        stream: where the line goes; None is stdout.
        log_seconds: seconds between two showings where the stream is no terminal.
        clock: seconds, for tests.
    """

    def __init__(
        self,
        stream: TextIO | None = None,
        *,
        log_seconds: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream = stream or sys.stdout
        self._clock = clock
        self._on_terminal = self._stream.isatty()
        self._interval = TERMINAL_SECONDS if self._on_terminal else log_seconds
        self._width = 0  # Of what stands on the terminal's last line.
        self._shown = clock()

    def restart(self) -> None:
        """Makes the next showing due a full interval from now."""
        self._shown = self._clock()

    def is_due(self) -> bool:
        """Tells whether it is time to show the line again, so that its text is not made for nothing."""
        return self._clock() - self._shown >= self._interval

    def show(self, text: str, *, final: bool = False) -> None:
        """Shows `text`, which has no line break; a `final` text stays on a terminal when another one follows."""
        if self._on_terminal:
            # Blanks overwrite what a longer text has left behind. Unlike an escape sequence they work on any terminal.
            padding = ' ' * max(0, self._width - len(text))
            self._stream.write('\r' + text + padding)
            self._width = len(text)
            if final:
                self.close()
        else:
            self._stream.write(text + '\n')
        self._stream.flush()
        self._shown = self._clock()

    def close(self) -> None:
        """Leaves the last text on the terminal, so that what is printed next begins on a line of its own."""
        if self._width:
            self._stream.write('\n')
            self._stream.flush()
            self._width = 0


class TimeLeft:
    """Estimates when a job is done, from the mean speed since this process began with it.

    Args:
        total: units of work of the complete job.
        done: units that were done before, by another process: they took this one no time.
        clock: seconds, for tests.
    """

    def __init__(self, total: int, done: int = 0, clock: Callable[[], float] = time.monotonic) -> None:
        self._total, self._done_before = total, done
        self._clock = clock
        self._began = clock()

    def text(self, done: int) -> str:
        """Returns such as `1:05 left` (minutes and seconds) or `2:10:00 left` once `done` units are done in all."""
        if done <= self._done_before:
            return '? left'
        seconds_each = (self._clock() - self._began) / (done - self._done_before)
        return f'{_duration(seconds_each * (self._total - done))} left'


def _duration(seconds: float) -> str:
    minutes, seconds_left = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f'{hours}:{minutes:02}:{seconds_left:02}' if hours else f'{minutes}:{seconds_left:02}'
