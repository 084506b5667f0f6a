"""The integrity of a data set: every file against the manifest, every record by framing, checksums and contents."""

import os
from collections.abc import Iterator, Mapping

import numpy as np

from seg_pipeline import errors, records, storage
from seg_pipeline.dataset import manifest, record_index
from seg_pipeline.dataset.manifest import Manifest, Shard
from seg_pipeline.dataset.record_index import RecordEntry
from seg_pipeline.storage import checksums


def problems(dataset_dir: str) -> Iterator[str]:
    """Finds everything that is wrong with a data set.

    Yields:
        One line for each problem; it names the file and, inside a shard, the record, its byte offset and its key.

    Raises:
        UserError: if the directory is no data set at all, or another version of this package made it.
    """
    if not storage.exists(os.path.join(dataset_dir, manifest.FILE_NAME)):
        manifest.read(dataset_dir)  # raises, saying why
    try:
        present = manifest.read(dataset_dir)
    except manifest.OtherSchemaError:
        raise
    except errors.UserError as error:
        yield str(error)
        return
    for name, expected in present.files.items():
        if problem := checksums.problem(os.path.join(dataset_dir, name), expected):
            yield problem
    # Each shard both by its digest, which finds every change, and record by record, which says where the change is.
    entries = _EntriesByShard(dataset_dir)
    for shard in present.shards:
        if problem := manifest.shard_problem(dataset_dir, shard):
            yield problem
        yield from _shard_problems(dataset_dir, present, shard, entries.of(shard.name))
    known = {manifest.FILE_NAME, *present.files, *(shard.name for shard in present.shards)}
    for name in sorted(set(storage.names(dataset_dir)) - known):
        yield f'{os.path.join(dataset_dir, name)}: is not in the manifest'


class _EntriesByShard:
    """The entries of the index, shard after shard, each by its place; holds those of one shard at a time.

    `problems` reports the index itself by its digest: here a damaged line is a record of which nothing is known.
    """

    def __init__(self, dataset_dir: str) -> None:
        path = os.path.join(dataset_dir, manifest.RECORDS_FILE)
        self._groups = record_index.by_shard(record_index.RecordIndex(path, skip_damaged=True))
        self._next: tuple[str, list[RecordEntry]] | None = None

    def of(self, shard: str) -> dict[int, RecordEntry]:
        """The entries of a shard; call it in the order of the shards' names, which is that of the index."""
        try:
            while self._next is None or self._next[0] < shard:
                self._next = next(self._groups)
        except (StopIteration, OSError):
            return {}
        return {entry.index: entry for entry in self._next[1]} if self._next[0] == shard else {}


def _shard_problems(
    dataset_dir: str, present: Manifest, shard: Shard, entries: Mapping[int, RecordEntry]
) -> Iterator[str]:
    path = os.path.join(dataset_dir, shard.name)
    count, damaged = 0, False
    try:
        for found in records.inspect(path):
            count += 1
            entry = entries.get(found.index)
            if isinstance(found, records.DamagedRecordError):
                damaged = True
                yield f'{found}{_key_of(entry)}'
            elif problem := _record_problem(present, found, entry):
                yield f'{path}: {records.place(found.index, found.offset)}{_key_of(entry)}: {problem}'
    except OSError:
        return  # the comparison of the file told it
    if not damaged and count != shard.num_records:
        yield f'{path}: holds {count} records, the manifest says {shard.num_records}'


def _key_of(entry: RecordEntry | None) -> str:
    return f' (key {entry.key!r})' if entry else ''


def _record_problem(present: Manifest, payload: records.Payload, entry: RecordEntry | None) -> str | None:
    try:
        record = records.decode(payload)
    except (ValueError, KeyError, IndexError) as error:
        return f'{type(error).__name__}: {error}'
    size = present.image_size
    if record.image.shape != (*size, 3) or record.mask.shape != size:
        return f'image {record.image.shape} and mask {record.mask.shape}, wanted {size}'
    ids = np.unique(record.mask)
    unknown = ids[(ids >= present.label_map.num_classes) & (ids != present.label_map.ignore_id)]
    if unknown.size:
        return f'id {unknown[0]} is not in the label table of {present.label_map.num_classes} classes'
    if entry and record.file_name != entry.image:
        return f'is made from {record.file_name}, {manifest.RECORDS_FILE} says {entry.image}'
    return None
