"""The integrity of a data set: every file against the manifest, every record by framing, checksums and contents."""

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np

from seg_pipeline import errors, records, storage
from seg_pipeline.dataset import contents, inner_paths, manifest, record_index
from seg_pipeline.dataset.manifest import Manifest, Shard
from seg_pipeline.dataset.record_index import RecordEntry
from seg_pipeline.plurals import counted


def problems(dataset_dir: str, show: Callable[[int], None] = lambda records: None) -> Iterator[str]:
    """Finds everything that is wrong with a data set.

    Args:
        dataset_dir: the data set.
        show: told after each shard how many records the shards so far have, by the manifest.

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
    if manifest.RECORDS_FILE not in present.files:
        yield _no_index(dataset_dir)
    altered = set()
    for name, expected in present.files.items():
        if problem := manifest.file_problem(dataset_dir, name, expected):
            altered.add(name)
            yield problem
        elif problem := contents.problem(dataset_dir, present, name):
            yield f'{os.path.join(dataset_dir, name)}: {problem}'
    # Each shard both by its digest, which finds every change, and record by record, which says where the change is.
    entries, done = _EntriesByShard(dataset_dir), 0
    for shard in present.shards:
        problem = manifest.shard_problem(dataset_dir, shard)
        if problem:
            yield problem
        if not inner_paths.link(dataset_dir, shard.name):
            yield from _shard_problems(dataset_dir, present, shard, entries.of(shard.name))
        done += shard.num_records
        show(done)
    # What the index says is compared where its digest is right: in a damaged one, any line may be missing.
    if manifest.RECORDS_FILE not in altered:
        yield from entries.problems(present)
    yield from unknown(dataset_dir, present)


def contradictions(
    dataset_dir: str, present: Manifest, on_entry: Callable[[RecordEntry], None] | None = None
) -> Iterator[str]:
    """One line for what the files beside the shards say against the manifest, though their digests are right.

    Of `problems` those that are found without reading a shard; the files are the ones that the manifest describes.

    Args:
        dataset_dir: the data set.
        present: its manifest.
        on_entry: is told of each entry of the index, in order, so that nobody need read it again.
    """
    if manifest.RECORDS_FILE not in present.files:
        yield _no_index(dataset_dir)
    for name in present.files:
        if problem := contents.problem(dataset_dir, present, name):
            yield f'{os.path.join(dataset_dir, name)}: {problem}'
    yield from _EntriesByShard(dataset_dir, on_entry).problems(present)


def _no_index(dataset_dir: str) -> str:
    return f'{dataset_dir}: the manifest does not name {manifest.RECORDS_FILE}'


def unknown(dataset_dir: str, present: Manifest) -> Iterator[str]:
    """One line for whatever is in a data set and not in its manifest, and for a manifest that is a link."""
    known = {manifest.FILE_NAME, *present.files, *(shard.name for shard in present.shards)}
    if not storage.has_directories(dataset_dir):
        for name in sorted(set(storage.names(dataset_dir)) - known):
            yield f'{os.path.join(dataset_dir, name)}: is not in the manifest'
        return
    directories = {name.rpartition('/')[0] for name in known}
    # Not `storage.names`, which follows links to directories and tells of no directory.
    for directory, below, files in os.walk(dataset_dir):
        inside = os.path.relpath(directory, dataset_dir)
        for name in sorted([*below, *files]):
            path = os.path.join(directory, name)
            relative = os.path.normpath(os.path.join(inside, name))
            if os.path.islink(path):
                if relative == manifest.FILE_NAME or relative not in known | directories:  # else `file_problem` tells
                    yield f'{path}: is a symbolic link; a data set has its files itself'
            elif relative not in known and (name not in below or relative not in directories):
                yield f'{path}: is not in the manifest'


def _told(index: Iterable[RecordEntry], on_entry: Callable[[RecordEntry], None]) -> Iterator[RecordEntry]:
    for entry in index:
        on_entry(entry)
        yield entry


class _EntriesByShard:
    """The entries of the index, shard after shard, each by its place; holds those of one shard at a time.

    A damaged line is a record of which nothing is known.
    """

    def __init__(self, dataset_dir: str, on_entry: Callable[[RecordEntry], None] | None = None) -> None:
        self._path = os.path.join(dataset_dir, manifest.RECORDS_FILE)
        self._damaged: list[str] = []
        index: Iterable[RecordEntry] = record_index.RecordIndex(self._path, self._damaged.append)
        if on_entry is not None:
            index = _told(index, on_entry)
        # Nothing is read through a link, which `file_problem` reports.
        linked = inner_paths.link(dataset_dir, manifest.RECORDS_FILE)
        self._groups = record_index.by_shard(() if linked else index)
        self._next: tuple[str, list[RecordEntry]] | None = None
        self._found: dict[str, tuple[int, str]] = {}  # of each shard the number of records, and the split

    def of(self, shard: str) -> dict[int, RecordEntry]:
        """The entries of a shard; call it in the order of the shards' names, which is that of the index."""
        try:
            while self._next is None or self._next[0] < shard:
                self._next = self._advance()
        except (StopIteration, OSError):
            return {}
        return {entry.index: entry for entry in self._next[1]} if self._next[0] == shard else {}

    def _advance(self) -> tuple[str, list[RecordEntry]]:
        shard, entries = next(self._groups)
        places = [(entry.split, entry.index) for entry in entries]
        if shard in self._found or places != [(entries[0].split, index) for index in range(len(entries))]:
            self._damaged.append(f'{self._path}: the lines of shard {shard!r} are not in order, or of several splits')
        self._found[shard] = (len(entries), entries[0].split)
        return shard, entries

    def problems(self, present: Manifest) -> list[str]:
        """What is wrong with the index alone and with its numbers of records; reads it to the end."""
        with contextlib.suppress(StopIteration, OSError):
            while True:
                self._advance()
        wanted = {shard.name: (shard.num_records, shard.split) for shard in present.shards}
        for shard in sorted(wanted.keys() | self._found.keys()):
            there, here = wanted.get(shard, (0, '')), self._found.get(shard, (0, ''))
            if there != here and (there[0] or here[0]):
                self._damaged.append(
                    f'{self._path}: has {counted(here[0], "record")} of split {here[1]!r} in shard {shard!r}, the '
                    f'manifest says {there[0]} of {there[1]!r}'
                )
        return self._damaged


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
        yield f'{path}: holds {counted(count, "record")}, the manifest says {shard.num_records}'


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
        return (
            f'id {unknown[0]} is not in the label table of {counted(present.label_map.num_classes, "class", "classes")}'
        )
    if entry and record.file_name != entry.image:
        return f'is made from {record.file_name}, {manifest.RECORDS_FILE} says {entry.image}'
    if entry and record.original_size != (there := (entry.original_height, entry.original_width)):
        return f'is made from an image of {record.original_size}, {manifest.RECORDS_FILE} says {there}'
    return None
