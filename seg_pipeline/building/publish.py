"""From finished shards to a data set: metadata, manifest, and the one rename that makes it visible."""

import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
import tempfile
import uuid
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from seg_pipeline import errors, storage
from seg_pipeline.building import existing, object_commit, preparation, work_dir
from seg_pipeline.building.preparation import Preparation, ShardSummary
from seg_pipeline.card import gallery, page
from seg_pipeline.dataset import manifest, tfds_metadata
from seg_pipeline.dataset import statistics as statistics_lib
from seg_pipeline.imaging.rejects import Reject
from seg_pipeline.planning.assignment import Placement
from seg_pipeline.planning.sharding import ShardPlan
from seg_pipeline.records import schemas
from seg_pipeline.storage import atomic, checksums


@dataclasses.dataclass(frozen=True)
class Publication:
    """What the last step needs beside the shards.

    Attributes:
        job: the preparation.
        shard_names: the names of all planned shards: nothing is published while one is missing.
        rejects: what was rejected before anything was decoded.
        allow_rejects: publish without the rejected pairs instead of not at all.
        placements: why each pair is in its split; for `records.jsonl`.
        duplicates: the keys of each set of identical or nearly identical photos; for `duplicates.json`.
        command: what to type to make the data set again, for its card.
    """

    job: Preparation
    shard_names: tuple[str, ...]
    rejects: tuple[Reject, ...] = ()
    allow_rejects: bool = False
    placements: Mapping[str, Placement] = dataclasses.field(default_factory=dict)
    duplicates: tuple[tuple[str, ...], ...] = ()
    command: str = ''


def publish(publication: Publication, summaries: Sequence[ShardSummary]) -> str | None:
    """Puts the data set together in a hidden directory and moves it to its place by one rename.

    Calling it twice, even at the same time, is harmless: equal inputs give equal bytes, and the first rename wins.

    Returns:
        The directory of the data set; None if it was not published because rejects are not allowed or empty a split.

    Raises:
        UserError: if a shard is missing or another data set has taken the place.
    """
    job = publication.job
    missing = set(publication.shard_names) - {summary.shard.name for summary in summaries}
    if missing or len(summaries) != len(publication.shard_names):
        made = f'{len(summaries)} of {len(publication.shard_names)} shards were made'
        raise errors.UserError(f'{job.work_dir}: {made}; run the command again')
    rejected = sorted_rejects([*publication.rejects, *(r for summary in summaries for r in summary.rejects)])
    if rejected and (not publication.allow_rejects or emptied_splits(summaries)):
        return None
    summaries = sorted(summaries, key=lambda summary: summary.shard.name)
    try:
        if storage.has_directories(job.dataset_dir):
            _publish_here(publication, summaries, rejected)
        else:
            _publish_elsewhere(publication, summaries, rejected)
    except OSError:
        if not _is_published(job.dataset_dir, summaries):
            with storage.writing(job.dataset_dir):
                raise
    _forget_work(job, summaries)
    return job.dataset_dir


def _publish_here(publication: Publication, summaries: Sequence[ShardSummary], rejected: Sequence[Reject]) -> None:
    job = publication.job
    staging = os.path.join(job.work_dir, f'{work_dir.STAGING_PREFIX}{uuid.uuid4().hex}')
    try:
        os.makedirs(staging)
        _move_into_place(staging, job.dataset_dir, build(publication, summaries, rejected, staging))
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _publish_elsewhere(publication: Publication, summaries: Sequence[ShardSummary], rejected: Sequence[Reject]) -> None:
    job = publication.job
    if manifest.is_taken(job.dataset_dir):
        if _is_published(job.dataset_dir, summaries):
            return
        raise errors.UserError(
            f'{job.dataset_dir}: holds a data set already; remove it or give another --dataset_version'
        )
    object_commit.place_shards(
        job.dataset_dir,
        {summary.shard.name: preparation.shard_path(job, summary.fingerprint) for summary in summaries},
    )
    with tempfile.TemporaryDirectory(prefix=work_dir.STAGING_PREFIX) as staging:
        built = _describe(publication, summaries, rejected, staging, job.dataset_dir)
        object_commit.commit(staging, job.dataset_dir, built)


def emptied_splits(summaries: Iterable[ShardSummary]) -> list[str]:
    """The splits of which no pair is left: a reader of the data set could not open them."""
    records: Counter[str] = Counter()
    for summary in summaries:
        records[summary.shard.split] += summary.shard.num_records
    return sorted(split for split, number in records.items() if not number)


def read_rejects(publication: Publication, plans: Sequence[ShardPlan]) -> list[Reject]:
    """All rejects of a job that has ended: from the data set, or from the markers where none was published."""
    job = publication.job
    if manifest.is_taken(job.dataset_dir):
        return existing.published_rejects(job)
    found = [preparation.read_marker(job, plan) for plan in plans]
    return sorted_rejects([*publication.rejects, *(r for summary in found if summary for r in summary.rejects)])


def sorted_rejects(rejected: Iterable[Reject]) -> list[Reject]:
    """Rejects in the one order in which they are written and printed."""
    return sorted(rejected, key=lambda reject: (reject.key, reject.reason, reject.message))


def build(
    publication: Publication, summaries: Sequence[ShardSummary], rejected: Sequence[Reject], staging: str
) -> manifest.Manifest:
    """Writes every file of the data set into a directory; the manifest comes last.

    Args:
        publication: what the data set is made of, beside the shards.
        summaries: the shards, ordered by name; they and their markers lie in the work directory.
        rejected: all rejects, in order.
        staging: an empty directory.

    Returns:
        The manifest.

    Raises:
        OSError: if something cannot be written, or a shard or marker has gone.
    """
    for summary in summaries:
        _link(preparation.shard_path(publication.job, summary.fingerprint), os.path.join(staging, summary.shard.name))
    return _describe(publication, summaries, rejected, staging, staging)


def _describe(
    publication: Publication,
    summaries: Sequence[ShardSummary],
    rejected: Sequence[Reject],
    staging: str,
    shards_dir: str,
) -> manifest.Manifest:
    """Writes every file but the shards, which lie in `shards_dir`, into `staging`; the manifest comes last."""
    job = publication.job
    shards = tuple(summary.shard for summary in summaries)
    records_sha256 = _write_record_lines(publication, summaries, staging)
    lines = _RecordLines(os.path.join(staging, manifest.RECORDS_FILE))
    _write(staging, manifest.DUPLICATES_FILE, manifest.canonical_json(_duplicates(publication, lines)))
    _write(staging, manifest.REJECTED_FILE, ''.join(f'{reject.to_json()}\n' for reject in rejected).encode())
    _write(staging, manifest.STATISTICS_FILE, manifest.canonical_json(split_statistics(job, summaries)))
    if job.schema == schemas.TFDS:  # TFDS cannot be told of records with other names
        tfds_metadata.write(
            staging,
            name=job.dataset_name,
            version=job.version,
            image_size=job.image_size,
            label_map=job.label_map,
            image_encoding=job.image_encoding,
            shards=_split_shards(shards),
            file_format=job.file_format,
            card=tfds_metadata.Card(description=_description(job, shards)),
        )
    described = _manifest(job, shards, records_sha256)
    card = _card(publication, described, shards_dir, summaries=summaries, lines=lines, rejected=rejected)
    _write(staging, manifest.CARD_FILE, page.render(card))
    result = dataclasses.replace(described, files=_file_digests(staging, {shard.name for shard in shards}))
    _write(staging, manifest.FILE_NAME, result.to_bytes())
    return result


def _card(
    publication: Publication,
    described: manifest.Manifest,
    shards_dir: str,
    *,
    summaries: Sequence[ShardSummary],
    lines: Iterable[dict[str, Any]],
    rejected: Sequence[Reject],
) -> page.DataCard:
    """What the card tells; of the shards in `shards_dir`, only the records of its gallery are read."""
    job = publication.job
    total = statistics_lib.merged(summary.statistics for summary in summaries).result(job.label_map)
    # A squashed photo is seen as it was; the other modes keep its aspect ratio.
    proportions = 'source' if job.resize == 'squash' else 'stored'
    duplicates = _duplicates(publication, lines)
    return page.DataCard(
        manifest=described,
        total=total,
        splits=split_statistics(job, summaries),
        rejects=rejected,
        pictures=gallery.choose(shards_dir, lines, total['classes'], proportions=proportions),
        command=publication.command,
        duplicates=duplicates,
        duplicate_pictures=gallery.of_duplicates(shards_dir, lines, duplicates, proportions=proportions),
    )


def _why(placement: Placement | None) -> dict[str, str | None]:
    """What `records.jsonl` says of a pair's place."""
    if placement is None:
        return {'split_reason': None, 'group': None}
    return {'split_reason': placement.reason, 'group': placement.group}


class _RecordLines:
    """The lines of a `records.jsonl`, read anew in each iteration: a million of them would fill a gigabyte."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __iter__(self) -> Iterator[dict[str, Any]]:
        with open(self._path, 'rb') as file:
            yield from map(json.loads, file)


def _write_record_lines(publication: Publication, summaries: Sequence[ShardSummary], staging: str) -> str:
    """Writes `records.jsonl`, holding the lines of one shard at a time; returns its SHA-256."""
    digest = hashlib.sha256()
    with atomic.replacing(os.path.join(staging, manifest.RECORDS_FILE)) as file:
        for summary in summaries:
            for line in preparation.read_record_lines(publication.job, summary):
                whole = {**line, **_why(publication.placements.get(line['key']))}
                data = (json.dumps(whole, ensure_ascii=False, sort_keys=True) + '\n').encode()
                digest.update(data)
                file.write(data)
    return digest.hexdigest()


def _duplicates(publication: Publication, lines: Iterable[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """The sets of duplicate photos, as far as they are in the data set: for each photo its key, split and reason."""
    wanted = {key for keys in publication.duplicates for key in keys}
    by_key = {line['key']: line for line in lines if line['key'] in wanted}
    shown = ('key', 'image', 'split', 'split_reason')
    found = [[by_key[key] for key in keys if key in by_key] for keys in publication.duplicates]
    return [[{name: line[name] for name in shown} for line in members] for members in found if len(members) > 1]


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # no hard links on this file system, or the source has gone: copying tells
        shutil.copyfile(source, target)


def _write(directory: str, name: str, data: bytes) -> None:
    atomic.write(os.path.join(directory, name), data)


def split_statistics(job: Preparation, summaries: Sequence[ShardSummary]) -> dict[str, Any]:
    """The figures of `statistics.json`: those of each split by its name."""
    splits = dict.fromkeys(summary.shard.split for summary in summaries)
    return {
        split: statistics_lib.merged(s.statistics for s in summaries if s.shard.split == split).result(job.label_map)
        for split in splits
    }


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


def _description(job: Preparation, shards: Sequence[manifest.Shard]) -> str:
    height, width = job.image_size
    return (
        f'{sum(shard.num_records for shard in shards)} images with a mask of {job.label_map.num_classes} classes, '
        f'resized to {height} x {width} pixels (height x width) by {job.resize}: images by area, masks by '
        f'{job.mask_resize}.'
    )


def _file_digests(root: str, but: Collection[str]) -> dict[str, checksums.FileDigest]:
    """The digests of all files below a directory by their paths in it, but of some."""
    names = sorted(
        os.path.relpath(os.path.join(directory, name), root) for directory, _, names in os.walk(root) for name in names
    )
    return {name: checksums.digest(os.path.join(root, name)) for name in names if name not in but}


def _manifest(job: Preparation, shards: tuple[manifest.Shard, ...], records_sha256: str) -> manifest.Manifest:
    """The manifest, but for the digests of the files beside the shards."""
    options = {**job.record_options(), **job.split_options}
    versions = preparation.library_versions(job.file_format)
    decisive = [options, versions, job.label_map.to_json(), records_sha256]
    return manifest.Manifest(
        dataset_name=job.dataset_name,
        config_name=job.config_name,
        version=job.version,
        fingerprint=hashlib.sha256(manifest.canonical_json(decisive)).hexdigest(),
        options=options,
        library_versions=versions,
        label_map=job.label_map,
        shards=shards,
        files={},
    )


def _move_into_place(staging: str, dataset_dir: str, built: manifest.Manifest) -> None:
    """The commit: one rename of the directory, which fails if there is a directory with files already."""
    atomic.sync_directory(staging)
    try:
        os.rename(staging, dataset_dir)
    except OSError:
        if not os.path.isdir(dataset_dir):
            raise
        present = manifest.read(dataset_dir)
        if present.fingerprint != built.fingerprint:
            raise errors.UserError(
                f'{dataset_dir}: holds a data set of fingerprint {present.fingerprint[:12]}, this one has '
                f'{built.fingerprint[:12]}; remove it or give another --dataset_version'
            ) from None
    atomic.sync_directory(os.path.dirname(dataset_dir))


def _is_published(dataset_dir: str, summaries: Sequence[ShardSummary]) -> bool:
    """Whether another command published the very same shards while this one was at work."""
    try:
        present = manifest.read(dataset_dir)
    except errors.UserError:
        return False
    return set(present.shards) == {summary.shard for summary in summaries}


def _forget_work(job: Preparation, summaries: Sequence[ShardSummary]) -> None:
    """Removes what the data set now holds; work of other commands stays."""
    for summary in summaries:
        for path in (
            preparation.marker_path(job, summary.fingerprint),  # first: a marker promises its shard
            preparation.shard_path(job, summary.fingerprint),
        ):
            with contextlib.suppress(OSError):
                storage.remove(path)
    work_dir.tidy(job.work_dir)
