"""One shard: its pairs, one at a time, become records of a file in the work directory, and a marker beside it."""

import contextlib
import dataclasses
import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from seg_pipeline import errors, storage
from seg_pipeline.building import markers, pair
from seg_pipeline.building.config import RecordOptions, SourceFolders
from seg_pipeline.building.markers import ShardSummary
from seg_pipeline.building.pair import Files, PreparedPair
from seg_pipeline.dataset import manifest
from seg_pipeline.dataset.record_index import RecordEntry
from seg_pipeline.dataset.statistics import SplitStatistics
from seg_pipeline.imaging import rejects
from seg_pipeline.planning.pairing import SourcePair
from seg_pipeline.planning.plan_files import PlannedUnit
from seg_pipeline.planning.sharding import ShardPlan
from seg_pipeline.records import writer
from seg_pipeline.storage import attempts, checksums
from seg_pipeline.storage.attempts import Attempt
from seg_pipeline.storage.checksums import FileDigest

_T = TypeVar('_T')
_COPIED_BYTES = 1 << 20  # at a time
_ATTEMPTS = 3


def write(
    sources: SourceFolders,
    options: RecordOptions,
    work_dir: str,
    plan: ShardPlan,
    *,
    units: Sequence[ShardPlan] = (),
    paranoid: bool = False,
) -> ShardSummary:
    """Makes one shard, or finds it finished; leaves it and its marker in the work directory.

    A finished shard is taken over only if its bytes have the digest that the marker says. One with rejects is made
    again: mending the permissions of a file changes neither its size nor its time, so the fingerprint does not tell.

    Args:
        sources: where the pairs are.
        options: what decides the bytes of the records.
        work_dir: the work directory.
        plan: the shard, with its fingerprint.
        units: the parts to put it together of, which are made, or found finished, themselves; none to make it at once.
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
        if units:
            with storage.writing(work_dir):
                joined = _join(sources, options, work_dir, plan, units, paranoid)
            return _checked(sources, options, work_dir, joined, paranoid)
        # Its work is done, so there is no note of an attempt: only its rejects tell which pairs end a process.
        deadly = (
            frozenset(r.key for r in summary.rejects if r.reason == rejects.DECODER_FAILED) if summary else frozenset()
        )
        with (
            storage.writing(work_dir),
            attempts.noted(work_dir, plan.fingerprint, [source.key for source in plan.pairs], deadly) as attempt,
        ):
            summary = _make(sources, options, work_dir, plan, attempt)
    return _checked(sources, options, work_dir, summary, paranoid)


def _checked(
    sources: SourceFolders, options: RecordOptions, work_dir: str, summary: ShardSummary, paranoid: bool
) -> ShardSummary:
    """Of a paranoid job, what came of the comparison of all masks of a shard with their files."""
    if paranoid:
        path = markers.shard_path(work_dir, summary.fingerprint, options.file_format)
        # Another command that published the same shards may have removed them; the last step finds that out.
        with contextlib.suppress(FileNotFoundError):
            entries = markers.read_entries(work_dir, summary)
            checked = options.checker(sources.masks).check(path, entries, work_dir, summary.fingerprint)
            summary = dataclasses.replace(summary, checked=checked)
    return summary


def write_unit(
    sources: SourceFolders, options: RecordOptions, work_dir: str, unit: PlannedUnit, *, paranoid: bool = False
) -> None:
    """Makes a part of a shard that will be put together of its parts, unless the shard is finished.

    Of a finished shard with rejects the parts are looked at again, as `write` looks at such a shard.

    Raises:
        UserError, OutsideError: as `write` does.
    """
    shard = unit.shard
    if shard.unit_sizes:
        finished = markers.read(work_dir, ShardPlan(shard.name, shard.split, (), shard.fingerprint))
        if finished is None or finished.rejects:
            write(sources, options, work_dir, unit.load(), paranoid=paranoid)


def _join(
    sources: SourceFolders,
    options: RecordOptions,
    work_dir: str,
    plan: ShardPlan,
    units: Sequence[ShardPlan],
    paranoid: bool,
) -> ShardSummary:
    """Puts a shard together of its parts, with the bytes and the marker that it would have if it was made at once."""
    for _ in range(_ATTEMPTS):
        made = [write(sources, options, work_dir, unit, paranoid=paranoid) for unit in units]
        try:
            summary = _concatenate(options, work_dir, plan, made)
            break
        except FileNotFoundError:  # another command has put it together, and removed the parts
            found = markers.read(work_dir, plan)
            if found is not None:
                return found
    else:
        raise errors.OutsideError(f'{work_dir}: other commands remove what this one makes; run the command again')
    if not summary.rejects:  # else what is known of them is needed when the shard is looked at again
        for part in made:
            markers.remove(work_dir, part.fingerprint, options.file_format)
    return summary


def _concatenate(options: RecordOptions, work_dir: str, plan: ShardPlan, parts: Sequence[ShardSummary]) -> ShardSummary:
    """Writes a shard and its marker. A TFRecord file is its records and nothing else: so files may be joined."""
    digest = hashlib.sha256()
    statistics, entries, ignored = SplitStatistics(), [], []
    with storage.replacing(markers.shard_path(work_dir, plan.fingerprint, options.file_format)) as file:
        for part in parts:
            path = markers.shard_path(work_dir, part.fingerprint, options.file_format)
            with storage.local_copy(path) as local, open(local, 'rb') as source:
                while block := source.read(_COPIED_BYTES):
                    file.write(block)
                    digest.update(block)
            statistics.merge(part.statistics)
            entries += markers.read_entries(work_dir, part)
            ignored += markers.read_ignored_shares(work_dir, [part]).values.tolist()
    shard = manifest.Shard(
        plan.name,
        plan.split,
        len(entries),
        sum(part.shard.num_bytes for part in parts),
        sum(part.shard.payload_bytes for part in parts),
        digest.hexdigest(),
    )
    rejected = tuple(reject for part in parts for reject in part.rejects)
    summary = ShardSummary(shard, plan.fingerprint, rejected, statistics)
    numbered = [dataclasses.replace(entry, index=index) for index, entry in enumerate(entries)]
    markers.write(work_dir, summary, numbered, ignored)
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
            rejected.append(error.of(source.key, source.image, source.mask))
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
