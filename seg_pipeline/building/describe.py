"""The files of a data set beside its shards: index, statistics, TFDS metadata, card, and the manifest."""

import dataclasses
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from seg_pipeline.building import fingerprints, markers
from seg_pipeline.building.config import BuildConfig
from seg_pipeline.building.markers import FinishedShard
from seg_pipeline.card import gallery, page
from seg_pipeline.dataset import manifest, statistics, tfds_metadata
from seg_pipeline.dataset.provenance import Provenance
from seg_pipeline.dataset.record_index import RecordEntry, RecordIndex
from seg_pipeline.dataset.statistics import SplitStatistics, SplitSummary
from seg_pipeline.imaging.rejects import Reject
from seg_pipeline.planning.assignment import Assignment
from seg_pipeline.records import schemas
from seg_pipeline.storage import atomic, checksums

_DuplicateGroups = tuple[tuple[RecordEntry, ...], ...]


@dataclasses.dataclass(frozen=True)
class Description:
    """What is said of a data set, beside what its shards say.

    Attributes:
        config: the data set configuration.
        assignments: for the name of a shard, the split of its pairs by their keys and why; a key without one has no
            reason in the index. Asked for one shard after another, in the order of their names.
        duplicates: the keys of each set of identical or nearly identical images.
        provenance: what made it.
        rejects: what was left out, in order.
        statistics: over the records of each split.
    """

    config: BuildConfig
    assignments: Callable[[str], Mapping[str, Assignment]] = lambda shard: {}
    duplicates: tuple[tuple[str, ...], ...] = ()
    provenance: Provenance = dataclasses.field(default_factory=Provenance)
    rejects: tuple[Reject, ...] = ()
    statistics: Mapping[str, SplitStatistics] = dataclasses.field(default_factory=dict)


def write(
    what: Description, work_dir: str, summaries: Sequence[FinishedShard], staging: str, shard_paths: Mapping[str, str]
) -> manifest.Manifest:
    """Writes every file but the shards into a directory; the manifest comes last.

    Args:
        what: the description.
        work_dir: where the markers are.
        summaries: the shards, ordered by name.
        staging: an empty directory of this disk.
        shard_paths: where each shard is, by its name in the data set; the pictures of the card are read there.

    Returns:
        The manifest.

    Raises:
        OSError: if something cannot be written, or a marker was removed by another command.
    """
    config = what.config
    shards = tuple(summary.shard for summary in summaries)
    splits = split_summaries(what, summaries)
    # The index first: duplicates and gallery are chosen by streaming it.
    write_index(what, work_dir, summaries, staging)
    index = RecordIndex(os.path.join(staging, manifest.RECORDS_FILE))
    duplicates = _find_duplicates(what.duplicates, index)
    _write(staging, manifest.DUPLICATES_FILE, manifest.canonical_json(_duplicates_json(duplicates)))
    _write(staging, manifest.REJECTED_FILE, rejected_lines(what.rejects))
    _write(staging, manifest.STATISTICS_FILE, statistics_json(splits))
    _write(staging, manifest.PROVENANCE_FILE, what.provenance.to_bytes())
    if config.records.schema == schemas.TFDS:  # TFDS cannot be told of records with other names
        _write_tfds_metadata(config, shards, staging)
    # The card shows the fingerprint, and the manifest holds the digest of the card: so the fingerprint covers every
    # file but the card and the provenance, and is had before the card is made.
    of_shards = {shard.name for shard in shards}
    files = dict(_file_digests(staging, of_shards))
    without_card = dataclasses.replace(describe_manifest(config, shards), files=files).sealed()
    # A squashed image is shown as it was; the other modes keep its aspect ratio.
    proportions = 'source' if config.records.resize == 'squash' else 'stored'
    total = total_summary(what)
    card = page.DataCard(
        manifest=without_card,
        mostly_ignored=list(markers.read_ignored_shares(work_dir, summaries).standing_out()),
        total=total,
        splits=splits,
        rejects=what.rejects,
        pictures=gallery.choose(shard_paths, index, total.classes, proportions=proportions),
        command=what.provenance.shown_command,
        duplicates=duplicates,
        duplicate_pictures=gallery.of_duplicates(shard_paths, index, duplicates, proportions=proportions),
    )
    _write(staging, manifest.CARD_FILE, page.render(card))
    files.update(_file_digests(staging, of_shards | files.keys()))
    result = dataclasses.replace(without_card, files=files)
    _write(staging, manifest.FILE_NAME, result.to_bytes())
    return result


def _write(directory: str, name: str, data: bytes) -> None:
    atomic.write(os.path.join(directory, name), data)


def write_index(what: Description, work_dir: str, summaries: Sequence[FinishedShard], staging: str) -> None:
    """Writes the index, holding the entries of one shard at a time. The arguments are those of `write`."""
    set_of = {key: keys[0] for keys in what.duplicates for key in keys}
    with atomic.replacing(os.path.join(staging, manifest.RECORDS_FILE)) as file:
        for summary in summaries:
            assignments = what.assignments(summary.shard.name)
            for entry in markers.read_entries(work_dir, summary):
                file.write(_assigned(entry, assignments.get(entry.key), set_of.get(entry.key)).to_line())


def _assigned(entry: RecordEntry, assignment: Assignment | None, duplicate_set: str | None) -> RecordEntry:
    if assignment is None:
        return dataclasses.replace(entry, duplicate_set=duplicate_set)
    return dataclasses.replace(
        entry,
        duplicate_set=duplicate_set,
        split_reason=assignment.reason,
        group=assignment.group,
        duplicate_of=assignment.duplicate_of,
        distance=assignment.distance,
    )


def _find_duplicates(duplicates: Iterable[Sequence[str]], index: Iterable[RecordEntry]) -> _DuplicateGroups:
    """The entries of each set of duplicates, as far as they are in the data set: one alone is no duplicate there."""
    # Only the entries of duplicates are held, of an index that may have millions.
    wanted = {key for keys in duplicates for key in keys}
    by_key = {entry.key: entry for entry in index if entry.key in wanted}
    found = (tuple(by_key[key] for key in keys if key in by_key) for keys in duplicates)
    return tuple(members for members in found if len(members) > 1)


def _duplicates_json(groups: _DuplicateGroups) -> list[list[dict[str, Any]]]:
    names = ('key', 'image', 'split', 'split_reason', 'duplicate_of', 'distance')
    return [[{name: getattr(member, name) for name in names} for member in members] for members in groups]


def rejected_lines(rejects: Iterable[Reject]) -> bytes:
    """The text of `rejected.jsonl`."""
    return ''.join(f'{reject.to_json()}\n' for reject in rejects).encode()


def sorted_rejects(rejects: Iterable[Reject]) -> tuple[Reject, ...]:
    """Rejects in the one order in which they are written and printed."""
    return tuple(sorted(rejects, key=lambda reject: (reject.key, reject.reason, reject.message)))


def split_summaries(what: Description, summaries: Iterable[FinishedShard]) -> dict[str, SplitSummary]:
    """The figures of each split by its name, in the order of the shards."""
    splits = dict.fromkeys(summary.shard.split for summary in summaries)
    return {split: what.statistics[split].summary(what.config.records.label_map) for split in splits}


def total_summary(what: Description) -> SplitSummary:
    """The figures of all splits together."""
    return statistics.merged(what.statistics.values()).summary(what.config.records.label_map)


def statistics_json(splits: Mapping[str, SplitSummary]) -> bytes:
    """The text of `statistics.json`."""
    return manifest.canonical_json({split: summary.to_json() for split, summary in splits.items()})


def _write_tfds_metadata(config: BuildConfig, shards: Sequence[manifest.Shard], staging: str) -> None:
    tfds_metadata.write(
        staging,
        name=config.dataset_name,
        version=config.version,
        image_size=config.image_size,
        label_map=config.records.label_map,
        image_encoding=config.records.image_encoding,
        shards=_split_shards(shards),
        file_format=config.records.file_format,
        card=tfds_metadata.Card(description=_summary_text(config, shards)),
    )


def _split_shards(shards: Sequence[manifest.Shard]) -> list[tuple[str, list[int], int]]:
    """For each split its name, the records of each shard and the bytes of all payloads."""
    return [
        (
            split,
            [shard.num_records for shard in shards if shard.split == split],
            sum(shard.payload_bytes for shard in shards if shard.split == split),
        )
        for split in dict.fromkeys(shard.split for shard in shards)
    ]


def _summary_text(config: BuildConfig, shards: Sequence[manifest.Shard]) -> str:
    height, width = config.image_size
    return (
        f'{sum(shard.num_records for shard in shards)} images with a mask of {config.records.label_map.num_classes} '
        f'classes, resized to {height} x {width} pixels (height x width) by {config.records.resize}: images by area, '
        f'masks by {config.records.mask_resize}.'
    )


def describe_manifest(
    config: BuildConfig, shards: tuple[manifest.Shard, ...], fingerprint: str = ''
) -> manifest.Manifest:
    """The manifest, without the digests of the files beside the shards, which the fingerprint needs."""
    return manifest.Manifest(
        dataset_name=config.dataset_name,
        config_name=config.config_name,
        version=config.version,
        fingerprint=fingerprint,
        options=config.options(),
        library_versions=fingerprints.library_versions(config.records.file_format),
        record_format=fingerprints.RECORD_FORMAT,
        label_map=config.records.label_map,
        shards=shards,
        files={},
    )


def _file_digests(root: str, but: Collection[str]) -> Iterator[tuple[str, checksums.FileDigest]]:
    """The digests of all files below a directory by their paths in it, except some."""
    names = sorted(
        os.path.relpath(os.path.join(directory, name), root) for directory, _, names in os.walk(root) for name in names
    )
    # The digests of the shards are known from when they were written, and need not be read again.
    for name in names:
        if name not in but:
            yield name, checksums.digest(os.path.join(root, name))
