"""How far a long job is: a bar on a terminal, and a line now and then in a log."""

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Self, TextIO

LOG_SECONDS = 30.0  # Between two lines in a log.
_TERMINAL_SECONDS = 0.5  # Between two showings on a terminal.
_COLUMNS = 80  # Of a terminal that does not tell its own.
_unfinished: list[TextIO] = []  # Terminals with a bar whose line is not ended.
_BAR_FORMAT = '{desc}  {percentage:3.0f}%|{bar}| {text}'


class Progress:
    """Shows what part of a job is done, how fast it goes, and how long the rest will take.

    A terminal has one bar, which is drawn again in its place. A file or a pipe, which keeps all that is written, gets a
    line of its own every `log_seconds`. The bar ends with the `with` block, however that is left, so that what is
    printed next, such as the message of an error, begins on a new line.

    Example:
        with Progress(len(items), 'items') as shown:
            for done, item in enumerate(items, start=1):
                work(item)
                shown.update(done)

    Args:
        total: units of work of the complete job.
        unit: what they are, in the plural.
        done: units that were done before, by another process: they took this one no time.
        stream: where the bar or the lines go; None is stderr.
        log_seconds: seconds between two lines where the stream is no terminal.
        clock: seconds, for tests.
    """

    def __init__(
        self,
        total: int,
        unit: str,
        *,
        done: int = 0,
        stream: TextIO | None = None,
        log_seconds: float = LOG_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._total, self._unit, self._done_before = total, unit, done
        self._done, self._place, self._note = done, '', ''
        self._rate: float | None = None
        self._stream = sys.stderr if stream is None else stream
        self._clock = clock
        self._on_terminal = self._stream.isatty()
        self._interval = _TERMINAL_SECONDS if self._on_terminal else log_seconds
        self._bar: Any = None
        self._began = self._shown = clock()

    def __enter__(self) -> Self:
        """Begins to measure the time; a terminal gets its bar now."""
        self._began = self._shown = self._clock()
        if self._on_terminal and self._total:
            _unfinished.append(self._stream)  # before, as a signal may come at any moment
            self._bar = _make_bar(self._total, min(self._done, self._total), self._place_text(), self._stream)
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            with contextlib.suppress(OSError, ValueError):  # a terminal that has hung up must hide no other error
                self._draw()
                self._bar.close()
            self._bar = None
            _unfinished.remove(self._stream)

    def is_due(self) -> bool:
        """Tells whether it is time to show something again, so that it is not made for nothing."""
        return self._clock() - self._shown >= self._interval

    def update(self, done: int, *, place: str = '') -> None:
        """Notes how much is done in all, and shows it if that is due; the arguments are those of `show`."""
        self._done, self._place = done, place
        if self.is_due():
            self.show(done, place=place)

    def show(
        self, done: int, *, place: str = '', note: str = '', rate: float | None = None, stays: bool = False
    ) -> None:
        """Shows how far the job is.

        Args:
            done: units that are done in all.
            place: what is being done; empty for `done` of the total.
            note: what else there is to say.
            rate: units a second; None for the mean since this process began.
            stays: on a terminal too this is a line that stays, above the bar.
        """
        self._done, self._place, self._note, self._rate = done, place, note, rate
        if stays or not self._on_terminal:
            self.print('  '.join([self._place_text(), *self._texts()]), self._stream)
        if self._bar is not None:
            with contextlib.suppress(OSError):  # no job fails because a terminal has hung up
                self._draw()
        self._shown = self._clock()

    def print(self, text: str, stream: TextIO | None = None) -> None:
        """Prints lines on `stream`, None for stdout, above the bar where there is one."""
        if self._bar is not None:
            self._bar.clear()
        print(text, file=stream or sys.stdout, flush=True)
        if self._bar is not None:
            self._bar.refresh()

    def time_left(self) -> float | None:
        """Seconds until the job is done, by the mean speed since this process began with it; None before the first."""
        done = self._done - self._done_before
        return (self._clock() - self._began) / done * max(0, self._total - self._done) if done > 0 else None

    def _place_text(self) -> str:
        return self._place or f'{self._done}/{self._total} {self._unit}'

    def _texts(self) -> list[str]:
        """What is said beside the place, in the order of a log."""
        rate, seconds, left = self._rate, self._clock() - self._began, self.time_left()
        if rate is None:
            rate = (self._done - self._done_before) / seconds if seconds else 0.0
        texts = [self._note] if self._note else []
        return [*texts, f'{rate:.1f} {self._unit}/s', f'{"?" if left is None else duration(left)} left']

    def _draw(self) -> None:
        self._bar.n = min(self._done, self._total)
        # What matters most is on the left, as a narrow terminal cuts the right end off.
        self._bar.text = '  '.join(reversed(self._texts()))
        self._bar.set_description_str(self._place_text())  # draws too


def end_lines() -> None:
    """Ends the line of a bar that a signal has hit while it began or ended, so that a message begins on its own."""
    while _unfinished:
        print(file=_unfinished.pop(), flush=True)


def _make_bar(total: int, done: int, place: str, stream: TextIO) -> Any:
    """A bar of tqdm, drawn; it has a text of ours to its right, and needs no thread and no lock between processes."""
    from tqdm import std  # not above: workers, which show nothing, import this module too

    class Bar(std.tqdm):
        monitor_interval = 0  # seconds; 0: no thread that draws by itself
        text = ''

        @property
        def format_dict(self) -> dict[str, Any]:
            return {**super().format_dict, 'text': self.text, 'ncols': _columns(self.fp)}

    Bar.set_lock(threading.RLock())
    size = {'ncols': _COLUMNS, 'nrows': 2}  # tqdm hides a bar where a terminal says that it has no rows
    return Bar(total=total, initial=done, desc=place, file=stream, bar_format=_BAR_FORMAT, **size)


def _columns(stream: TextIO) -> int:
    """How many a bar may take: one less than the terminal has, as some begin a new line behind the last one."""
    with contextlib.suppress(OSError):
        return (os.get_terminal_size(stream.fileno()).columns or _COLUMNS) - 1
    return _COLUMNS - 1


def duration(seconds: float) -> str:
    """Returns such as `1:05` (minutes and seconds) or `2:10:00`."""
    minutes, seconds_left = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f'{hours}:{minutes:02}:{seconds_left:02}' if hours else f'{minutes}:{seconds_left:02}'
