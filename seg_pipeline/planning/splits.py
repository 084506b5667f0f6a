"""Which split a pair belongs to: a function of its key (or its group) and the seed, exact in size.

Comparing the hash of each key with a threshold, as some tools do, gives sizes that are right only on average: of 10
pairs all may go to one split. Here the keys are put in the order of their hashes and dealt out until each split has its
size, which is as random, and exact.
"""

import hashlib
import itertools
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from seg_pipeline import errors
from seg_pipeline.planning.pairing import SourcePair
from seg_pipeline.records import tfds_names

_AT_ONCE = 1 << 16  # groups whose sizes are Python's integers at a time
# As it was always allowed: 0.8, .8, 4/5, 8e-1; in ASCII, and never so many digits that exact arithmetic takes long.
_FRACTION = re.compile(
    r'[+-]?(?:[0-9]{1,20}/[0-9]{1,20}|(?:[0-9]{1,20}(?:\.[0-9]{0,20})?|\.[0-9]{1,20})(?:[eE][+-]?[0-9]{1,2})?)'
)


def parse(text: str, flag: str) -> dict[str, str]:
    """Parses `train:0.8,validation:0.2` into an ordered mapping of split names to texts.

    Args:
        text: the flag's value.
        flag: the flag's name, for messages.

    Raises:
        UserError: if a part has no colon, or a name is none that TFDS takes or appears twice.
    """
    result: dict[str, str] = {}
    for part in text.split(','):
        name, colon, value = part.strip().partition(':')
        if not colon or not name or not value:
            raise errors.UserError(f'--{flag}={text}: {part!r} is not of the form name:value, as in train:0.8')
        if problem := tfds_names.split_problem(name):
            raise errors.UserError(f'--{flag}={text}: split {name!r}: {problem}')
        if name in result:
            raise errors.UserError(f'--{flag}={text}: split {name!r} appears twice')
        result[name] = value
    return result


def parse_fractions(text: str) -> dict[str, Fraction]:
    """Parses `--splits`; the fractions must be positive and add up to exactly 1.

    Raises:
        UserError: otherwise.
    """
    fractions: dict[str, Fraction] = {}
    for name, value in parse(text, 'splits').items():
        fractions[name] = _parse_fraction(value, name, text)
    total = sum(fractions.values())
    if total != 1:
        raise errors.UserError(f'--splits={text}: the fractions add up to {float(total):g}, and must add up to 1')
    return fractions


def _parse_fraction(value: str, name: str, text: str) -> Fraction:
    try:
        fraction = Fraction(value) if _FRACTION.fullmatch(value.strip()) else None
    except ZeroDivisionError:
        fraction = None
    if fraction is None:
        raise errors.UserError(f'--splits={text}: {value!r} is not a number')
    if fraction <= 0:
        raise errors.UserError(f'--splits={text}: the fraction of {name} is {value}, and must be positive')
    return fraction


def sizes(total: int, fractions: Mapping[str, Fraction]) -> dict[str, int]:
    """How many of `total` each split gets, by the method of largest remainders (Hamilton): none is off by 1 or more.

    Every split gets at least one, taken from the largest, while there are as many pairs as splits.
    """
    result = {name: int(total * fraction) for name, fraction in fractions.items()}
    by_remainder = sorted(fractions, key=lambda name: total * fractions[name] - result[name], reverse=True)
    for name in by_remainder[: total - sum(result.values())]:
        result[name] += 1
    # A split that was asked for should not be empty because a data set is small.
    for name in fractions:
        if result[name] == 0 and total >= len(fractions):
            largest = max(result, key=lambda other: result[other])
            result[largest] -= 1
            result[name] = 1
    return result


def order(keys: Iterable[str], seed: int, purpose: str) -> list[str]:
    """Orders keys by a hash of (purpose, seed, key): random, the same everywhere, stable when others are added."""
    return sorted(keys, key=lambda key: (digest(key, seed, purpose), key))


def digest(key: str, seed: int, purpose: str) -> bytes:
    """The hash that orders keys."""
    return hashlib.sha256(f'{purpose}/{seed}/{key}'.encode()).digest()


def assign(
    keys: Iterable[str],
    fractions: Mapping[str, Fraction],
    seed: int,
    groups: Mapping[str, str] | None = None,
    forced: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Assigns each key to a split.

    The groups are ordered by a hash of their name and the seed, and dealt out in that order until each split has its
    size. Without groups (each key its own) the sizes are exact; with them, they are as exact as moving a group, or
    exchanging one for others, can make them. A key's place depends on its own hash and on how many come before it, so
    that adding pairs moves few.

    Args:
        keys: the keys of all pairs.
        fractions: the fraction of each split, adding up to 1.
        seed: another seed gives another assignment.
        groups: the group of a key; keys of one group stay in one split. A key without an entry is its own group.
        forced: the split of groups whose place is not decided here; they count towards its size.

    Returns:
        The split of each key.
    """
    members: dict[str, list[str]] = defaultdict(list)
    for key in keys:
        members[(groups or {}).get(key, key)].append(key)
    # By pairs, not by groups: a split has its size in pairs, and a group counts with all its members.
    wanted = sizes(sum(map(len, members.values())), fractions)
    free = [group for group in order(members, seed, 'split') if group not in (forced or {})]
    split_of = {group: split for group, split in (forced or {}).items() if group in members}
    filled = Counter(dict.fromkeys(wanted, 0))
    for group, split in split_of.items():
        filled[split] += len(members[group])
    counts = np.array([len(members[group]) for group in free], np.int64)
    names = list(wanted)
    dealt = deal(counts, list(wanted.values()), [filled[name] for name in names])
    split_of |= {group: names[split] for group, split in zip(free, dealt.tolist(), strict=True)}
    return {key: split_of[group] for group, found in members.items() for key in found}


def deal(counts: NDArray[np.int64], wanted: Sequence[int], filled: Sequence[int]) -> NDArray[np.int16]:
    """Deals groups out to splits, in their order, so that each split has its size as nearly as they allow.

    Args:
        counts: (n,) the members of each group.
        wanted: the size of each split, in members.
        filled: what each split has already.

    Returns:
        (n,) the split of each group, as a place in `wanted`.
    """
    now = list(filled)
    split_of = np.empty(len(counts), np.int16)
    for start in range(0, len(counts), _AT_ONCE):
        split_of[start : start + _AT_ONCE] = [
            _take(count, wanted, now) for count in counts[start : start + _AT_ONCE].tolist()
        ]
    # Dealing alone leaves the sizes wrong where a large group comes last; the rest is levelled afterwards.
    _level(split_of, counts, wanted, now)
    return split_of


def _take(count: int, wanted: Sequence[int], filled: list[int]) -> int:
    """The first split with room for a group of so many members, else the one that is least over its size."""
    split = next((split for split, size in enumerate(wanted) if filled[split] + count <= size), None)
    if split is None:
        split = max(range(len(wanted)), key=lambda split: wanted[split] - filled[split])
    filled[split] += count
    return split


def _level(split_of: NDArray[np.int16], counts: NDArray[np.int64], wanted: Sequence[int], filled: list[int]) -> None:
    """Moves a group, or exchanges it for others, as long as that brings the sizes nearer to what is wanted.

    Each change makes the total distance from the wanted sizes smaller by at least 1, so the loop ends. One group for
    several is tried only where nothing simpler helps, since it moves more pairs. Groups of one size are equal here: the
    last one in the order of hashes, next to the border between two splits, is taken, so that adding pairs moves few.
    """
    while filled != list(wanted):
        of_size = [_by_size(np.flatnonzero(split_of == split), counts) for split in range(len(wanted))]
        change = _best_change(of_size, wanted, filled) or _exact_change(of_size, wanted, filled)
        if not change:
            return
        for group, split in change:
            filled[split_of[group]] -= int(counts[group])
            filled[split] += int(counts[group])
            split_of[group] = split


_BySize = dict[int, NDArray[np.intp]]  # the groups of each size, in their order; sizes as they first appear


def _by_size(groups: NDArray[np.intp], counts: NDArray[np.int64]) -> _BySize:
    sizes, first = np.unique(counts[groups], return_index=True)
    return {int(sizes[place]): groups[counts[groups] == sizes[place]] for place in np.argsort(first)}


def _best_change(of_size: Sequence[_BySize], wanted: Sequence[int], filled: Sequence[int]) -> list[tuple[int, int]]:
    """One group to move, or two to exchange, each with its new split; none if no such change helps.

    Only the sizes matter, so one group of each size represents all of them: the number of changes tried depends on how
    many sizes there are, not on how many groups. `gain` is by how much the two splits come nearer to their sizes.
    """
    best, best_gain = [], 0
    for giver, taker in itertools.permutations(range(len(wanted)), 2):
        excess, lack = filled[giver] - wanted[giver], wanted[taker] - filled[taker]
        for there, here in itertools.product(of_size[giver], [0, *of_size[taker]]):
            moved = there - here
            gain = abs(excess) - abs(excess - moved) + abs(lack) - abs(lack - moved)
            if moved > 0 and gain > best_gain:
                back = [(int(of_size[taker][here][-1]), giver)] if here else []
                best, best_gain = [(int(of_size[giver][there][-1]), taker), *back], gain
    return best


def _exact_change(of_size: Sequence[_BySize], wanted: Sequence[int], filled: Sequence[int]) -> list[tuple[int, int]]:
    """One group for several smaller ones, so that one of the two splits gets its size; none if that does not help."""
    for giver, taker in itertools.permutations(range(len(wanted)), 2):
        excess, lack = filled[giver] - wanted[giver], wanted[taker] - filled[taker]
        for moved in (excess, lack):
            gain = abs(excess) - abs(excess - moved) + abs(lack) - abs(lack - moved)
            if moved <= 0 or gain <= 0:
                continue
            for there in sorted(size for size in of_size[giver] if size > moved):
                if back := _adding_up_to(there - moved, of_size[taker]):
                    return [(int(of_size[giver][there][-1]), taker), *((group, giver) for group in back)]
    return []


def _adding_up_to(total: int, of_size: _BySize) -> list[int]:
    """Groups with so many members together, the largest that fit first; none if those do not add up.

    Greedy: an exact subset sum would find more, but most data sets have groups of size 1, which fill any rest.
    """
    found: list[int] = []
    for size in sorted(of_size, reverse=True):
        taken = min(total // size, len(of_size[size]))
        found += of_size[size][-taken:].tolist() if taken else []
        total -= taken * size
    return [] if total else found


def from_lists(pairs: Iterable[SourcePair], lists: Mapping[str, Iterable[str]]) -> dict[str, str]:
    """Assigns pairs to splits by official lists.

    Args:
        pairs: all pairs.
        lists: for each split, names of pairs: a key, the image's path, its file name, or that without suffix.

    Returns:
        The split of each key that is in a list; a pair in no list is left out.

    Raises:
        UserError: if a name fits no pair or several, or a pair is in two lists.
    """
    keys_by_name = defaultdict(set)
    for pair in pairs:
        file_name = os.path.basename(pair.image)
        # Official lists come with paths, file names or bare stems; a set, as these may be equal.
        for name in (pair.key, pair.image, file_name, os.path.splitext(file_name)[0]):
            keys_by_name[name].add(pair.key)
    result: dict[str, str] = {}
    for split, names in lists.items():
        for name in names:
            keys = keys_by_name.get(name, ())
            if len(keys) != 1:
                raise errors.UserError(
                    f'--split_files: {name!r} in the list of {split} fits {len(keys)} pairs, not one'
                )
            (key,) = keys
            if result.setdefault(key, split) != split:
                raise errors.UserError(f'--split_files: {name!r} is in the lists of {result[key]} and of {split}')
    return result
