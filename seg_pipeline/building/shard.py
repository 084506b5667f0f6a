"""One shard: its pairs, one at a time, become records of a file in the work directory, and a marker beside it."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import TypeVar

from seg_pipeline import storage
from seg_pipeline.building import markers, pair
from seg_pipeline.building.config import RecordOptions, SourceFolders
from seg_pipeline.building.markers import ShardSummary
from seg_pipeline.building.pair import Files, PreparedPair
from seg_pipeline.dataset import manifest
from seg_pipeline.dataset.record_index import RecordEntry
from seg_pipeline.dataset.statistics import SplitStatistics
from seg_pipeline.imaging import rejects
from seg_pipeline.planning.pairing import SourcePair
from seg_pipeline.planning.sharding import ShardPlan
from seg_pipeline.records import writer
from seg_pipeline.storage import attempts, checksums
from seg_pipeline.storage.attempts import Attempt
from seg_pipeline.storage.checksums import FileDigest

_T = TypeVar('_T')


def write(
    sources: SourceFolders, options: RecordOptions, work_dir: str, plan: ShardPlan, *, paranoid: bool = False
) -> ShardSummary:
    """Makes one shard, or finds it finished; leaves it and its marker in the work directory.

    A finished shard is taken over only if its bytes have the digest that the marker says. One with rejects is made
    again: mending the permissions of a file changes neither its size nor its time, so the fingerprint does not tell.

    Args:
        sources: where the pairs are.
        options: what decides the bytes of the records.
        work_dir: the work directory.
        plan: the shard, with its fingerprint.
        paranoid: take over a finished shard only if its sources have the digests of then, and compare every stored mask
            with its file, read by another library.

    Raises:
        UserError: if the output cannot be written.
        OutsideError: if a stored mask is not what its file says.
    """
    path = markers.shard_path(work_dir, plan.fingerprint, options.file_format)
    summary = markers.read(work_dir, plan)
    if (
        summary is None
        or summary.rejects
        or checksums.problem(path, FileDigest(summary.shard.num_bytes, summary.shard.sha256)) is not None
        or (paranoid and not _has_equal_sources(sources, work_dir, summary))
    ):
        # Its work is done, so there is no note of an attempt: only its rejects tell which pairs end a process.
        deadly = (
            frozenset(r.key for r in summary.rejects if r.reason == rejects.DECODER_FAILED) if summary else frozenset()
        )
        with (
            storage.writing(work_dir),
            attempts.noted(work_dir, plan.fingerprint, [source.key for source in plan.pairs], deadly) as attempt,
        ):
            summary = _make(sources, options, work_dir, plan, attempt)
    if paranoid:
        # Another command that published the same shards may have removed them; the last step finds that out.
        with contextlib.suppress(FileNotFoundError):
            entries = markers.read_entries(work_dir, summary)
            checked = options.checker(sources.masks).check(path, entries, work_dir, plan.fingerprint)
            summary = dataclasses.replace(summary, checked=checked)
    return summary


def _has_equal_sources(sources: SourceFolders, work_dir: str, summary: ShardSummary) -> bool:
    """Whether the sources of a finished shard are, byte for byte, what it was made from."""
    try:
        return all(
            checksums.digest(path).sha256 == sha256
            for entry in markers.read_entries(work_dir, summary)
            for path, sha256 in (
                (sources.image_path(entry.image), entry.image_sha256),
                (sources.mask_path(entry.mask), entry.mask_sha256),
            )
        )
    except OSError:  # the source becomes a reject when the shard is made again
        return False


def _make(
    sources: SourceFolders, options: RecordOptions, work_dir: str, plan: ShardPlan, attempt: Attempt
) -> ShardSummary:
    statistics = SplitStatistics()
    rejected: list[rejects.Reject] = []
    entries: list[RecordEntry] = []
    ignored: list[float] = []
    # One pair at a time from file to record, so that a worker needs the memory of one pair, however many there are. The
    # writer is closed before the file takes its name: ArrayRecord writes its last chunk when it is closed.
    with (
        storage.replacing(markers.shard_path(work_dir, plan.fingerprint, options.file_format)) as file,
        contextlib.closing(writer.open_writer(options.file_format, file)) as records,
    ):
        for source, (prepared, record) in _good_pairs(pair.prepare_record, sources, options, plan, attempt, rejected):
            entries.append(_entry(plan, source, prepared, records.num_records))
            records.write(record)
            statistics.add(prepared.image, prepared.mask, prepared.original_size, source.key)
            ignored.append(pair.ignored_share(options, prepared))
    shard = manifest.Shard(
        plan.name, plan.split, records.num_records, records.num_bytes, records.payload_bytes, records.sha256
    )
    summary = ShardSummary(shard, plan.fingerprint, tuple(rejected), statistics)
    # Last: a marker promises its shard. A worker that is killed before it leaves a shard that is made again.
    markers.write(work_dir, summary, entries, ignored)
    return summary


def check(sources: SourceFolders, options: RecordOptions, work_dir: str, plan: ShardPlan) -> ShardSummary:
    """Reads, checks and counts the pairs of one shard without making it; leaves a marker, for the progress.

    Raises:
        UserError: if the marker cannot be written.
    """
    statistics = SplitStatistics()
    rejected: list[rejects.Reject] = []
    entries: list[RecordEntry] = []
    ignored: list[float] = []
    with (
        storage.writing(work_dir),
        attempts.noted(work_dir, plan.fingerprint, [source.key for source in plan.pairs]) as attempt,
    ):
        for source, prepared in _good_pairs(pair.prepare, sources, options, plan, attempt, rejected):
            entries.append(_entry(plan, source, prepared, statistics.num_records))
            statistics.add(prepared.image, prepared.mask, prepared.original_size, source.key)
            ignored.append(pair.ignored_share(options, prepared))
    shard = manifest.Shard(plan.name, plan.split, statistics.num_records, num_bytes=0, payload_bytes=0, sha256='')
    summary = ShardSummary(shard, plan.fingerprint, tuple(rejected), statistics)
    with storage.writing(work_dir):
        markers.write(work_dir, summary, entries, ignored)
    return summary


def _good_pairs(
    work: Callable[[Files, RecordOptions, SourcePair], _T],
    sources: SourceFolders,
    options: RecordOptions,
    plan: ShardPlan,
    attempt: Attempt,
    rejected: list[rejects.Reject],
) -> Iterator[tuple[SourcePair, _T]]:
    """Yields the pairs that can be part of the data set, each with what comes of it; adds others to `rejected`."""
    for source in plan.pairs:
        try:
            made = pair.handle(work, sources, options, source, attempt)
        except rejects.RejectError as error:
            # Plain data: an exception would have to survive pickling on every engine.
            rejected.append(rejects.Reject(source.key, error.reason, str(error), source.image, source.mask))
        else:
            yield source, made


def _entry(plan: ShardPlan, source: SourcePair, prepared: PreparedPair, index: int) -> RecordEntry:
    return RecordEntry(
        key=source.key,
        split=plan.split,
        shard=plan.name,
        index=index,
        image=source.image,
        mask=source.mask,
        image_sha256=prepared.image_sha256,
        mask_sha256=prepared.mask_sha256,
        original_height=prepared.original_size[0],
        original_width=prepared.original_size[1],
    )
