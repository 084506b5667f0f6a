"""Which pairs must stay in one split: of one person or day by name, byte-identical, or nearly the same image.

What links two pairs is a `Link`, what follows from all links a `Grouping`: connected components, found with disjoint
sets. Inside each component the links of a minimum spanning tree remain, so that every member but the first follows
exactly one other, by the strongest link there is: that is what `records.jsonl` tells of it.
"""

import dataclasses
import hashlib
import os
import re
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from concurrent import futures
from typing import Any

from seg_pipeline import errors, storage
from seg_pipeline.imaging import perceptual_hash
from seg_pipeline.planning.pairing import SourcePair
from seg_pipeline.plurals import counted
from seg_pipeline.storage import checksums

NEAR_DUPLICATES = ('off', 'group')
_HEAD_BYTES = 4096  # images of equal size differ here, or are copies
_FILES_A_TASK = 32  # a task of a thread costs as much as reading the head of a file

IDENTICAL = -1  # as a distance: below every other, the strongest of links

_File = list[tuple[str, str]]  # its names, each a path and a key


@dataclasses.dataclass(frozen=True, order=True, slots=True)
class Link:
    """Two keys that must not be separated; links order by strength.

    Attributes:
        distance: of the perceptual hashes, in bits; `IDENTICAL` if the files are the same, byte for byte.
        key: one of them.
        other: the other one.
    """

    distance: int
    key: str
    other: str


@dataclasses.dataclass(frozen=True)
class Grouping:
    """The groups of a data set; a key without an entry is a group of its own.

    Attributes:
        group_of: the group's name of each key that has one.
        names: the group that `--group_regex` gives each key.
        link_of: for each key that follows another one, the link from it to that one.
        duplicates: the keys of each set of identical or nearly identical images.
    """

    group_of: Mapping[str, str] = dataclasses.field(default_factory=dict)
    names: Mapping[str, str] = dataclasses.field(default_factory=dict)
    link_of: Mapping[str, Link] = dataclasses.field(default_factory=dict)
    duplicates: tuple[tuple[str, ...], ...] = ()


NO_GROUPS = Grouping()


def by_expression(pairs: Iterable[SourcePair], expression: str) -> dict[str, str]:
    """Names the group of each pair: the first group of the expression (else the complete match) in the image's path.

    Raises:
        UserError: if it is no expression, or finds nothing in some path: such an image could leak.
    """
    find = name_finder(expression)
    names = {pair.key: name for pair in pairs if (name := find(pair))}
    missing = [pair.image for pair in pairs if pair.key not in names]
    if missing:
        raise nameless(expression, len(missing), len(names) + len(missing), min(missing))
    return names


def name_finder(expression: str) -> Callable[[SourcePair], str | None]:
    """How the name of a pair's group is found; None, or an empty text, where there is none.

    Raises:
        UserError: if it is no expression.
    """
    try:
        compiled = re.compile(expression)
    except re.error as error:
        raise errors.UserError(f'--group_regex={expression}: not a regular expression: {error}') from error
    group = 1 if compiled.groups else 0

    def find(pair: SourcePair) -> str | None:
        match = compiled.search(pair.image)
        return match.group(group) if match else None

    return find


def nameless(expression: str, number: int, total: int, example: str) -> errors.UserError:
    """What to raise where an expression finds no name in a number of paths."""
    return errors.UserError(
        f'--group_regex={expression}: finds no group in {number} of {counted(total, "path")}, such as {example}'
    )


def identical_files(
    root: str, pairs: Iterable[SourcePair], status: Callable[[str], storage.Entry | None] | None = None
) -> list[Link]:
    """Links the pairs whose images are the same, byte for byte.

    Only files of equal size are read: the first 4 KiB, and all of the file where those are equal too. Names of one file
    (hard or symbolic links) are not read at all. Files that cannot be read are left out.

    Args:
        root: of the images.
        pairs: their pairs.
        status: `storage.statuses` of the root, if there is one already.
    """
    status = status or storage.statuses(root)
    by_size = defaultdict(list)
    for pair in pairs:
        if (found := status(pair.image)) is not None:  # else reading it gives the reject with the reason
            by_size[found.num_bytes].append((found.identity, pair))
    groups = [_files(root, found) for found in by_size.values() if len(found) > 1]
    for digest in (_digest_head, _digest_file):
        groups = _refine([group for group in groups if len(group) > 1], digest) + [g for g in groups if len(g) == 1]
    result = []
    for group in groups:
        first, *others = sorted(key for names in group for _, key in names)
        result += [Link(IDENTICAL, key, first) for key in others]
    return result


def _files(root: str, found: Iterable[tuple[Hashable, SourcePair]]) -> list[_File]:
    """The files behind names of one size."""
    names = defaultdict(list)
    for identity, pair in found:
        names[identity].append((os.path.join(root, pair.image), pair.key))
    return list(names.values())


def _refine(groups: list[list[_File]], digest: Callable[[str], Hashable]) -> list[list[_File]]:
    """Splits each group of files by a digest."""
    files = [(number, names) for number, group in enumerate(groups) for names in group]
    tasks = [files[start : start + _FILES_A_TASK] for start in range(0, len(files), _FILES_A_TASK)]
    parts = defaultdict(list)
    with futures.ThreadPoolExecutor() as pool:  # reading and hashing leave the interpreter's lock
        digests = pool.map(lambda task: [digest(names[0][0]) for _, names in task], tasks)
        for task, values in zip(tasks, digests, strict=True):
            for (number, names), value in zip(task, values, strict=True):
                if value is not None:
                    parts[number, value].append(names)
    return list(parts.values())


def _digest_head(path: str) -> bytes | None:
    try:
        return hashlib.sha256(storage.read_head(path, _HEAD_BYTES)).digest()
    except OSError:
        return None


def _digest_file(path: str) -> str | None:
    try:
        return checksums.digest(path).sha256
    except OSError:
        return None


def near_duplicates(hashes: Mapping[str, int], max_distance: int = perceptual_hash.DEFAULT_MAX_DISTANCE) -> list[Link]:
    """Links the keys whose perceptual hashes differ in at most `max_distance` bits.

    Only the links of a minimum spanning tree of each group: `form` drops the others, of which there may be n * n / 2.
    """
    import numpy as np

    from seg_pipeline.planning import spanning_forest

    keys = sorted(
        hashes
    )  # so the order of the numbers is that of the keys, and equal distances are ordered as links are
    array = np.fromiter((hashes[key] for key in keys), np.uint64, len(keys))
    portions = (spanning_forest.Edges(*found) for found in perceptual_hash.near_pairs(array, max_distance))
    forest = spanning_forest.of(len(keys), portions)
    return [Link(d, keys[j], keys[i]) for i, j, d in zip(*(values.tolist() for values in forest), strict=True)]


def form(names: Mapping[str, str], links: Sequence[Link]) -> Grouping:
    """Joins named groups and links: everything that is connected, directly or not, is one group.

    A group has the smallest name of its members, else their smallest key, so that a pair that is added later rarely
    renames it.

    Args:
        names: the group of each key, as `by_expression` gives it, or nothing.
        links: what else must stay together.
    """
    tree = _spanning_tree(links)
    link_of: dict[str, Link] = {}
    duplicates = []
    sets = _DisjointSets()
    # Keys and names share the sets; the kind keeps a key apart from a group of the same name.
    for key, name in names.items():
        sets.join(('key', key), ('name', name))
    for component in _components(tree):
        first = min(component)
        duplicates.append(tuple(sorted(component)))
        link_of.update(_links_to(first, tree))
        for key in component:
            sets.join(('key', key), ('key', first))
    members = sets.members()
    label = {root: _label(found) for root, found in members.items()}
    group_of = {name: label[root] for root, found in members.items() for kind, name in found if kind == 'key'}
    return Grouping(group_of, names, link_of, tuple(sorted(duplicates)))


def _label(members: Sequence[tuple[str, str]]) -> str:
    return min([name for kind, name in members if kind == 'name'] or [key for _, key in members])


class _DisjointSets:
    """Sets of things that are joined pair by pair (union-find with path compression)."""

    def __init__(self) -> None:
        self._parents: dict[Hashable, Hashable] = {}

    def find(self, item: Hashable) -> Hashable:
        """The representative of the set of `item`."""
        root = item
        while (parent := self._parents.setdefault(root, root)) != root:
            root = parent
        while item != root:
            self._parents[item], item = root, self._parents[item]
        return root

    def join(self, one: Hashable, other: Hashable) -> bool:
        """Joins the sets of two things; whether they were in different sets before."""
        one, other = self.find(one), self.find(other)
        self._parents[one] = other
        return one != other

    def members(self) -> dict[Hashable, list[Any]]:
        """The things of each set, by its representative."""
        result = defaultdict(list)
        for item in list(self._parents):
            result[self.find(item)].append(item)
        return result


def _spanning_tree(links: Iterable[Link]) -> dict[str, dict[str, int]]:
    """The links of a minimum spanning tree (Kruskal): for each key its neighbours and their distances.

    Links are taken from the strongest; one whose ends are connected already adds nothing.
    """
    sets = _DisjointSets()
    tree: dict[str, dict[str, int]] = defaultdict(dict)
    for link in sorted(links):
        if sets.join(link.key, link.other):
            tree[link.key][link.other] = tree[link.other][link.key] = link.distance
    return tree


def _components(tree: Mapping[str, Mapping[str, int]]) -> list[list[str]]:
    sets = _DisjointSets()
    for key, neighbours in tree.items():
        for other in neighbours:
            sets.join(key, other)
    return list(sets.members().values())


def _links_to(first: str, tree: Mapping[str, Mapping[str, int]]) -> dict[str, Link]:
    """For each key of the component of `first` but itself: its link on the way there."""
    result: dict[str, Link] = {}
    pending = [first]
    while pending:
        key = pending.pop()
        for other, distance in tree[key].items():
            if other != first and other not in result:
                result[other] = Link(distance, other, key)
                pending.append(other)
    return result
