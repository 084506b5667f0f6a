"""The index of a data set, `records.jsonl`: for each record a line that says where it is and what it was made from.

A million lines would fill a gigabyte, so nothing here holds them: every reader streams the file.
"""

import dataclasses
import itertools
import json
import os
from collections.abc import Iterable, Iterator
from typing import Any

from seg_pipeline import errors, storage
from seg_pipeline.dataset import manifest
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

    def to_line(self) -> bytes:
        """One line of `records.jsonl`."""
        return (json.dumps(dataclasses.asdict(self), ensure_ascii=False, sort_keys=True) + '\n').encode()

    @classmethod
    def from_json(cls, value: Any) -> 'RecordEntry':
        """The inverse of `dataclasses.asdict`. Raises `ValueError` if a field is missing, unknown or mistyped."""
        try:
            entry = cls(**value)
        except TypeError as error:
            raise ValueError(f'not a line of {manifest.RECORDS_FILE}: {error}') from error
        for name, expected in _FIELD_TYPES.items():
            if not isinstance(getattr(entry, name), expected):
                raise ValueError(f'{name} is {getattr(entry, name)!r}')
        return entry


_FIELD_TYPES = {
    **dict.fromkeys(('key', 'split', 'shard', 'image', 'mask', 'image_sha256', 'mask_sha256'), str),
    **dict.fromkeys(('index', 'original_height', 'original_width'), int),
    **dict.fromkeys(('split_reason', 'group', 'duplicate_of'), str | None),
    'distance': int | None,
}


# A class, and no generator: the card iterates it several times.
class RecordIndex(Iterable[RecordEntry]):
    """The entries of a `records.jsonl`, read again in each iteration.

    Args:
        path: the file, on this disk or elsewhere.
        skip_damaged: leave out lines that are no entries, instead of raising.

    Raises:
        OSError: by the iteration, if the file cannot be read.
        UserError: by the iteration, if a line is damaged.
    """

    def __init__(self, path: str, *, skip_damaged: bool = False) -> None:
        self._path = path
        self._skip_damaged = skip_damaged

    def __iter__(self) -> Iterator[RecordEntry]:
        with storage.local_copy(self._path) as local, open(local, 'rb') as file:
            for line in file:
                try:
                    yield RecordEntry.from_json(json.loads(line))
                except ValueError as error:
                    if not self._skip_damaged:
                        raise errors.UserError(f'{self._path}: damaged: {error}') from error


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
        return [Reject(**json.loads(line)) for line in storage.read_bytes(path).splitlines()]
    except (OSError, ValueError, TypeError) as error:
        raise errors.UserError(f'{path}: damaged: {error}') from error
