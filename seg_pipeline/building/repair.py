"""Makes damaged files of a data set again from its sources, and takes them only if they are what the manifest says."""

import contextlib
import dataclasses
import html
import os
import re
import shutil
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

from seg_pipeline import errors, storage
from seg_pipeline.building import preparation, publish
from seg_pipeline.building.preparation import Preparation, ShardSummary
from seg_pipeline.dataset import manifest
from seg_pipeline.dataset.manifest import Manifest, Shard
from seg_pipeline.imaging.rejects import Reject
from seg_pipeline.labels import label_map
from seg_pipeline.labels.remapping import Remapping
from seg_pipeline.planning import grouping
from seg_pipeline.planning.assignment import Placement
from seg_pipeline.planning.pairing import Pair
from seg_pipeline.planning.sharding import ShardPlan
from seg_pipeline.storage import atomic, checksums

# What says where records come from and what was left out: nothing else does, so nothing can bring it back.
_SOURCES_OF_TRUTH = (manifest.RECORDS_FILE, manifest.REJECTED_FILE)
_COMMAND = re.compile(r'id="command" data-text="([^"]*)"')


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of one damaged file.

    Attributes:
        name: its path in the data set.
        refusal: why it could not be repaired; None if it was.
    """

    name: str
    refusal: str | None = None


class _RefusedError(Exception):
    """Why something cannot be made again."""


def repair(dataset_dir: str, images: str, masks: str) -> Iterator[Outcome]:
    """Makes every damaged or missing file again that can be.

    A shard is made from the files that records.jsonl names; they must be the very same. A file that describes the data
    set (statistics, TFDS metadata, card) is made from all shards, so that all sources are read. Each file takes its
    place by one rename. Files that the manifest does not know stay.

    Args:
        dataset_dir: the data set.
        images: the folder of the images that it was made from.
        masks: that of the masks.

    Yields:
        The outcome of each damaged file, when it is known.

    Raises:
        UserError: if the manifest is damaged or cannot be read, or something cannot be written.
    """
    if not storage.has_directories(dataset_dir):
        raise errors.UserError(f'{dataset_dir}: only a data set on this disk can be repaired; copy it here first')
    whole = manifest.read(dataset_dir)
    shards = [shard for shard in whole.shards if manifest.shard_problem(dataset_dir, shard)]
    files = [name for name in whole.files if checksums.problem(os.path.join(dataset_dir, name), whole.files[name])]
    lost = [name for name in files if name in _SOURCES_OF_TRUTH]
    for name in lost:
        yield Outcome(name, 'nothing else holds what it says; prepare the data set again')
    if lost:
        others = [*(shard.name for shard in shards), *(name for name in files if name not in lost)]
        yield from (Outcome(name, f'needs {" and ".join(lost)}') for name in others)
        return
    with _scratch(dataset_dir) as scratch:
        job = _job(whole, images, masks, scratch)
        yield from _repair_shards(job, whole, dataset_dir, shards)
        if files:
            yield from _repair_files(job, whole, dataset_dir, files)


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


def _job(whole: Manifest, images: str, masks: str, output_dir: str) -> Preparation:
    """The preparation that made a data set."""
    names = Preparation('', '', '', whole.label_map).record_options().keys()
    options = {name: whole.options[name] for name in names}
    return Preparation(
        images=images,
        masks=masks,
        output_dir=output_dir,
        label_map=whole.label_map,
        dataset_name=whole.dataset_name,
        version=whole.version,
        split_options={name: value for name, value in whole.options.items() if name not in names},
        **{**options, 'image_size': whole.image_size, 'remapping': _remapping(options['remapping'])},
    )


def _remapping(value: dict[str, Any] | None) -> Remapping | None:
    if value is None:
        return None
    fields = {name: _as_tuples(part) for name, part in value.items()}
    targets = fields.pop('targets')
    return Remapping(label_map.SourceTable(**fields), targets)


def _as_tuples(value: Any) -> Any:
    return tuple(map(_as_tuples, value)) if isinstance(value, list) else value


def _repair_shards(job: Preparation, whole: Manifest, dataset_dir: str, shards: Sequence[Shard]) -> Iterator[Outcome]:
    lines = manifest.read_lines(dataset_dir, manifest.RECORDS_FILE)
    for shard in shards:
        try:
            summary = _make_again(job, whole, shard, [line for line in lines if line['shard'] == shard.name])
        except _RefusedError as refusal:
            yield Outcome(shard.name, str(refusal))
            continue
        _put(preparation.shard_path(job, summary.fingerprint), os.path.join(dataset_dir, shard.name))
        yield Outcome(shard.name)


def _make_again(job: Preparation, whole: Manifest, shard: Shard, lines: Sequence[dict[str, Any]]) -> ShardSummary:
    """Makes a shard in the work directory; refuses one that is not what the manifest says."""
    pairs = tuple(Pair(line['key'], line['image'], line['mask']) for line in lines)
    (plan,) = preparation.with_fingerprints(job, [ShardPlan(shard.name, shard.split, pairs)])
    summary = preparation.write_shard(job, plan)
    if summary.rejects:
        raise _RefusedError(f'a source is not what it was: {summary.rejects[0].message}')
    for then, now in zip(lines, preparation.read_record_lines(job, summary), strict=True):
        for root, name in ((job.images, 'image'), (job.masks, 'mask')):
            before, after = then[f'{name}_sha256'], now[f'{name}_sha256']
            if before != after:
                path = os.path.join(root, then[name])
                raise _RefusedError(f'{path} has changed: its SHA-256 is {after[:12]} and was {before[:12]}')
    if summary.shard != shard:
        raise _RefusedError(_unequal(job, whole, f'SHA-256 {summary.shard.sha256[:12]}, not {shard.sha256[:12]}'))
    return summary


def _unequal(job: Preparation, whole: Manifest, what: str) -> str:
    """Why equal sources gave something else: the first library of another version, if there is one."""
    here = preparation.library_versions(job.file_format)
    for name in sorted(whole.library_versions):
        if whole.library_versions[name] != here.get(name):
            return f'made again, it has {what}: {name} is {here.get(name)} here and was {whole.library_versions[name]}'
    return f'made again, it has {what}'


def _repair_files(job: Preparation, whole: Manifest, dataset_dir: str, names: Sequence[str]) -> Iterator[Outcome]:
    """Describes the data set again, from all its shards."""
    lines = manifest.read_lines(dataset_dir, manifest.RECORDS_FILE)
    try:
        summaries = [
            _make_again(job, whole, shard, [line for line in lines if line['shard'] == shard.name])
            for shard in whole.shards
        ]
    except _RefusedError as refusal:
        yield from (Outcome(name, str(refusal)) for name in names)
        return
    staging = os.path.join(job.output_dir, 'staging')
    os.makedirs(staging)
    rejected = [Reject(**line) for line in manifest.read_lines(dataset_dir, manifest.REJECTED_FILE)]
    publish.build(_publication(job, whole, dataset_dir, lines), summaries, rejected, staging)
    for name in names:
        made = os.path.join(staging, name)
        if problem := checksums.problem(made, whole.files[name]):
            found = problem.removeprefix(f'{made}: ')
            yield Outcome(name, _unequal(job, whole, f'other contents ({found})'))
            continue
        _put(made, os.path.join(dataset_dir, name))
        yield Outcome(name)


def _publication(
    job: Preparation, whole: Manifest, dataset_dir: str, lines: Sequence[dict[str, Any]]
) -> publish.Publication:
    """What was published, as far as records.jsonl and the old card tell."""
    placements = {line['key']: Placement(line['split'], line['split_reason'], line['group']) for line in lines}
    links = [link for line in lines if (link := grouping.parse_reason(line['key'], line['split_reason'] or ''))]
    return publish.Publication(
        job,
        tuple(shard.name for shard in whole.shards),
        placements=placements,
        duplicates=grouping.form({}, links).duplicates,
        command=_command(os.path.join(dataset_dir, manifest.CARD_FILE)),
    )


def _command(card_path: str) -> str:
    """The command that stands in a card, damaged as it may be."""
    try:
        with open(card_path, encoding='utf-8', errors='replace') as file:
            found = _COMMAND.search(file.read())
    except OSError:
        return ''
    return html.unescape(found[1]) if found else ''


def _put(made: str, path: str) -> None:
    """Moves a file to its place in the data set."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    os.replace(made, path)
    atomic.sync_directory(os.path.dirname(path))
