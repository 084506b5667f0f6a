"""The progress of a job, on every engine, from what its workers leave in the work directory.

Finished shards leave a marker there. Attempts at shards keep a note of the pairs that they have begun, so that a shard
of many pairs is seen to grow; not in object stores, where a note is a request.
"""

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TextIO

from seg_pipeline import progress, storage
from seg_pipeline.planning.plan_files import PlannedShard
from seg_pipeline.storage import attempts

_POLL_SECONDS = 0.5
_LOG_SECONDS = 5.0  # between lines where the output is no terminal


class ShardProgress:
    """Shows the progress of a job from a thread while the `with` block runs, which ends normally if all is made."""

    def __init__(
        self,
        plans: Sequence[PlannedShard],
        path_of: Callable[[PlannedShard], str],
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
        self._pending = {path_of(plan): plan.num_pairs for plan in plans}
        self._fingerprints = {plan.fingerprint: path_of(plan) for plan in plans}
        self._under_way = 0  # pairs of unfinished units that are done
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
        if made := self._num_shards - len(self._pending):
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
        """Pairs that are done, most of them of units that are finished."""
        return self._num_pairs - sum(self._pending.values()) + self._under_way

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
                self._under_way = 0
            else:
                self._poll()
            self._shown.update(self._num_done, place=self.place)

    def _poll(self) -> None:
        # What a store refuses once, it may give the next time; the job itself says what goes wrong for good.
        with contextlib.suppress(OSError):
            # A marker that was there and is missing now was published: once counted, a shard stays counted.
            for path in storage.existing(self._pending):
                del self._pending[path]
            pending = {name: path for name, path in self._fingerprints.items() if path in self._pending}
            done = attempts.num_done(os.path.dirname(next(iter(pending.values()))), pending) if pending else {}
            self._under_way = sum(min(number, self._pending[pending[name]]) for name, number in done.items())
