"""What is published, held against what the same command would make now."""

import contextlib
import os
from collections.abc import Iterable, Mapping
from concurrent import futures
from typing import Any

from seg_pipeline.building import preparation
from seg_pipeline.building.preparation import Preparation
from seg_pipeline.dataset import manifest
from seg_pipeline.imaging import rejects
from seg_pipeline.imaging.rejects import Reject
from seg_pipeline.planning.pairing import Pair
from seg_pipeline.storage import checksums


def published_rejects(job: Preparation) -> list[Reject]:
    """The rejects of a published data set. Raises `UserError` if its list is damaged."""
    return [Reject(**line) for line in manifest.read_lines(job.dataset_dir, manifest.REJECTED_FILE)]


def difference(job: Preparation, pairs: Iterable[Pair]) -> str | None:
    """Compares a published data set with what the same command would make now.

    Splits and shards are functions of options, keys and contents: where these are equal, so are those. Every source is
    read and hashed; only pairs that were rejected are decoded.

    Args:
        job: the preparation.
        pairs: all pairs that would go into the data set.

    Returns:
        One line that names the first difference with both values; None if there is none.

    Raises:
        UserError: if what is there is no data set or is damaged.
    """
    present = manifest.read(job.dataset_dir)
    for name, there, here in (
        ('options', present.options, {**job.record_options(), **job.split_options}),
        ('label table', present.label_map.to_json(), job.label_map.to_json()),
        ('libraries', present.library_versions, preparation.library_versions(job.file_format)),
    ):
        for key in sorted(there.keys() | here.keys()):
            if there.get(key) != here.get(key):
                return f'{name}: {key} is {there.get(key)!r} there and {here.get(key)!r} here'
    manifest.check_shards(job.dataset_dir, present, present.split_names)
    return _source_difference(job, {pair.key: pair for pair in pairs})


def _source_difference(job: Preparation, here: Mapping[str, Pair]) -> str | None:
    lines = manifest.read_lines(job.dataset_dir, manifest.RECORDS_FILE)
    there = {line['key']: line for line in lines}
    rejected = {line['key'] for line in manifest.read_lines(job.dataset_dir, manifest.REJECTED_FILE)}
    for key in sorted(there.keys() - here.keys()):
        return f'pair {key!r} is in it and has no files here'
    for key in sorted(here.keys() - there.keys() - rejected):
        return f'pair {key!r} is here and not in it'
    for key in sorted(rejected & here.keys()):
        with contextlib.suppress(rejects.RejectError):
            preparation.read_pair(job, here[key])
            return f'pair {key!r} was rejected then and is good now'
    with futures.ThreadPoolExecutor() as pool:
        changes = pool.map(lambda line: _line_difference(job, line, here[line['key']]), lines)
        return next((change for change in changes if change), None)


def _line_difference(job: Preparation, line: dict[str, Any], pair: Pair) -> str | None:
    for root, path, there in (
        (job.images, pair.image, line['image_sha256']),
        (job.masks, pair.mask, line['mask_sha256']),
    ):
        found = checksums.digest(os.path.join(root, path)).sha256
        if found != there:
            return f'{os.path.join(root, path)} has SHA-256 {found[:12]} now and had {there[:12]} then'
    return None
