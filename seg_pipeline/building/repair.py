"""Makes damaged files of a data set again from its sources, and takes them only if they are what the manifest says."""

import contextlib
import dataclasses
import os
import shutil
import uuid
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

from seg_pipeline import errors, storage
from seg_pipeline.building import describe, fingerprints, markers, publish, shard
from seg_pipeline.building.config import BuildConfig, SourceFolders
from seg_pipeline.building.describe import Description
from seg_pipeline.building.markers import ShardSummary, Summaries
from seg_pipeline.dataset import inner_paths, manifest, provenance, record_index
from seg_pipeline.dataset.manifest import Manifest, Shard
from seg_pipeline.dataset.provenance import Provenance
from seg_pipeline.dataset.record_index import RecordEntry
from seg_pipeline.planning.assignment import Assignment
from seg_pipeline.planning.pairing import SourcePair
from seg_pipeline.planning.sharding import ShardPlan
from seg_pipeline.storage import atomic, checksums

# What says where records come from and what was left out. No other file says it, so nothing can bring it back.
SOURCES_OF_TRUTH = (manifest.RECORDS_FILE, manifest.REJECTED_FILE)


@dataclasses.dataclass(frozen=True)
class RepairedFile:
    """What became of one damaged file.

    Attributes:
        name: its path in the data set.
        refusal: why it could not be repaired; None if it was.
    """

    name: str
    refusal: str | None = None


class _RefusedError(Exception):
    """Why something cannot be made again."""


def repair(dataset_dir: str, images: str, masks: str) -> Iterator[RepairedFile]:
    """Makes every damaged or missing file again that can be.

    A shard is made from the files that records.jsonl names; they must be the very same. A file that describes the data
    set (statistics, TFDS metadata, card) is made from all shards, so that all sources are read. Each file takes its
    place by one rename. Files that the manifest does not know stay.

    Args:
        dataset_dir: the data set.
        images: the folder of the images that it was made from.
        masks: that of the masks.

    Yields:
        What became of each damaged file, when it is known.

    Raises:
        UserError: if the manifest is damaged or cannot be read, or something cannot be written.
    """
    if not storage.has_directories(dataset_dir):
        raise errors.UserError(f'{dataset_dir}: only a data set on this disk can be repaired; copy it here first')
    present = manifest.read(dataset_dir)
    shards = [found for found in present.shards if manifest.shard_problem(dataset_dir, found)]
    files = [name for name, digest in present.files.items() if manifest.file_problem(dataset_dir, name, digest)]
    lost = [name for name in files if name in SOURCES_OF_TRUTH]
    for name in lost:
        yield RepairedFile(name, 'no other file holds what it says; prepare the data set again')
    # Without the index nothing says which source belongs to which record: no shard can be made again.
    if lost:
        others = [*(found.name for found in shards), *(name for name in files if name not in lost)]
        yield from (RepairedFile(name, f'needs {" and ".join(lost)}') for name in others)
        return
    # The same code as of the job, in a work directory of its own: a shard is taken only if its bytes are those that the
    # manifest names, so a repair can do no harm.
    with _scratch(dataset_dir) as scratch:
        config = BuildConfig.of_dataset(present, SourceFolders(images, masks), scratch)
        yield from _repair_shards(config, present, dataset_dir, shards)
        if files:
            yield from _repair_files(config, present, dataset_dir, files)


@contextlib.contextmanager
def _scratch(dataset_dir: str) -> Iterator[str]:
    """A hidden directory beside the data set, on the same file system."""
    path = os.path.join(os.path.dirname(os.path.abspath(dataset_dir)), f'.repair-{uuid.uuid4().hex}')
    try:
        with storage.writing(path):
            os.makedirs(path)
            yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _repair_shards(
    config: BuildConfig, present: Manifest, dataset_dir: str, shards: Sequence[Shard]
) -> Iterator[RepairedFile]:
    for wanted, entries in _with_entries(dataset_dir, shards):
        try:
            summary = _make_again(config, present, wanted, entries)
        except _RefusedError as refusal:
            yield RepairedFile(wanted.name, str(refusal))
            continue
        made = markers.shard_path(config.work_dir, summary.fingerprint, config.records.file_format)
        yield _put(made, dataset_dir, wanted.name)


def _with_entries(dataset_dir: str, shards: Collection[Shard]) -> Iterator[tuple[Shard, list[RecordEntry]]]:
    """Some shards, each with the entries of its records; the index is read once."""
    wanted = {found.name: found for found in shards}
    for name, entries in record_index.by_shard(record_index.of(dataset_dir)):
        if name in wanted:
            yield wanted.pop(name), entries
    yield from ((found, []) for found in wanted.values())


def _make_again(config: BuildConfig, present: Manifest, wanted: Shard, entries: Sequence[RecordEntry]) -> ShardSummary:
    """Makes a shard in the work directory; refuses one that is not what the manifest says."""
    pairs = tuple(SourcePair(entry.key, entry.image, entry.mask) for entry in entries)
    (plan,) = fingerprints.with_fingerprints(
        config.sources, config.records, [ShardPlan(wanted.name, wanted.split, pairs)]
    )
    summary = shard.write(config.sources, config.records, config.work_dir, plan)
    if summary.rejects:
        raise _RefusedError(f'a source is not what it was: {summary.rejects[0].message}')
    # Named before the shard is compared: a changed source is the user's to explain, a changed library is not.
    for then, now in zip(entries, markers.read_entries(config.work_dir, summary), strict=True):
        _check_digest(config.sources.image_path(then.image), then.image_sha256, now.image_sha256)
        _check_digest(config.sources.mask_path(then.mask), then.mask_sha256, now.mask_sha256)
    if summary.shard != wanted:
        raise _RefusedError(_unequal(config, present, f'SHA-256 {summary.shard.sha256[:12]}, not {wanted.sha256[:12]}'))
    return summary


def _check_digest(path: str, then: str, now: str) -> None:
    if now != then:
        raise _RefusedError(f'{path} has changed: its SHA-256 is {now[:12]} and was {then[:12]}')


def _unequal(config: BuildConfig, present: Manifest, what: str) -> str:
    """Why equal sources gave something else: the first library of another version, if there is one."""
    here = fingerprints.library_versions(config.records.file_format)
    for name, then in sorted(present.library_versions.items()):
        if then != here.get(name):
            return f'made again, it has {what}: {name} is {here.get(name)} here and was {then}'
    return f'made again, it has {what}'


def _repair_files(
    config: BuildConfig, present: Manifest, dataset_dir: str, names: Sequence[str]
) -> Iterator[RepairedFile]:
    """Describes the data set again, from all its shards."""
    try:
        made = Summaries.of(
            _make_again(config, present, wanted, entries)
            for wanted, entries in _with_entries(dataset_dir, present.shards)
        )
    except _RefusedError as refusal:
        yield from (RepairedFile(name, str(refusal)) for name in names)
        return
    staging = os.path.join(config.output_dir, 'staging')
    os.makedirs(staging)
    # Statistics and TFDS metadata follow from the shards alone; only the card shows the command.
    try:
        made_by = provenance.read(dataset_dir)
    except errors.UserError:
        made_by = None
    what = _description(config, dataset_dir, made_by or Provenance(), made)
    publish.build(what, sorted(made.shards, key=lambda summary: summary.shard.name), staging)
    for name in names:
        path = os.path.join(staging, name)
        problem = checksums.problem(path, present.files[name])
        if problem is None:
            yield _put(path, dataset_dir, name)
        elif made_by is None and name in (manifest.PROVENANCE_FILE, manifest.CARD_FILE):
            yield RepairedFile(
                name, f'{manifest.PROVENANCE_FILE} is missing or damaged, and no other file holds the command'
            )
        else:
            found = problem.removeprefix(f'{path}: ')
            yield RepairedFile(name, _unequal(config, present, f'other contents ({found})'))


def _description(config: BuildConfig, dataset_dir: str, made_by: Provenance, made: Summaries) -> Description:
    """What was said of the data set, as its index, its provenance and its shards tell."""
    index = record_index.of(dataset_dir)
    # By the sets, not by the links from one to the next: of a chain, one in the middle may have been rejected.
    duplicates = defaultdict(list)
    for entry in index:
        if entry.duplicate_set is not None:
            duplicates[entry.duplicate_set].append(entry.key)
    sets = tuple(tuple(sorted(keys)) for _, keys in sorted(duplicates.items()))
    rejects = describe.sorted_rejects(record_index.read_rejects(dataset_dir))
    return Description(config, _assignments(index), sets, made_by, rejects, made.statistics)


def _assignments(index: Iterable[RecordEntry]) -> Callable[[str], dict[str, Assignment]]:
    """The assignments of a shard, asked for in the order of the index; none for one that has no record."""
    by_shard = record_index.by_shard(index)
    following = [next(by_shard, None)]

    def of(shard_name: str) -> dict[str, Assignment]:
        if following[0] is None or following[0][0] != shard_name:
            return {}
        _, entries = following[0]
        following[0] = next(by_shard, None)
        return {entry.key: _assignment(entry) for entry in entries if entry.split_reason is not None}

    return of


def _assignment(entry: RecordEntry) -> Assignment:
    return Assignment(entry.split, entry.split_reason or '', entry.group, entry.duplicate_of, entry.distance)


def _put(made: str, dataset_dir: str, name: str) -> RepairedFile:
    """Moves a file to its place in the data set. A link there is replaced; nothing is written through one."""
    path = os.path.join(dataset_dir, name)
    directory = os.path.dirname(name)
    if directory and (link := inner_paths.link(dataset_dir, directory)):
        return RepairedFile(name, f'{link} is a symbolic link; remove it')
    if os.path.isdir(path) and not os.path.islink(path):
        return RepairedFile(name, f'{path} is a directory; remove it')
    os.makedirs(os.path.dirname(path), exist_ok=True)
    os.replace(made, path)
    atomic.sync_directory(os.path.dirname(path))
    return RepairedFile(name)
