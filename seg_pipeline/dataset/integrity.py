"""Is a data set whole? Every file against the manifest; every record of every shard by framing, checksums, contents."""

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from seg_pipeline import errors, records, storage
from seg_pipeline.dataset import manifest
from seg_pipeline.dataset.manifest import Manifest, Shard
from seg_pipeline.storage import checksums


def problems(dataset_dir: str) -> Iterator[str]:
    """Finds everything that is wrong with a data set.

    Yields:
        One line for each problem; it names the file and, inside a shard, the record, its byte offset and its key.

    Raises:
        UserError: if the directory is no data set at all.
    """
    if not storage.exists(os.path.join(dataset_dir, manifest.FILE_NAME)):
        manifest.read(dataset_dir)  # raises, saying why
    try:
        whole = manifest.read(dataset_dir)
    except errors.UserError as error:
        yield str(error)
        return
    for name, expected in whole.files.items():
        if problem := checksums.problem(os.path.join(dataset_dir, name), expected):
            yield problem
    lines = _record_lines(dataset_dir)
    for shard in whole.shards:
        if problem := manifest.shard_problem(dataset_dir, shard):
            yield problem
        yield from _shard_problems(dataset_dir, whole, shard, lines.get(shard.name, {}))
    known = {manifest.FILE_NAME, *whole.files, *(shard.name for shard in whole.shards)}
    for name in sorted(set(storage.names(dataset_dir)) - known):
        yield f'{os.path.join(dataset_dir, name)}: is not in the manifest'


def _record_lines(dataset_dir: str) -> dict[str, dict[int, dict[str, Any]]]:
    """What records.jsonl says of each record, by shard and index; what is wrong with the file is told elsewhere."""
    result: dict[str, dict[int, dict[str, Any]]] = {}
    try:
        text = storage.read_bytes(os.path.join(dataset_dir, manifest.RECORDS_FILE))
    except OSError:
        return result
    for line in text.splitlines():
        with contextlib.suppress(ValueError, KeyError, TypeError):
            value = json.loads(line)
            if isinstance(value['key'], str) and isinstance(value['image'], str):
                result.setdefault(value['shard'], {})[value['index']] = value
    return result


def _shard_problems(
    dataset_dir: str, whole: Manifest, shard: Shard, lines: Mapping[int, dict[str, Any]]
) -> Iterator[str]:
    path = os.path.join(dataset_dir, shard.name)
    count, damaged = 0, False
    try:
        for found in records.inspect(path):
            count += 1
            line = lines.get(found.index)
            if isinstance(found, records.DamagedRecordError):
                damaged = True
                yield f'{found}{_key_of(line)}'
            elif problem := _record_problem(whole, found, line):
                yield f'{path}: {records.place(found.index, found.offset)}{_key_of(line)}: {problem}'
    except OSError:
        return  # the comparison of the file told it
    if not damaged and count != shard.num_records:
        yield f'{path}: holds {count} records, the manifest says {shard.num_records}'


def _key_of(line: dict[str, Any] | None) -> str:
    return f' (key {line["key"]!r})' if line else ''


def _record_problem(whole: Manifest, payload: records.Payload, line: dict[str, Any] | None) -> str | None:
    try:
        record = records.decode(payload)
    except (ValueError, KeyError, IndexError) as error:
        return f'{type(error).__name__}: {error}'
    size = whole.image_size
    if record.image.shape != (*size, 3) or record.mask.shape != size:
        return f'image {record.image.shape} and mask {record.mask.shape}, wanted {size}'
    ids = np.unique(record.mask)
    unknown = ids[(ids >= whole.label_map.num_classes) & (ids != whole.label_map.ignore_id)]
    if unknown.size:
        return f'id {unknown[0]} is not in the label table of {whole.label_map.num_classes} classes'
    if line and record.file_name != line['image']:
        return f'is made from {record.file_name}, {manifest.RECORDS_FILE} says {line["image"]}'
    return None
