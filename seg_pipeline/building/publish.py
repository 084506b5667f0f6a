"""Publication: finished shards become a data set, by the one step that makes it visible.

On a file system that step is the rename of a hidden directory: before it there is no data set, after it there is all of
it. An object store cannot rename: there the last object written is the manifest, see `object_commit`.
"""

import contextlib
import dataclasses
import os
import shutil
import tempfile
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from seg_pipeline import errors, storage
from seg_pipeline.building import describe, markers, object_commit, work_dir
from seg_pipeline.building.config import BuildConfig
from seg_pipeline.building.describe import Description
from seg_pipeline.building.markers import FinishedShard, Outcome, Result, Summaries
from seg_pipeline.cross_check import Checked
from seg_pipeline.dataset import ignored, manifest, place
from seg_pipeline.dataset.provenance import Provenance
from seg_pipeline.imaging import rejects
from seg_pipeline.planning import empty_splits
from seg_pipeline.planning.plan_files import Plan
from seg_pipeline.plurals import counted
from seg_pipeline.storage import atomic, attempts

# Masks that are compared with their sources: one of a hundred, which takes about 1 % of the time that making them took.
_LEAST_SAMPLED, _MOST_SAMPLED = 8, 32
_REMOTE_SHARDS = 4


@dataclasses.dataclass(frozen=True)
class PublishRequest:
    """What the last step needs beside the shards.

    Attributes:
        config: the data set configuration.
        plan: the files of the plan: nothing is published while one of its shards is missing.
        allow_rejects: publish without the rejected pairs instead of not at all.
        allow_empty_splits: publish without the splits of which rejects leave no pair instead of not at all.
        provenance: what makes the data set.
    """

    config: BuildConfig
    plan: Plan
    allow_rejects: bool = False
    allow_empty_splits: bool = False
    provenance: Provenance = dataclasses.field(default_factory=Provenance)

    def description(self, made: Summaries) -> Description:
        """What is said of the data set, with the rejects of the shards too."""
        rejects = describe.sorted_rejects([*self.plan.rejects(), *(r for shard in made.shards for r in shard.rejects)])
        planned = {shard.name: shard for shard in self.plan.shards()}
        return Description(
            self.config,
            lambda shard: planned[shard].assignments(),
            tuple(self.plan.duplicates()),
            self.provenance,
            rejects,
            made.statistics,
        )


def publish(request: PublishRequest, made: Summaries) -> Outcome:
    """Makes the data set of finished shards visible, or says why not.

    Calling it twice, even at the same time, is harmless: equal inputs give equal bytes, and the first rename decides.

    Returns:
        An outcome that is PUBLISHED; REJECTED or EMPTIED if rejects are not allowed, or leave a split empty and that is
        not allowed, or leave nothing.

    Raises:
        UserError: if a shard is missing, another data set is there already, or something cannot be written.
    """
    config = request.config
    what = request.description(made)
    planned = sorted(made.shards, key=lambda summary: summary.shard.name)
    _check_complete(request, planned)
    refused = _refusal(request, what, planned)
    if refused is not None:
        return refused
    # A reader could not open a split without a record.
    counts = count_records(planned)
    summaries = [summary for summary in planned if counts[summary.shard.split]]
    emptied = tuple(sorted(split for split, number in counts.items() if not number))
    warnings: tuple[str, ...] = (empty_splits.emptied(emptied),) if emptied else ()
    try:
        # Before anything is visible, and not after: a data set that was there for a moment may be in use already.
        warnings += (
            *_check_sample(config, summaries),
            *_ignored_warnings(config, summaries),
        )
        if storage.has_directories(config.dataset_dir):
            built = _publish_by_rename(what, summaries)
        else:
            built = _publish_by_manifest(what, summaries)
    except OSError:
        # Another command may have published the same shards and removed them from the work directory meanwhile.
        published = _published(config.dataset_dir, summaries)
        if published is None:
            with storage.writing(config.dataset_dir):
                raise
        built = published
    _remove_work(request, planned)
    return Outcome(
        Result.PUBLISHED,
        config.dataset_dir,
        count_records(summaries),
        what.rejects,
        emptied,
        fingerprint=built.fingerprint,
        warnings=warnings,
    )


def _ignored_warnings(config: BuildConfig, summaries: Sequence[FinishedShard]) -> tuple[str, ...]:
    shares = markers.read_ignored_shares(config.work_dir, summaries)
    return ignored.warnings(shares.standing_out(), len(shares.values))


def _check_sample(config: BuildConfig, summaries: Sequence[FinishedShard]) -> tuple[str, ...]:
    """Compares some stored masks, evenly from all shards, with their sources, read by another library.

    Where the workers compared all of them, nothing is left to compare.

    Returns:
        A line for each reason why some could not be compared.

    Raises:
        OutsideError: if one differs.
        UserError: if a source was changed since its record was made.
        OSError: if a shard or marker was removed by another command.
    """
    done = [summary.checked for summary in summaries if summary.checked is not None]
    if len(done) == len(summaries):
        return sum(done, Checked()).warnings(of_all=True)
    checker = config.records.checker(config.sources.masks)
    checked = Checked()
    for summary, indices in sample(config, summaries):
        entries = markers.read_entries(config.work_dir, summary)
        some = [entries[index] for index in indices]
        checked += checker.check(_shard_path(config, summary), some, config.work_dir, summary.fingerprint)
    return checked.warnings(of_all=False)


def sample(config: BuildConfig, summaries: Sequence[FinishedShard]) -> Iterator[tuple[FinishedShard, list[int]]]:
    """Which stored masks are compared with their sources: one of a hundred, within the two limits above.

    Evenly from all records in the order of the shards; in an object store from four shards.

    Args:
        config: the data set configuration.
        summaries: the shards.

    Yields:
        Some shards, each with the indices of some of its records, ascending.
    """
    with_records = [summary for summary in summaries if summary.shard.num_records]
    if not storage.has_directories(config.work_dir) and len(with_records) > _REMOTE_SHARDS:
        # Each shard is downloaded: a few of them, evenly too.
        with_records = [with_records[i * len(with_records) // _REMOTE_SHARDS] for i in range(_REMOTE_SHARDS)]
    total = sum(summary.shard.num_records for summary in with_records)
    number = min(total, max(_LEAST_SAMPLED, min(_MOST_SAMPLED, total // 100)))
    wanted = [(2 * i + 1) * total // (2 * number) for i in range(number)]
    first = 0
    for summary in with_records:
        indices = [place - first for place in wanted if first <= place < first + summary.shard.num_records]
        if indices:
            yield summary, indices
        first += summary.shard.num_records


def _check_complete(request: PublishRequest, summaries: Sequence[FinishedShard]) -> None:
    planned = {shard.name for shard in request.plan.shards()}
    if planned != {summary.shard.name for summary in summaries} or len(summaries) != len(planned):
        made = f'{len(summaries)} of {counted(len(planned), "shard")} were made'
        raise errors.UserError(f'{request.config.work_dir}: {made}; run the command again')


def _refusal(request: PublishRequest, what: Description, summaries: Sequence[FinishedShard]) -> Outcome | None:
    if not what.rejects:
        return None
    counts = count_records(summaries)
    if rejects.unintended(what.rejects) and not request.allow_rejects:
        return Outcome(Result.REJECTED, '', counts, what.rejects)
    emptied = tuple(sorted(split for split, number in counts.items() if not number))
    if emptied and not (request.allow_empty_splits and any(counts.values())):
        return Outcome(Result.EMPTIED, '', counts, what.rejects, emptied)
    return None


def count_records(summaries: Iterable[FinishedShard]) -> dict[str, int]:
    """The records of each split."""
    counts: Counter[str] = Counter()
    for summary in summaries:
        counts[summary.shard.split] += summary.shard.num_records
    return dict(counts)


def _publish_by_rename(what: Description, summaries: Sequence[FinishedShard]) -> manifest.Manifest:
    config = what.config
    # In the work directory, which is on the same file system: a rename across two is a copy, and not atomic.
    staging = os.path.join(config.work_dir, f'{work_dir.STAGING_PREFIX}{uuid.uuid4().hex}')
    try:
        os.makedirs(staging)
        built = build(what, summaries, staging)
        return _move_into_place(staging, config.dataset_dir, built)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def build(what: Description, summaries: Sequence[FinishedShard], staging: str) -> manifest.Manifest:
    """Puts every file of the data set into a directory; the manifest comes last.

    Args:
        what: what is said of it.
        summaries: the shards, ordered by name; they and their markers are in the work directory.
        staging: an empty directory of this disk.

    Returns:
        The manifest.

    Raises:
        OSError: if something cannot be written, or a shard or marker was removed by another command.
    """
    config = what.config
    shards = {summary.shard.name: os.path.join(staging, summary.shard.name) for summary in summaries}
    for summary in summaries:
        _link(_shard_path(config, summary), shards[summary.shard.name])
    return describe.write(what, config.work_dir, summaries, staging, shards)


def _shard_path(config: BuildConfig, summary: FinishedShard) -> str:
    return markers.shard_path(config.work_dir, summary.fingerprint, config.records.file_format)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)  # a second name costs nothing, and the shard stays in the work directory until the end
    except OSError:  # no hard links on this file system, or the source is missing: copying tells which
        shutil.copyfile(source, target)


def _move_into_place(staging: str, dataset_dir: str, built: manifest.Manifest) -> manifest.Manifest:
    """The commit: one rename of the directory, which fails if there is a directory with files already.

    The directory is synced before, so that after a power cut no name in it is missing, and its parent after, so that
    the rename itself is on the disk before the command says so.
    """
    atomic.sync_directory(staging)
    try:
        os.rename(staging, dataset_dir)
    except OSError:
        if not os.path.isdir(dataset_dir):
            raise
        # Another command was faster. If its data set is the same one, that is as good.
        present = manifest.read(dataset_dir)
        if present.fingerprint != built.fingerprint:
            raise errors.UserError(
                f'{dataset_dir}: holds a data set of fingerprint {present.fingerprint[:12]}, this one has '
                f'{built.fingerprint[:12]}; remove it or give another --dataset_version'
            ) from None
        built = present
    atomic.sync_directory(os.path.dirname(dataset_dir))
    return built


def _publish_by_manifest(what: Description, summaries: Sequence[FinishedShard]) -> manifest.Manifest:
    config = what.config
    if place.is_taken(config.dataset_dir):
        published = _published(config.dataset_dir, summaries)
        if published is not None:
            return published
        raise errors.UserError(
            f'{config.dataset_dir}: holds a data set already; remove it or give another --dataset_version'
        )
    shards = {summary.shard.name: _shard_path(config, summary) for summary in summaries}
    with tempfile.TemporaryDirectory(prefix=work_dir.STAGING_PREFIX) as staging:
        built = describe.write(what, config.work_dir, summaries, staging, shards)
        object_commit.commit(staging, config.dataset_dir, built, shards)
    return built


def _published(dataset_dir: str, summaries: Sequence[FinishedShard]) -> manifest.Manifest | None:
    """The data set that is there, if another command published the same shards while this one was at work."""
    try:
        present = manifest.read(dataset_dir)
    except errors.UserError:
        return None
    return present if set(present.shards) == {summary.shard for summary in summaries} else None


def _remove_work(request: PublishRequest, summaries: Sequence[FinishedShard]) -> None:
    """Removes from the work directory what the data set now holds; the work of other commands stays."""
    config = request.config
    units_of = {shard.fingerprint: shard.unit_fingerprints for shard in request.plan.shards()}
    for summary in summaries:
        # The parts of a shard that has rejects are kept when it is put together; an attempt that an engine repeats may
        # leave others. Where each is a request, these are left to --clean.
        is_left = summary.rejects or storage.has_directories(config.work_dir)
        parts = units_of[summary.fingerprint] if is_left else ()
        for fingerprint in parts:
            with contextlib.suppress(OSError):
                markers.remove(config.work_dir, fingerprint, config.records.file_format)
        # The data set is published: what cannot be removed costs space, and the next command may remove it.
        with contextlib.suppress(OSError):
            markers.remove(config.work_dir, summary.fingerprint, config.records.file_format)
    with contextlib.suppress(OSError):
        known = frozenset(units_of).union(*units_of.values())
        attempts.forget(config.work_dir, known)
    work_dir.remove_stale(config.work_dir)
