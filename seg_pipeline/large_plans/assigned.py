"""The split, the shard and the place of each of many pairs: what `planning.assignment` and `planning.sharding` decide.

Everything is an array of numbers, some 60 bytes a pair; texts are read from the pairs again where a hash or a line of
the plan needs them.
"""

import dataclasses
import functools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from seg_pipeline.large_plans.groups import Groups
from seg_pipeline.planning import assignment, sharding, splits, stratification
from seg_pipeline.planning.assignment import Assignment
from seg_pipeline.planning.grouping import Link
from seg_pipeline.planning.pairing import SourcePair
from seg_pipeline.planning.sharding import ShardPlan
from seg_pipeline.planning.stratification import MAX_CHOICES, Need

_PREFIX_BYTES = 8  # of a hash; equal ones are told apart by all of it


@dataclasses.dataclass(frozen=True)
class LargeAssignments:
    """The assignment of every pair, in the order of the pairs.

    Attributes:
        groups: of the pairs.
        split_names: the splits.
        split: (n,) int16, the place of each pair's split in `split_names`.
        moved: for the pair that names a group, why the group was moved: a name of a class.
        warnings: what could not be had, one line each.
    """

    groups: Groups
    split_names: tuple[str, ...]
    split: NDArray[np.int16]
    moved: Mapping[int, str]
    warnings: tuple[str, ...] = ()

    @property
    def num_pairs(self) -> int:
        """How many pairs are in some split."""
        return len(self.split)

    @property
    def present_splits(self) -> set[str]:
        """The splits that have a pair."""
        return {self.split_names[split] for split in np.unique(self.split).tolist()}

    @property
    def group_sizes(self) -> list[int]:
        """How many pairs each group has."""
        sizes = np.bincount(self.groups.namer)
        return [int(size) for size in sizes[sizes > 0]]

    @property
    def duplicates(self) -> Iterator[tuple[str, ...]]:
        """The keys of each set of identical or nearly identical images."""
        pairs = self.groups.pairs
        return (tuple(pairs[place].key for place in places.tolist()) for places in self.groups.duplicates)

    @property
    def num_duplicates(self) -> tuple[int, int]:
        """How many images are in sets of duplicates, and how many sets there are."""
        return sum(map(len, self.groups.duplicates)), len(self.groups.duplicates)

    def shards(
        self,
        counts: Mapping[str, int],
        seed: int,
        dataset_name: str,
        file_format: str,
        image_size: tuple[int, int] | None = None,
    ) -> Iterator[tuple[ShardPlan, dict[str, Assignment]]]:
        """The shards as `sharding.plan` cuts them, one after another, each with the assignments of its pairs."""
        pairs = self.groups.pairs
        order = _by_hash((pair.key for pair in pairs), len(pairs), seed, 'order', lambda place: pairs[place].key)
        of_split = self.split[order]
        parts = []
        for place, split in enumerate(self.split_names):
            members = order[of_split == place]
            parts += [
                (name, split, members[part])
                for name, part in sharding.cut(len(members), split, counts, dataset_name, file_format, image_size)
            ]
        for name, split, places in sorted(parts, key=lambda part: part[0]):
            chosen = [(place, pairs[place]) for place in places.tolist()]
            reasons = {pair.key: self._assignment(place, pair) for place, pair in chosen}
            yield ShardPlan(name, split, tuple(pair for _, pair in chosen)), reasons

    def _assignment(self, place: int, pair: SourcePair) -> Assignment:
        groups = self.groups
        namer = int(groups.namer[place])
        link = None
        if (other := int(groups.follows[place])) >= 0:
            link = Link(int(groups.distance[place]), pair.key, groups.pairs[other].key)
        # A pair on its own has no group; one that others follow, or are named like, has.
        is_grouped = groups.name_of is not None or link is not None or place in self._followed
        return assignment.explained(
            self.split_names[self.split[place]],
            link=link,
            name=groups.name_of(pair) if groups.name_of else None,
            moved=self.moved.get(namer),
            group=groups.label(pair if namer == place else groups.pairs[namer]) if is_grouped else None,
        )

    @functools.cached_property
    def _followed(self) -> frozenset[int]:
        """The first pairs of the sets of duplicates."""
        return frozenset(int(places[0]) for places in self.groups.duplicates)


def by_fractions(
    groups: Groups,
    fractions: Mapping[str, Fraction],
    seed: int,
    classes: NDArray[np.uint8] | None = None,
    class_names: Sequence[str] = (),
) -> LargeAssignments:
    """Assigns pairs by the fractions of the splits, as `assignment.by_fractions` does.

    Args:
        groups: of the pairs.
        fractions: the fraction of each split, adding up to 1.
        seed: another seed gives another assignment.
        classes: (n, 32) uint8, of each pair the bits of the classes in its mask, if every class is wanted in each
            split; None if not.
        class_names: the names of the classes.
    """
    counts = np.bincount(groups.namer, minlength=len(groups.pairs))
    namers = np.flatnonzero(counts)
    labels = (groups.label(pair) for place, pair in enumerate(groups.pairs) if counts[place])
    order = namers[
        _by_hash(labels, len(namers), seed, 'split', lambda rank: groups.label(groups.pairs[int(namers[rank])]))
    ]
    names = tuple(fractions)
    plain = _deal(order, counts, fractions, {})
    if classes is None:
        return LargeAssignments(groups, names, plain[groups.namer], {})
    cover = _cover(order, plain, groups, classes, fractions)
    forced = {group: names.index(split) for group, (split, _) in cover.forced.items()}
    # Dealt out again around the forced groups, so that the sizes are right with them.
    final = _deal(order, counts, fractions, forced)[groups.namer]
    moved = {group: class_names[cover.forced[group][1]] for group, split in forced.items() if split != plain[group]}
    got = Counter(
        {name: int(number) for name, number in zip(names, np.bincount(final, minlength=len(names)), strict=True)}
    )
    return LargeAssignments(
        groups, names, final, moved, assignment.shortfalls(cover.missed, got, fractions, class_names)
    )


def _by_hash(
    texts: Iterable[str], number: int, seed: int, purpose: str, text_of: Callable[[int], str]
) -> NDArray[np.int64]:
    """The places of texts in the order of `splits.order`.

    Args:
        texts: each once.
        number: how many there are.
        seed, purpose: as for `splits.order`.
        text_of: a text by its place, for the few whose hashes begin with the same bytes.
    """

    def digest(text: str) -> bytes:
        return splits.digest(text, seed, purpose)

    prefixes = (int.from_bytes(digest(text)[:_PREFIX_BYTES], 'big') for text in texts)
    hashes = np.fromiter(prefixes, np.uint64, number)
    order = np.argsort(hashes, kind='stable')
    ordered = hashes[order]
    for start in np.flatnonzero(ordered[1:] == ordered[:-1]).tolist():
        if start and ordered[start - 1] == ordered[start]:
            continue  # in the midst of those that were put in order
        stop = start + int(np.searchsorted(ordered[start:], ordered[start], 'right'))
        same = sorted(order[start:stop].tolist(), key=lambda place: (digest(text_of(place)), text_of(place)))
        order[start:stop] = same
    return order


def _deal(
    order: NDArray[np.int64], counts: NDArray[np.int64], fractions: Mapping[str, Fraction], forced: Mapping[int, int]
) -> NDArray[np.int16]:
    """The split of each group, at the place of the pair that names it; 0 at other places.

    Args:
        order: the namers of the groups, in the order in which they are dealt.
        counts: (n,) the pairs of the group that each pair names.
        fractions: of the splits.
        forced: the split of groups whose place is not decided here.
    """
    wanted = list(splits.sizes(int(counts.sum()), fractions).values())
    filled = [0] * len(wanted)
    result = np.zeros(len(counts), np.int16)
    for group, split in forced.items():
        result[group] = split
        filled[split] += int(counts[group])
    free = order if not forced else order[~np.isin(order, list(forced))]
    result[free] = splits.deal(counts[free], wanted, filled)
    return result


def _cover(
    order: NDArray[np.int64],
    plain: NDArray[np.int16],
    groups: Groups,
    classes: NDArray[np.uint8],
    fractions: Mapping[str, Fraction],
) -> stratification.Cover[int]:
    names = list(fractions)
    # A class of fewer groups than splits goes to the largest splits: what no one trains on need not be measured.
    by_fraction = sorted(fractions, key=lambda split: -fractions[split])
    of_group = np.zeros_like(classes)
    np.bitwise_or.at(of_group, groups.namer, classes)
    of_group = of_group[order]
    members = {}
    for class_id in range(8 * classes.shape[1]):
        found = order[of_group[:, class_id // 8] >> (class_id % 8) & 1 > 0]
        if len(found):
            members[class_id] = found
    needs = stratification.needs_of({class_id: len(found) for class_id, found in members.items()}, by_fraction)
    choices: dict[Need, list[int]] = {}
    for need in needs:
        found = members[need.class_id]
        there = plain[found] == names.index(need.split)
        choices[need] = [*found[there][:MAX_CHOICES].tolist(), *found[~there][:MAX_CHOICES].tolist()]
    rank = np.empty(len(plain), np.int64)
    rank[order] = np.arange(len(order))
    candidates = {group for chosen in choices.values() for group in chosen}
    bits = {group: np.unpackbits(of_group[rank[group]], bitorder='little') for group in candidates}
    return stratification.choose(
        needs, choices, {group: np.flatnonzero(found).tolist() for group, found in bits.items()}
    )
