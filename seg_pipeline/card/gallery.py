"""The pictures of the card: which records to show, and as what."""

import base64
import contextlib
import dataclasses
import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from seg_pipeline import records, storage
from seg_pipeline.dataset.record_index import RecordEntry
from seg_pipeline.dataset.statistics import ClassSummary
from seg_pipeline.imaging import resizing
from seg_pipeline.records import example_proto

DEFAULT_LIMIT = 24
_LONGER_SIDE = 256  # of a picture in the card, in pixels; smaller records stay as they are
_JPEG_QUALITY = 85
# Of duplicates, enough to judge whether they are such.
_SHOWN_GROUPS, _SHOWN_MEMBERS, _SMALL_SIDE = 24, 4, 128


@dataclasses.dataclass(frozen=True)
class Picture:
    """One record as the card shows it.

    Attributes:
        key: the pair's key.
        split: its split.
        image: JPEG.
        mask: (height, width) uint8 ids, of the size of the image.
        proportions: height and width in which to show it.
        chosen_for: the class for whose sake it was chosen, if for one.
    """

    key: str
    split: str
    image: bytes
    mask: NDArray[np.uint8]
    proportions: tuple[int, int]
    chosen_for: int | None = None

    @property
    def ids(self) -> list[int]:
        """The ids in the mask, in order."""
        return [int(number) for number in np.unique(self.mask)]


def choose(
    shard_paths: Mapping[str, str],
    entries: Iterable[RecordEntry],
    classes: Sequence[ClassSummary],
    *,
    limit: int = DEFAULT_LIMIT,
    proportions: str = 'source',
) -> tuple[Picture, ...]:
    """Chooses records that show as many classes as possible, the rarest first, and reads those alone.

    From the class in the fewest images to that in the most, each class that no picture shows yet gets the record where
    it has the most pixels. Places that are left go to records at even distances in the data set.

    Args:
        shard_paths: where each shard is, by its name.
        entries: the index of the data set, iterated more than once.
        classes: the classes over all splits.
        limit: how many pictures.
        proportions: `source` to show records in the proportions of their sources, `stored` in their own.

    Returns:
        At most `limit` pictures; equal arguments give equal ones.

    Raises:
        DamagedRecordError: if one of the records is damaged.
        OSError: if a shard cannot be read.
    """
    by_key = _find(entries, {row.largest_in for row in classes})
    chosen: dict[str, Picture] = {}
    shown: set[int] = set()
    with Shards(shard_paths) as shards:
        for row in sorted(classes, key=lambda row: (row.images, row.id)):
            key = row.largest_in
            if key is None or key not in by_key or len(chosen) == limit:
                continue
            if row.id not in shown and key not in chosen:
                chosen[key] = read(shards, by_key[key], proportions=proportions, chosen_for=row.id)
                shown.update(chosen[key].ids)
        others = list(_spread([entry.key for entry in entries if entry.key not in chosen], limit - len(chosen)))
        by_key = _find(entries, others)
        for key in others:
            chosen[key] = read(shards, by_key[key], proportions=proportions)
    return tuple(chosen.values())


def of_duplicates(
    shard_paths: Mapping[str, str],
    entries: Iterable[RecordEntry],
    groups: Sequence[Sequence[RecordEntry]],
    *,
    proportions: str = 'source',
) -> dict[str, Picture]:
    """Small pictures, by key, of the first members of the first groups.

    Args:
        shard_paths: where each shard is, by its name.
        entries: the index of the data set, iterated more than once.
        groups: the records of each group of duplicates.
        proportions: see `choose`.

    Raises:
        DamagedRecordError: if one of the records is damaged.
        OSError: if a shard cannot be read.
    """
    wanted = {member.key for group in groups[:_SHOWN_GROUPS] for member in group[:_SHOWN_MEMBERS]}
    found = _find(entries, wanted)
    pictures = {}
    for _, members in itertools.groupby(sorted(found.values(), key=lambda entry: entry.shard), lambda each: each.shard):
        with Shards(shard_paths) as shards:  # one at a time: they may be many
            for entry in members:
                pictures[entry.key] = read(shards, entry, longer_side=_SMALL_SIDE, proportions=proportions)
    return {key: pictures[key] for key in found}


class Shards(contextlib.ExitStack):
    """Reads records of shards; each remote shard is fetched once, and kept until the `with` block ends."""

    def __init__(self, paths: Mapping[str, str]) -> None:
        super().__init__()
        self._paths = paths
        self._local: dict[str, str] = {}

    def read(self, entry: RecordEntry) -> records.Record:
        if entry.shard not in self._local:
            self._local[entry.shard] = self.enter_context(storage.local_copy(self._paths[entry.shard]))
        (record,) = records.read_some(self._local[entry.shard], [entry.index])
        return record


def _find(entries: Iterable[RecordEntry], keys: Collection[str | None]) -> dict[str, RecordEntry]:
    """The entries of some keys; of all the others, which may be millions, none is held."""
    return {entry.key: entry for entry in entries if entry.key in keys}


def _spread(keys: Sequence[str], count: int) -> Iterator[str]:
    count = min(count, len(keys))
    # The middles of `count` equal parts.
    return (keys[(2 * i + 1) * len(keys) // (2 * count)] for i in range(count))


def read(
    shards: Shards,
    entry: RecordEntry,
    *,
    longer_side: int = _LONGER_SIDE,
    proportions: str = 'source',
    chosen_for: int | None = None,
) -> Picture:
    """Reads one record as a picture.

    Args:
        shards: where they are read.
        entry: its entry in the index.
        longer_side: of the picture, in pixels; a smaller record stays as it is.
        proportions: see `choose`.
        chosen_for: see `Picture`.

    Raises:
        DamagedRecordError: if it is damaged.
        OSError: if the shard cannot be read.
    """
    record = shards.read(entry)
    height, width = record.mask.shape
    scale = min(1.0, longer_side / max(height, width))
    size = max(1, round(height * scale)), max(1, round(width * scale))
    return Picture(
        key=entry.key,
        split=entry.split,
        image=_jpeg(resizing.resize_image(record.image, size)),
        mask=resizing.resize_mask(record.mask, size),
        proportions=record.original_size if proportions == 'source' else (height, width),
        chosen_for=chosen_for,
    )


def _jpeg(image: NDArray[np.uint8]) -> bytes:
    done, data = cv2.imencode('.jpg', image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    if not done:
        raise ValueError(f'an image of shape {image.shape} cannot be encoded')
    return data.tobytes()


def encode_runs(mask: NDArray[np.uint8]) -> str:
    """A mask as text for the page's script: base64 of runs in row order.

    Not a PNG, because browsers that guard against fingerprinting falsify the pixels that a script reads from images.

    Args:
        mask: (H, W) uint8 ids.

    Returns:
        Base64 of, for each run of one id, the id as one byte and the run's length as an LEB128 integer.
    """
    ids = mask.ravel()
    # A run starts where an id differs from the one before; the value before the first differs from every id.
    starts = np.flatnonzero(np.diff(ids, prepend=-1 - ids[:1].astype(int)))
    lengths = np.diff(starts, append=ids.size)
    data = bytearray()
    for number, length in zip(ids[starts].tolist(), lengths.tolist(), strict=True):
        data.append(number)
        data += example_proto.varint(length)
    return base64.b64encode(data).decode()
