"""The masks of which much more is ignored than of the others, as one that was read wrongly would have.

While a data set is made, the work directory has the share of each mask. Later it is counted again, in the stored masks:
so it is known of data sets of every version, and can be said of them again.
"""

import dataclasses
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent import futures

import numpy as np
from numpy.typing import NDArray

from seg_pipeline import errors, records, storage
from seg_pipeline.dataset import manifest, record_index, statistics, typed_json
from seg_pipeline.dataset.manifest import Manifest
from seg_pipeline.dataset.statistics import SplitSummary
from seg_pipeline.imaging import masks, resizing
from seg_pipeline.plurals import counted
from seg_pipeline.records import example_proto, schemas

_LISTED = 5  # names in a warning
_READ_AT_ONCE = 64  # records, with their images


def share(mask: NDArray[np.uint8], original_size: tuple[int, int], resize: str, ignore_id: int) -> float:
    """The share of the pixels of a resized mask that are ignored; the border of a letterbox does not count.

    Args:
        mask: (H, W) uint8 ids.
        original_size: (height, width) of the source in pixels.
        resize: how the source got its size.
        ignore_id: the id of ignored pixels.

    Returns:
        0..1, rounded to four digits, as the work directory keeps it.
    """
    shown = resizing.geometry(original_size, (mask.shape[0], mask.shape[1]), resize).target
    return round(float(np.mean(mask[shown.slices] == ignore_id)), 4)


@dataclasses.dataclass(frozen=True)
class Shares:
    """The ignored shares of many masks, of which few stand out.

    Attributes:
        values: (n,) float64, 0..1.
        names: gives the names of the masks in the same order, without holding them.
    """

    values: NDArray[np.float64]
    names: Callable[[], Iterable[str]]

    @classmethod
    def of(cls, shares: Mapping[str, float]) -> 'Shares':
        """Those of a mapping from the names of the masks."""
        return cls(np.array(list(shares.values()), np.float64), shares.keys)

    def standing_out(self) -> dict[str, float]:
        """The masks of which much more is ignored than of the others, by name, in the order of the names."""
        limit = statistics.ignored_limit(self.values)
        if not (self.values > limit).any():
            return {}
        found = {name: value for name, value in zip(self.names(), self.values.tolist(), strict=True) if value > limit}
        return dict(sorted(found.items()))


def warnings(standing_out: Mapping[str, float], num_masks: int) -> tuple[str, ...]:
    """One line that names the masks that stand out, if there are such.

    Args:
        standing_out: as `Shares.standing_out` gives them.
        num_masks: of how many masks.
    """
    if not standing_out:
        return ()
    number = len(standing_out)
    first = itertools.islice(standing_out.items(), _LISTED)
    shown = ', '.join(f'{name} ({share:.0%})' for name, share in first)
    more = f' and {number - _LISTED} more' if number > _LISTED else ''
    verb = 'is' if number == 1 else 'are'
    of = f'{number} of {counted(num_masks, "mask")}'
    return (errors.one_line(f'{of} {verb} more than half ignored, or far more than the others: {shown}{more}'),)


def of_dataset(dataset_dir: str, present: Manifest) -> dict[str, float]:
    """The ignored share of each stored mask, by the name of its file; empty if none can stand out.

    Reads every mask, but where `statistics.json` tells that too few pixels are ignored.

    Args:
        dataset_dir: a data set whose files are what its manifest says.
        present: its manifest.

    Raises:
        UserError: if a file is damaged.
    """
    resize = str(present.options['resize'])
    shares: dict[str, float] = {}
    try:
        if not _can_stand_out(dataset_dir, present, resize):
            return {}
        with futures.ThreadPoolExecutor() as pool:  # decoding releases the interpreter's lock
            some = _named_records(dataset_dir)
            while batch := list(itertools.islice(some, _READ_AT_ONCE)):
                found = pool.map(lambda named: _share_of(named[1], resize, present.label_map.ignore_id), batch)
                shares.update(zip((name for name, _ in batch), found, strict=True))
    except (ValueError, KeyError, IndexError, OSError) as error:
        raise errors.UserError(f'{dataset_dir}: damaged: {errors.one_line(str(error))}') from error
    return shares


def _can_stand_out(dataset_dir: str, present: Manifest, resize: str) -> bool:
    """Whether any mask can: not if all together have fewer ignored pixels than the smallest would need."""
    data = storage.read_bytes(os.path.join(dataset_dir, manifest.STATISTICS_FILE))
    splits = typed_json.read(dict[str, SplitSummary], typed_json.parse(data), 'statistics')
    ignored = sum(split.ignored_pixels for split in splits.values())
    sizes = [row for split in splits.values() for row in split.source_sizes]
    height, width = present.image_size
    areas = []
    for row in sizes:
        target = resizing.geometry((row.height, row.width), (height, width), resize).target
        areas.append(target.height * target.width)
        ignored -= row.images * (height * width - areas[-1])  # the border
    return ignored > statistics.LEAST_ABOVE_MEDIAN * min(areas, default=0)


def _named_records(dataset_dir: str) -> Iterator[tuple[str, bytes]]:
    """The mask's name and the payload of each record."""
    for shard, entries in record_index.by_shard(record_index.of(dataset_dir)):
        payloads = records.read_payloads(os.path.join(dataset_dir, shard))
        for entry, payload in zip(entries, payloads, strict=True):
            yield entry.mask, payload.data


def _share_of(payload: bytes, resize: str, ignore_id: int) -> float:
    record = schemas.from_features(example_proto.parse(payload))
    return share(masks.decode(record.mask, 'segmentation_mask'), record.original_size, resize, ignore_id)
