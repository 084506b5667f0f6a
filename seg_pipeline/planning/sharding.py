"""The shard plan: which pair becomes which record of which shard, fixed before anything is decoded."""

import dataclasses
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from seg_pipeline import errors
from seg_pipeline.planning import splits
from seg_pipeline.planning.pairing import SourcePair
from seg_pipeline.records.writer import TFRECORD

PAIRS_PER_SHARD = 100  # by default: small units keep every core busy to the end and make an interrupted job cheap
# So many shards at most, unless they would be larger than what object stores and readers are best at: 100 to 200 MB.
MAX_DEFAULT_SHARDS = 1000
_BYTES_PER_SHARD = 150_000_000
_BYTES_PER_PIXEL = 2.1  # of a stored photo as PNG and its mask: measured on the 1000 photos of Clothing Co-Parsing
_LEAST_PER_UNIT, _MOST_PER_UNIT = 10, 250  # pairs: some seconds of work, beside some milliseconds for its files
_UNITS_PER_WORKER = 4
_MOST_SHARDS = 99_999  # as their names have five digits


@dataclasses.dataclass(frozen=True)
class ShardPlan:
    """One unit of work: the pairs of one shard, in the order of its records.

    Attributes:
        name: file name of the shard in the data set.
        split: name of the split.
        pairs: what goes into it.
        fingerprint: hex digest of everything that decides the shard's bytes.
    """

    name: str
    split: str
    pairs: tuple[SourcePair, ...]
    fingerprint: str = ''


def shard_name(dataset_name: str, split: str, index: int, count: int, file_format: str = TFRECORD) -> str:
    """The name that TFDS expects: `name-split.tfrecord-00000-of-00008`."""
    return f'{dataset_name}-{split}.{file_format}-{index:05d}-of-{count:05d}'


def parse_counts(text: str, split_names: Iterable[str]) -> dict[str, int]:
    """Parses `--num_shards=train:8,validation:2`.

    Raises:
        UserError: if a split is unknown or a count is no positive integer.
    """
    known = list(split_names)
    counts: dict[str, int] = {}
    for split, value in splits.parse(text, 'num_shards').items() if text else ():
        if split not in known:
            raise errors.UserError(f'--num_shards={text}: no split {split!r}; the splits are {", ".join(known)}')
        if not re.fullmatch('[0-9]{1,5}', value) or int(value) == 0:
            raise errors.UserError(f'--num_shards={text}: {value!r} shards of {split}; wanted 1 to 99999')
        counts[split] = int(value)
    return counts


def plan(
    pairs: Iterable[SourcePair],
    split_of: Mapping[str, str],
    counts: Mapping[str, int],
    seed: int,
    dataset_name: str,
    *,
    file_format: str = TFRECORD,
    image_size: tuple[int, int] | None = None,
) -> list[ShardPlan]:
    """Cuts every split into shards of nearly equal size.

    Args:
        pairs: all pairs.
        split_of: the split of each key; a pair whose key is not in it is left out.
        counts: the number of shards of a split; others get one for each 100 pairs. Never more than a split has pairs.
        seed: decides the order of the records, together with their keys.
        dataset_name: first part of the shards' names.
        file_format: second part of them.
        image_size: (height, width) of the records in pixels, for the number of shards of a large split; None if it is
            not known.

    Returns:
        The shards, ordered by split and number.
    """
    members: dict[str, dict[str, SourcePair]] = defaultdict(dict)
    for pair in pairs:
        if pair.key in split_of:
            members[split_of[pair.key]][pair.key] = pair
    plans = []
    for split, by_key in members.items():
        # By another hash than the splits (the purpose is part of it), so that neighbours in a shard are random too.
        keys = splits.order(by_key, seed, 'order')
        for name, part in cut(len(keys), split, counts, dataset_name, file_format, image_size):
            plans.append(ShardPlan(name, split, tuple(by_key[key] for key in keys[part])))
    return sorted(plans, key=lambda shard: shard.name)


def cut(
    num_pairs: int,
    split: str,
    counts: Mapping[str, int],
    dataset_name: str,
    file_format: str = TFRECORD,
    image_size: tuple[int, int] | None = None,
) -> Iterator[tuple[str, slice]]:
    """The name of each shard of a split, and which part of its pairs it has. Arguments are those of `plan`."""
    count = min(counts.get(split, default_count(num_pairs, image_size)), num_pairs)
    for index in range(count):
        # Integer arithmetic: the parts differ by one pair at most, and the last one ends with the last pair.
        part = slice(index * num_pairs // count, (index + 1) * num_pairs // count)
        yield shard_name(dataset_name, split, index, count, file_format), part


def pairs_per_unit(num_pairs: int, num_workers: int | None) -> int:
    """How many pairs one worker takes at a time: few enough that all are busy to the end.

    The bytes of a shard do not depend on it: the parts of one are put together as they would have been written.

    Args:
        num_pairs: of the data set.
        num_workers: how many there are; None if nobody knows.
    """
    if num_workers is None:
        return _MOST_PER_UNIT
    return max(_LEAST_PER_UNIT, min(math.ceil(num_pairs / (num_workers * _UNITS_PER_WORKER)), _MOST_PER_UNIT))


def units(num_pairs: int, most: int) -> list[slice]:
    """Cuts the pairs of a shard into as few parts of nearly equal size as have at most so many pairs."""
    count = max(1, math.ceil(num_pairs / most))
    return [slice(index * num_pairs // count, (index + 1) * num_pairs // count) for index in range(count)]


def default_count(num_pairs: int, image_size: tuple[int, int] | None = None) -> int:
    """The number of shards of a split for which none was asked for.

    One for each 100 pairs, up to 1000; more where these would have more than 150 MB each, by the size of PNG records.
    """
    height, width = image_size or (0, 0)
    by_bytes = math.ceil(num_pairs * height * width * _BYTES_PER_PIXEL / _BYTES_PER_SHARD)
    most = min(max(MAX_DEFAULT_SHARDS, by_bytes), _MOST_SHARDS)
    return max(1, min(math.ceil(num_pairs / PAIRS_PER_SHARD), most))
