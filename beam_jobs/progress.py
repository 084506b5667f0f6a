"""The progress of a job, on every engine: finished shards leave a marker in the work directory, which is counted."""

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TextIO

from seg_pipeline import storage
from seg_pipeline.planning.sharding import ShardPlan
from seg_pipeline.progress import ProgressLine

_POLL_SECONDS = 0.5
_LOG_SECONDS = 5.0  # between lines where the output is no terminal


class Progress:
    """Prints a progress line from a thread while the `with` block runs.

    On a terminal the line is rewritten in place; elsewhere a new one is printed every few seconds.
    """

    def __init__(
        self,
        plans: Sequence[ShardPlan],
        path_of: Callable[[ShardPlan], str],
        unit: str = 'shards',
        output: TextIO = sys.stderr,
    ) -> None:
        """Counts what is finished already.

        Args:
            plans: the units of work.
            path_of: the file whose presence says that a unit is finished; all are in one directory.
            unit: what the units are called, in the plural.
            output: where to print.
        """
        self._unit = unit
        self._pending = {path_of(plan): len(plan.pairs) for plan in plans}
        on_this_disk = all(storage.has_directories(path) for path in self._pending)
        self._poll_seconds = _POLL_SECONDS if on_this_disk else _LOG_SECONDS  # a listing of a store is a request
        self._num_shards = len(self._pending)
        self._num_pairs = sum(self._pending.values())
        self._output = output
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name='progress', daemon=True)
        self._poll()
        self._found_made = self._num_pairs - sum(self._pending.values())

    def __enter__(self) -> 'Progress':
        if self._found_made:
            made = self._num_shards - len(self._pending)
            print(f'continuing: {made} of {self._num_shards} {self._unit} are already made', file=self._output)
        self._start = time.monotonic()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def line(self, seconds: float) -> str:
        """The progress line, `seconds` after the start."""
        pairs = self._num_pairs - sum(self._pending.values())
        shards = self._num_shards - len(self._pending)
        rate = (pairs - self._found_made) / seconds if seconds > 0 else 0.0
        left = f'{(self._num_pairs - pairs) / rate:.0f} s left' if rate else 'none finished yet'
        return f'{shards}/{self._num_shards} {self._unit}, {pairs}/{self._num_pairs} pairs, {rate:.1f} pairs/s, {left}'

    def _watch(self) -> None:
        shown = ProgressLine(self._output, log_seconds=_LOG_SECONDS)
        while not self._stop.wait(self._poll_seconds):
            self._poll()
            if shown.is_due():
                shown.show(self.line(time.monotonic() - self._start))
        shown.close()

    def _poll(self) -> None:
        # What a store refuses once, it may give the next time; the job itself says what goes wrong for good.
        with contextlib.suppress(OSError):
            # A marker that was there and is missing now was published: once counted, a shard stays counted.
            for path in storage.existing(self._pending):
                del self._pending[path]
