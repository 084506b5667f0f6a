"""What finished work leaves in the work directory: the summary of a shard, the outcome of a job.

A finished shard is `<fingerprint>.tfrecord` and beside it its marker `<fingerprint>.json`, which is written last. Who
finds both does not make the shard again, whichever command made it: so an interrupted job continues, and two commands
at once share their work. Markers are also how summaries and the outcome come back to the command, on every engine: the
elements of a pipeline do not.
"""

import dataclasses
import enum
import errno
import json
import os
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from seg_pipeline import errors, storage
from seg_pipeline.cross_check import Checked
from seg_pipeline.dataset import manifest
from seg_pipeline.dataset.ignored import Shares
from seg_pipeline.dataset.record_index import RecordEntry
from seg_pipeline.dataset.statistics import SplitStatistics
from seg_pipeline.imaging.rejects import Reject
from seg_pipeline.planning.sharding import ShardPlan

OUTCOME_SUFFIX = '.outcome'
# Of an entry, what is known when its shard is made: the shard's name and the assignment belong to a plan, and other
# plans may take over the shard.
_OF_PLAN = ('shard', 'split', 'split_reason', 'group', 'duplicate_of', 'distance', 'duplicate_set')


@dataclasses.dataclass(frozen=True)
class FinishedShard:
    """What must be known of each shard until the data set is published.

    Attributes:
        shard: what the manifest says of the shard.
        fingerprint: of the plan.
        rejects: the pairs that are no records.
        checked: what came of the comparison of all its masks with their files; None if there was none.
    """

    shard: manifest.Shard
    fingerprint: str
    rejects: tuple[Reject, ...]
    checked: Checked | None = dataclasses.field(default=None, kw_only=True)


@dataclasses.dataclass(frozen=True)
class ShardSummary(FinishedShard):
    """What came of one shard plan.

    Attributes:
        statistics: over the records. With 200 classes they are some megabytes: `Summaries` does not keep them.
    """

    statistics: SplitStatistics


@dataclasses.dataclass
class Summaries:
    """What came of many shards; grows by a few hundred bytes a shard.

    Attributes:
        shards: each of them, in any order.
        statistics: over the records of each split.
    """

    shards: list[FinishedShard] = dataclasses.field(default_factory=list)
    statistics: dict[str, SplitStatistics] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, summaries: Iterable[ShardSummary]) -> 'Summaries':
        """Those of some shards."""
        result = cls()
        for summary in summaries:
            result.add(summary)
        return result

    def add(self, summary: ShardSummary) -> None:
        """Adds a shard."""
        self.shards.append(FinishedShard(summary.shard, summary.fingerprint, summary.rejects, checked=summary.checked))
        self._add_statistics(summary.shard.split, summary.statistics)

    def merge(self, other: 'Summaries') -> None:
        """Adds the shards of another one."""
        self.shards += other.shards
        for split, counted in other.statistics.items():
            self._add_statistics(split, counted)

    def _add_statistics(self, split: str, counted: SplitStatistics) -> None:
        self.statistics.setdefault(split, SplitStatistics()).merge(counted)


def shard_path(work_dir: str, fingerprint: str, file_format: str) -> str:
    """Where a shard is kept until the data set is published."""
    return os.path.join(work_dir, f'{fingerprint}.{file_format}')


def marker_path(work_dir: str, fingerprint: str) -> str:
    """The file whose presence says that a shard is finished."""
    return os.path.join(work_dir, f'{fingerprint}.json')


def write(
    work_dir: str, summary: ShardSummary, entries: Sequence[RecordEntry], ignored_shares: Sequence[float] = ()
) -> None:
    """Leaves the marker of a shard.

    Args:
        work_dir: the work directory.
        summary: of the shard.
        entries: of its records, in order.
        ignored_shares: of each of them, the share of its mask that is ignored, 0..1.
    """
    records = [{name: value for name, value in entry.to_json().items() if name not in _OF_PLAN} for entry in entries]
    value = {
        'shard': dataclasses.asdict(summary.shard),
        'statistics': summary.statistics.to_json(),
        'rejects': [dataclasses.asdict(reject) for reject in summary.rejects],
        'records': records,
        'ignored_shares': list(ignored_shares),
    }
    storage.write(marker_path(work_dir, summary.fingerprint), json.dumps(value).encode())


def read(work_dir: str, plan: ShardPlan) -> ShardSummary | None:
    """The summary of a finished shard, under the plan's name and split; None if it is not finished."""
    value = _read_json(marker_path(work_dir, plan.fingerprint))
    if value is None:
        return None
    # The shard may have been made for another plan, with another number of shards or other splits.
    shard = dataclasses.replace(manifest.Shard(**value['shard']), name=plan.name, split=plan.split)
    rejects = tuple(Reject(**reject) for reject in value['rejects'])
    return ShardSummary(shard, plan.fingerprint, rejects, SplitStatistics.from_json(value['statistics']))


def read_entries(work_dir: str, summary: FinishedShard) -> list[RecordEntry]:
    """The entries of the records of one shard, in order, without their assignments.

    Raises:
        FileNotFoundError: if the marker was removed, as a command does that published the same shards.
    """
    path = marker_path(work_dir, summary.fingerprint)
    value = _read_json(path)
    if value is None:
        raise FileNotFoundError(errno.ENOENT, 'was removed by another command; run the command again', path)
    shard = {'shard': summary.shard.name, 'split': summary.shard.split}
    return [RecordEntry.from_json({**record, **shard}) for record in value['records']]


def read_ignored_shares(work_dir: str, summaries: Sequence[FinishedShard]) -> Shares:
    """For each mask of some shards, the share of it that is ignored; those of which nothing is ignored are 0.

    A marker that is missing, or that an earlier version left, tells nothing.
    """

    def found() -> Iterator[tuple[str, float]]:
        for summary in summaries:
            value = _read_json(marker_path(work_dir, summary.fingerprint)) or {'records': []}
            yield from zip((r['mask'] for r in value['records']), value.get('ignored_shares', ()), strict=False)

    return Shares(np.fromiter((share for _, share in found()), np.float64), lambda: (name for name, _ in found()))


def remove(work_dir: str, fingerprint: str, file_format: str) -> None:
    """Removes a shard and its marker; first the marker, since it promises the shard."""
    storage.remove(marker_path(work_dir, fingerprint))
    storage.remove(shard_path(work_dir, fingerprint, file_format))


class Result(enum.StrEnum):
    """How a job ended.

    Attributes:
        PUBLISHED: the data set is there.
        UNCHANGED: it was there before, made from the same inputs.
        REJECTED: nothing was published, because pairs were rejected.
        EMPTIED: nothing was published, because rejects left a split without a pair, or all of them.
        CHECKED: a dry run wrote its report.
    """

    PUBLISHED = 'published'
    UNCHANGED = 'unchanged'
    REJECTED = 'rejected'
    EMPTIED = 'emptied'
    CHECKED = 'checked'


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came of a job.

    Attributes:
        result: how it ended.
        directory: of the data set, or of a dry run's report; empty if there is none. A command that is REJECTED leaves
            a data set that was there before as it is.
        num_records: good pairs of each split.
        rejects: what was left out, in the order of `sorted_rejects`.
        rejects_difference: how they differ from those of the data set that was there before, in one line; empty if
            they do not, or there was none.
        emptied_splits: the splits of which no pair is left.
        fingerprint: of the data set; empty if there is none.
        warnings: what the user should look at; one line each.
    """

    result: Result
    directory: str
    num_records: Mapping[str, int]
    rejects: tuple[Reject, ...] = ()
    emptied_splits: tuple[str, ...] = ()
    rejects_difference: str = ''
    fingerprint: str = ''
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; `from_json` is the inverse."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> 'Outcome':
        """The inverse of `to_json`."""
        parsed = {
            'result': Result(value['result']),
            'rejects': tuple(Reject(**reject) for reject in value['rejects']),
            'emptied_splits': tuple(value['emptied_splits']),
            'warnings': tuple(value['warnings']),
        }
        return cls(**{**value, **parsed})


def new_outcome_path(work_dir: str) -> str:
    """A path for the outcome of one run of one command."""
    # Of its own: two commands may end at the same time, and one may have been refused what the other was allowed.
    return os.path.join(work_dir, f'{uuid.uuid4().hex}{OUTCOME_SUFFIX}')


def write_outcome(path: str, outcome: Outcome) -> None:
    """Leaves the outcome for the command. An engine that runs a step twice writes the same twice."""
    with storage.writing(path):
        storage.write(path, json.dumps(outcome.to_json()).encode())


def take_outcome(path: str) -> Outcome:
    """Reads an outcome and removes it.

    Raises:
        UserError: if the last step of the job left none.
    """
    value = _read_json(path)
    if value is None:
        raise errors.UserError(f'{path}: the job ended without an outcome; run the command again')
    storage.remove(path)
    return Outcome.from_json(value)


def _read_json(path: str) -> Any:
    # A damaged marker is as good as none: what it stands for is made again.
    try:
        return json.loads(storage.read_bytes(path))
    except (OSError, ValueError):
        return None
