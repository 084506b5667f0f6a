"""Which of many pairs must stay in one split: what `planning.grouping` finds, in arrays of their places.

A pair is a number here, its place in the order of the keys; so the smaller of two numbers is the smaller key.
"""

import dataclasses
import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from seg_pipeline import storage
from seg_pipeline.imaging import perceptual_hash
from seg_pipeline.planning import grouping, spanning_forest
from seg_pipeline.planning.grouping import IDENTICAL
from seg_pipeline.planning.pairing import SourcePair
from seg_pipeline.planning.spanning_forest import Edges

_COMPARED_AT_ONCE = 50_000  # pairs, with the names and sizes of their files
_ALONE = -1


@dataclasses.dataclass(frozen=True)
class Groups:
    """The groups of n pairs.

    Attributes:
        pairs: the pairs.
        name_of: the name that `--group_regex` gives a pair; None without one.
        namer: (n,) int64, for each pair the one whose name, or else whose key, is the name of its group.
        follows: (n,) int64, the pair that each follows by a link; -1 if it follows none.
        distance: (n,) int8, of the link; `grouping.IDENTICAL` for the same file.
        duplicates: the pairs of each set of identical or nearly identical images, ascending.
    """

    pairs: Sequence[SourcePair]
    name_of: Callable[[SourcePair], str | None] | None
    namer: NDArray[np.int64]
    follows: NDArray[np.int64]
    distance: NDArray[np.int8]
    duplicates: list[NDArray[np.int64]]

    def label(self, namer: SourcePair) -> str:
        """The name of the group that a pair names."""
        return namer.key if self.name_of is None else self.name_of(namer) or ''


def identical_files(
    root: str, pairs: Sequence[SourcePair], status: Callable[[str], storage.Entry | None] | None = None
) -> Edges:
    """Links the pairs whose images are the same, as `grouping.identical_files` does, for some sizes at a time.

    Args:
        root: of the images.
        pairs: the pairs.
        status: of an image; by default `storage.statuses` of the root.

    Returns:
        From each pair to the first of those of the same image; their weight is 0.
    """
    status = status or storage.statuses(root)
    entries = (status(pair.image) for pair in pairs)
    sizes = np.fromiter((-1 if entry is None else entry.num_bytes for entry in entries), np.int64, len(pairs))
    order = np.argsort(sizes, kind='stable')
    starts = np.flatnonzero(np.diff(sizes[order], prepend=-2))
    counts = np.diff(starts, append=len(order))
    several = (counts > 1) & (sizes[order[starts]] >= 0)
    links: list[tuple[int, int]] = []
    pending: list[NDArray[np.int64]] = []
    for start, count in zip(starts[several].tolist(), counts[several].tolist(), strict=True):
        pending.append(order[start : start + count])
        if sum(map(len, pending)) >= _COMPARED_AT_ONCE:
            links += _identical_of(root, pairs, np.concatenate(pending), status)
            pending = []
    if pending:
        links += _identical_of(root, pairs, np.concatenate(pending), status)
    other, one = np.array(links, np.int64).reshape(-1, 2).T
    return Edges(one, other, np.zeros(len(one), np.int64))


def _identical_of(
    root: str,
    pairs: Sequence[SourcePair],
    places: NDArray[np.int64],
    status: Callable[[str], storage.Entry | None],
) -> list[tuple[int, int]]:
    some = {pairs[place].key: place for place in np.sort(places).tolist()}
    found = grouping.identical_files(root, (pairs[place] for place in some.values()), status)
    return [(some[link.key], some[link.other]) for link in found]


def near_duplicates(
    hashes: NDArray[np.uint64], known: NDArray[np.bool_], max_distance: int = perceptual_hash.DEFAULT_MAX_DISTANCE
) -> Iterator[Edges]:
    """Links pairs whose perceptual hashes differ in few bits, as `grouping.near_duplicates` does.

    Args:
        hashes: (n,) uint64.
        known: (n,) which of them there are: pairs that will be rejected have none.
        max_distance: in bits.

    Yields:
        Portions of the links. Their weight is the distance and 1, since 0 is for the same file.
    """
    places = np.flatnonzero(known)
    for one, other, distance in perceptual_hash.near_pairs(hashes[places], max_distance):
        yield Edges(places[one], places[other], distance + 1)


def form(pairs: Sequence[SourcePair], expression: str | None, links: Iterator[Edges]) -> Groups:
    """Joins what has one name by the expression, and what is linked, as `grouping.form` does.

    Raises:
        UserError: as `grouping.by_expression` does.
    """
    name_of = grouping.name_finder(expression) if expression else None
    namer = np.arange(len(pairs)) if name_of is None else _first_of_name(pairs, expression or '', name_of)
    forest = spanning_forest.of(len(pairs), links)
    follows, distance = np.full(len(pairs), _ALONE), np.zeros(len(pairs), np.int8)
    duplicates = _orient(forest, follows, distance)
    groups = Groups(pairs, name_of, namer, follows, distance, duplicates)
    return dataclasses.replace(groups, namer=_join(groups))


def _first_of_name(
    pairs: Sequence[SourcePair], expression: str, name_of: Callable[[SourcePair], str | None]
) -> NDArray[np.int64]:
    """For each pair, the first one of its name."""
    digests = np.zeros((len(pairs), 2), np.uint64)  # of 128 bits: different names have different ones
    missing, example = 0, ''
    for place, pair in enumerate(pairs):
        if name := name_of(pair):
            digests[place] = np.frombuffer(hashlib.blake2b(name.encode(), digest_size=16).digest(), np.uint64)
        else:
            missing, example = missing + 1, min(example or pair.image, pair.image)
    if missing:
        raise grouping.nameless(expression, missing, len(pairs), example)
    order = np.lexsort((digests[:, 1], digests[:, 0]))  # stable: of one name, the first pair comes first
    is_first = np.ones(len(order), np.bool_)
    is_first[1:] = (digests[order[1:]] != digests[order[:-1]]).any(axis=1)
    result = np.empty(len(order), np.int64)
    result[order] = order[is_first][np.cumsum(is_first) - 1]
    return result


def _orient(forest: Edges, follows: NDArray[np.int64], distance: NDArray[np.int8]) -> list[NDArray[np.int64]]:
    """Lets every linked pair but the first of each tree follow another; the pairs of each tree, ascending."""
    neighbours = defaultdict(list)
    for one, other, weight in zip(*(values.tolist() for values in forest), strict=True):
        neighbours[one].append((other, weight))
        neighbours[other].append((one, weight))
    seen: set[int] = set()
    trees = []
    for first in sorted(neighbours):
        if first in seen:
            continue
        seen.add(first)
        tree, pending = [first], [first]
        while pending:
            place = pending.pop()
            for other, weight in neighbours[place]:
                if other not in seen:
                    seen.add(other)
                    follows[other], distance[other] = place, weight - 1 if weight else IDENTICAL
                    tree.append(other)
                    pending.append(other)
        trees.append(np.array(sorted(tree)))
    return trees


def _join(groups: Groups) -> NDArray[np.int64]:
    """For each pair the one that names its group, when links have joined groups."""
    parents: dict[int, int] = {}

    def find(place: int) -> int:
        while (parent := parents.get(place, place)) != place:
            parents[place] = parents.get(parent, parent)  # halves the path
            place = parent
        return place

    def label(place: int) -> str:
        return groups.label(groups.pairs[place])

    for tree in groups.duplicates:
        first = find(int(groups.namer[tree[0]]))
        for place in tree[1:].tolist():
            other = find(int(groups.namer[place]))
            if other == first:
                continue
            # The smallest name of all is that of the group.
            small, large = (first, other) if label(first) < label(other) else (other, first)
            parents[large] = first = small
    if not parents:
        return groups.namer
    changed = np.arange(len(groups.namer))
    for place in parents:
        changed[place] = find(place)
    return changed[groups.namer]
