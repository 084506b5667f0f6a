"""The progress of a job, on every engine: finished shards leave a marker in the work directory, which is counted."""

import contextlib
import sys
import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TextIO

from seg_pipeline import progress, storage
from seg_pipeline.planning.sharding import ShardPlan

_POLL_SECONDS = 0.5
_LOG_SECONDS = 5.0  # between lines where the output is no terminal


class ShardProgress:
    """Shows the progress of a job from a thread while the `with` block runs, which ends normally if all is made."""

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
        self._is_complete = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name='progress', daemon=True)
        self._poll()
        self._shown = progress.Progress(
            self._num_pairs, 'pairs', done=self._num_done, stream=output, log_seconds=_LOG_SECONDS
        )

    def __enter__(self) -> 'ShardProgress':
        if self._num_done:
            made = self._num_shards - len(self._pending)
            print(f'continuing: {made} of {self._num_shards} {self._unit} are already made', file=self._output)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_complete = kind is None
        self._stop.set()
        self._thread.join()

    @property
    def _num_done(self) -> int:
        """Pairs of the units that are finished."""
        return self._num_pairs - sum(self._pending.values())

    @property
    def place(self) -> str:
        """How much is finished."""
        shards = self._num_shards - len(self._pending)
        return f'{shards}/{self._num_shards} {self._unit}, {self._num_done}/{self._num_pairs} pairs'

    def _watch(self) -> None:
        with self._shown:
            while not self._stop.wait(self._poll_seconds):
                self._poll()
                self._shown.update(self._num_done, place=self.place)
            if self._is_complete:  # the markers that would be counted may be gone: what was published needs none
                self._pending.clear()
            else:
                self._poll()
            self._shown.update(self._num_done, place=self.place)

    def _poll(self) -> None:
        # What a store refuses once, it may give the next time; the job itself says what goes wrong for good.
        with contextlib.suppress(OSError):
            # A marker that was there and is missing now was published: once counted, a shard stays counted.
            for path in storage.existing(self._pending):
                del self._pending[path]
