"""The index of a data set, `records.jsonl`: for each record a line that says where it is and what it was made from.

A million lines would fill a gigabyte, so nothing here holds them: every reader streams the file.
"""

import dataclasses
import itertools
import json
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from seg_pipeline import errors, storage
from seg_pipeline.dataset import inner_paths, manifest, typed_json
from seg_pipeline.imaging.rejects import Reject


@dataclasses.dataclass(frozen=True, slots=True)
class RecordEntry:
    """What the index says of one record.

    Attributes:
        key: the pair's key.
        split: name of its split.
        shard: file name of its shard.
        index: its place in the shard, from 0.
        image: path of the image in the folder of images.
        mask: path of the mask in the folder of masks.
        image_sha256: of the image file, in hex.
        mask_sha256: of the mask file, in hex.
        original_height: of the source, in pixels.
        original_width: of the source, in pixels.
        split_reason: why it is in that split, for people; see `planning.assignment.Assignment`.
        group: the name of the group that stays in one split, if it has one.
        duplicate_of: the key of the pair whose image is the same or nearly so, and which this one follows, if any.
        distance: of the perceptual hashes of the two, in bits; None where they are byte-identical.
        duplicate_set: the first key of the set of images, all the same or nearly so, that it belongs to, if any. A pair
            of that key may have been rejected, and so may the one that `duplicate_of` names.
    """

    key: str
    split: str
    shard: str
    index: int
    image: str
    mask: str
    image_sha256: str
    mask_sha256: str
    original_height: int
    original_width: int
    split_reason: str | None = None
    group: str | None = None
    duplicate_of: str | None = None
    distance: int | None = None
    duplicate_set: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; `from_json` is the inverse."""
        # Not by `dataclasses.asdict`, which copies each value: there may be millions of lines.
        return {name: getattr(self, name) for name in self.__slots__}

    def to_line(self) -> bytes:
        """One line of `records.jsonl`."""
        return (json.dumps(self.to_json(), ensure_ascii=False, sort_keys=True) + '\n').encode()

    @classmethod
    def from_json(cls, value: Any) -> 'RecordEntry':
        """The inverse of `to_json`.

        Raises:
            ValueError: if a field is missing, unknown or mistyped, or a path leaves its folder.
        """
        entry = typed_json.read(cls, value)
        inner_paths.check_source(entry.image, 'image')
        inner_paths.check_source(entry.mask, 'mask')
        if entry.index < 0:
            raise ValueError(f'index is {entry.index}')
        return entry


def _raise(message: str) -> None:
    raise errors.UserError(message)


# A class, and no generator: the card iterates it several times.
class RecordIndex(Iterable[RecordEntry]):
    """The entries of a `records.jsonl`, read again in each iteration.

    Args:
        path: the file, on this disk or elsewhere.
        on_damage: is told of each line that is no entry, which is left out; by default it raises.

    Raises:
        OSError: by the iteration, if the file cannot be read.
        UserError: by the iteration, if a line is damaged.
    """

    def __init__(self, path: str, on_damage: Callable[[str], None] = _raise) -> None:
        self._path = path
        self._on_damage = on_damage

    def __iter__(self) -> Iterator[RecordEntry]:
        with storage.local_copy(self._path) as local, open(local, 'rb') as file:
            for number, line in enumerate(file, 1):
                try:
                    entry = RecordEntry.from_json(typed_json.parse(line))
                except ValueError as error:
                    self._on_damage(f'{self._path}: damaged: line {number}: {error}')
                    continue
                yield entry


class _PublishedIndex(RecordIndex):
    """The index of a data set: one that cannot be read is damaged."""

    def __iter__(self) -> Iterator[RecordEntry]:
        try:
            yield from super().__iter__()
        except OSError as error:
            raise errors.UserError(f'{self._path}: damaged: {error}') from error


def of(dataset_dir: str) -> RecordIndex:
    """The index of a data set; its iteration raises nothing but `UserError`."""
    return _PublishedIndex(os.path.join(dataset_dir, manifest.RECORDS_FILE))


def by_shard(entries: Iterable[RecordEntry]) -> Iterator[tuple[str, list[RecordEntry]]]:
    """Groups the entries by shard, as they follow one another in the file; holds those of one shard at a time."""
    # The index is written shard after shard, so neighbours are enough; sorting would need all of it in memory.
    for shard, members in itertools.groupby(entries, key=lambda entry: entry.shard):
        yield shard, list(members)


def read_rejects(dataset_dir: str) -> list[Reject]:
    """What was left out of a data set, see `rejected.jsonl`.

    Raises:
        UserError: if the file cannot be read or is damaged.
    """
    path = os.path.join(dataset_dir, manifest.REJECTED_FILE)
    try:
        return parse_rejects(storage.read_bytes(path))
    except (OSError, ValueError) as error:
        raise errors.UserError(f'{path}: damaged: {error}') from error


def parse_rejects(data: bytes) -> list[Reject]:
    """The rejects of a `rejected.jsonl`. Raises `ValueError` if a line is none."""
    return [typed_json.read(Reject, typed_json.parse(line)) for line in data.splitlines()]
