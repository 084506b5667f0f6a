"""The split assignment: the split of each pair, and why it is there."""

import dataclasses
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from fractions import Fraction

from seg_pipeline.planning import splits, stratification
from seg_pipeline.planning.grouping import IDENTICAL, NO_GROUPS, Grouping, Link
from seg_pipeline.planning.pairing import SourcePair


@dataclasses.dataclass(frozen=True, slots=True)
class Assignment:
    """The split of one pair.

    Attributes:
        split: name of the split.
        reason: `hash` (of the key and the seed), `group NAME`, `identical to KEY`, `near-duplicate of KEY at distance
            BITS`, `rare class NAME`, `list of SPLIT`; several are joined by `; `. For people: programs read the others.
        group: name of the group that stays in one split; None for a pair on its own.
        duplicate_of: key of the pair whose image is the same, or nearly so, and which this one follows; None if none.
        distance: of the perceptual hashes of the two, in bits; None for byte-identical images, and without a duplicate.
    """

    split: str
    reason: str
    group: str | None = None
    duplicate_of: str | None = None
    distance: int | None = None


@dataclasses.dataclass(frozen=True)
class Assignments:
    """The assignment of every pair of a data set.

    Attributes:
        by_key: that of each key that is in a split.
        duplicates: the keys of each set of identical or nearly identical images.
        warnings: what could not be had, one line each.
    """

    by_key: Mapping[str, Assignment]
    duplicates: tuple[tuple[str, ...], ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def num_pairs(self) -> int:
        """How many pairs are in some split."""
        return len(self.by_key)

    @property
    def present_splits(self) -> set[str]:
        """The splits that have a pair."""
        return {found.split for found in self.by_key.values()}

    @property
    def group_sizes(self) -> list[int]:
        """How many pairs each group has."""
        return list(Counter(found.group or key for key, found in self.by_key.items()).values())

    @property
    def num_duplicates(self) -> tuple[int, int]:
        """How many images are in sets of duplicates, and how many sets there are."""
        return sum(map(len, self.duplicates)), len(self.duplicates)

    @property
    def split_of(self) -> dict[str, str]:
        """The split of each key."""
        return {key: assignment.split for key, assignment in self.by_key.items()}


def by_fractions(
    keys: Iterable[str],
    fractions: Mapping[str, Fraction],
    seed: int,
    grouping: Grouping = NO_GROUPS,
    *,
    classes: Mapping[str, Collection[int]] | None = None,
    class_names: Sequence[str] = (),
) -> Assignments:
    """Assigns pairs by the fractions of the splits.

    Args:
        keys: the keys of all pairs.
        fractions: the fraction of each split, adding up to 1.
        seed: another seed gives another assignment.
        grouping: what must stay together.
        classes: the classes in each pair's mask, if every class that at least two groups have is wanted in each split
            (in as many splits as it has groups). The sizes of the splits may deviate for that.
        class_names: the names of the classes.
    """
    keys = list(keys)
    # First without any class: so it is known which groups the rare classes move, and most of them need not move.
    plain = splits.assign(keys, fractions, seed, grouping.group_of)
    if classes is None:
        return Assignments(_explain(plain, grouping, {}), grouping.duplicates)
    found = _cover(plain, fractions, seed, grouping, classes)
    forced = {group: split for group, (split, _) in found.forced.items()}
    # Dealt out again around the forced groups, so that the sizes are right with them.
    final = splits.assign(keys, fractions, seed, grouping.group_of, forced)
    moved = {}
    for key in keys:
        group = grouping.group_of.get(key, key)
        if group in forced and forced[group] != plain[key]:
            moved[group] = class_names[found.forced[group][1]]
    return Assignments(
        _explain(final, grouping, moved),
        grouping.duplicates,
        shortfalls(found.missed, Counter(final.values()), fractions, class_names),
    )


def _cover(
    plain: Mapping[str, str],
    fractions: Mapping[str, Fraction],
    seed: int,
    grouping: Grouping,
    classes: Mapping[str, Collection[int]],
) -> stratification.Cover[str]:
    found: dict[str, set[int]] = {}
    split_of_group: dict[str, str] = {}
    for key, split in plain.items():
        group = grouping.group_of.get(key, key)
        split_of_group[group] = split
        found.setdefault(group, set()).update(classes.get(key, ()))
    ordered = {group: found[group] for group in splits.order(found, seed, 'split')}
    # A class of fewer groups than splits goes to the largest splits: what no one trains on need not be measured.
    by_fraction = sorted(fractions, key=lambda split: -fractions[split])
    return stratification.cover(ordered, split_of_group, by_fraction)


def _explain(split_of: Mapping[str, str], grouping: Grouping, moved: Mapping[str, str]) -> dict[str, Assignment]:
    result = {}
    for key, split in split_of.items():
        group = grouping.group_of.get(key)
        result[key] = explained(
            split,
            link=grouping.link_of.get(key),
            name=grouping.names.get(key),
            moved=moved.get(group or key),
            group=group,
        )
    return result


def explained(split: str, *, link: Link | None, name: str | None, moved: str | None, group: str | None) -> Assignment:
    """The assignment of a pair by fractions, with its reason.

    Args:
        split: name of the split.
        link: to the pair that it follows, if it follows one.
        name: of its group by `--group_regex`, if it has one.
        moved: the name of the class for which its group was moved, if it was.
        group: the name of its group, if it has one.
    """
    parts = []
    if link:
        parts.append(_describe(link))
    if name is not None:
        parts.append(f'group {name}')
    if moved is not None:
        parts.append(f'rare class {moved}')
    return _assignment(split, '; '.join(parts) or 'hash', group, link)


def _describe(link: Link) -> str:
    if link.distance == IDENTICAL:
        return f'identical to {link.other}'
    return f'near-duplicate of {link.other} at distance {link.distance}'


def _assignment(split: str, reason: str, group: str | None, link: Link | None) -> Assignment:
    if link is None:
        return Assignment(split, reason, group)
    return Assignment(split, reason, group, link.other, None if link.distance == IDENTICAL else link.distance)


def shortfalls(
    missed: Iterable[stratification.Need],
    got: Counter[str],
    fractions: Mapping[str, Fraction],
    class_names: Sequence[str],
) -> tuple[str, ...]:
    """A line for each need that is not served, and for each split that has not its size.

    Args:
        missed: what no group serves.
        got: the pairs of each split.
        fractions: of the splits.
        class_names: the names of the classes.
    """
    unserved = [
        f'--stratify=rare: class {class_names[need.class_id]!r} is not in {need.split}: the groups that have it are '
        'needed elsewhere for other classes'
        for need in missed
    ]
    wanted = splits.sizes(got.total(), fractions)
    sizes = [
        f'{split} has {got[split]} pairs instead of {wanted[split]}, as its groups and classes want it'
        for split in wanted
        if got[split] != wanted[split]
    ]
    return (*unserved, *sizes)


def by_lists(
    pairs: Sequence[SourcePair], lists: Mapping[str, Iterable[str]], grouping: Grouping = NO_GROUPS
) -> Assignments:
    """Assigns pairs by official lists, which win over groups; a group that they separate is a warning.

    Raises:
        UserError: see `splits.from_lists`.
    """
    split_of = splits.from_lists(pairs, lists)
    by_key = {
        key: _assignment(split, f'list of {split}', grouping.group_of.get(key), grouping.link_of.get(key))
        for key, split in split_of.items()
    }
    separated = [keys for keys in grouping.duplicates if len({split_of[key] for key in keys if key in split_of}) > 1]
    warnings = tuple(
        'the lists put one image into several splits: '
        + ', '.join(f'{key} ({split_of[key]})' for key in keys if key in split_of)
        for keys in separated
    )
    return Assignments(by_key, grouping.duplicates, warnings)
