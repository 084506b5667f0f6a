"""The progress of a job, on every engine, from what its workers leave in the work directory.

Finished shards leave a marker there. Attempts at shards keep a note of the pairs that they have begun, so that a shard
of many pairs is seen to grow; not in object stores, where a note is a request.
"""

import contextlib
import os
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TextIO

from seg_pipeline import progress, storage
from seg_pipeline.planning.plan_files import PlannedUnit
from seg_pipeline.storage import attempts

_POLL_SECONDS = 0.5
_LOG_SECONDS = 5.0  # between lines where the output is no terminal


class ShardProgress:
    """Shows the progress of a job from a thread while the `with` block runs, which ends normally if all is made."""

    def __init__(
        self,
        units: Sequence[PlannedUnit],
        path_of: Callable[[PlannedUnit], str],
        whole_path_of: Callable[[PlannedUnit], str] | None = None,
        unit: str = 'shards',
        output: TextIO | None = None,
    ) -> None:
        """Counts what is finished already.

        Args:
            units: the units of work.
            path_of: the file whose presence says that a unit is finished; all are in one directory.
            whole_path_of: the file whose presence says that all units of its shard are, if they are parts of shards.
            unit: what the units are called, in the plural.
            output: where to print; by default stderr.
        """
        output = output or sys.stderr
        self._unit = unit
        self._pending = {path_of(one): one.num_pairs for one in units}
        self._parts: dict[str, list[str]] = defaultdict(list)  # of each shard, the paths of its units
        for one in units:
            self._parts[(whole_path_of or path_of)(one)].append(path_of(one))
        self._fingerprints = {one.fingerprint: path_of(one) for one in units}
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
            # Parts are gone when their shard is put together.
            for path in storage.existing(self._pending.keys() | self._parts.keys()):
                for done in (path, *self._parts.pop(path, ())):
                    self._pending.pop(done, None)
            pending = {name: path for name, path in self._fingerprints.items() if path in self._pending}
            done = attempts.num_done(os.path.dirname(next(iter(pending.values()))), pending) if pending else {}
            self._under_way = sum(min(number, self._pending[pending[name]]) for name, number in done.items())
