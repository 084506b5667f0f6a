"""The split of each pair, and why it is there."""

import dataclasses
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from fractions import Fraction

from seg_pipeline.planning import splits, stratification
from seg_pipeline.planning.grouping import NO_GROUPS, Grouping
from seg_pipeline.planning.pairing import Pair


@dataclasses.dataclass(frozen=True, slots=True)
class Placement:
    """Where one pair goes.

    Attributes:
        split: name of the split.
        reason: `hash` (of the key and the seed), `group NAME`, `identical to KEY`, `near-duplicate of KEY at distance
            BITS`, `rare class NAME`, `list of SPLIT`; several are joined by `; `.
        group: name of the group that stays together; None for a pair on its own.
    """

    split: str
    reason: str
    group: str | None = None


@dataclasses.dataclass(frozen=True)
class Placements:
    """The placement of every pair of a data set.

    Attributes:
        by_key: the placement of each key that is in a split.
        duplicates: the keys of each set of identical or nearly identical photos.
        warnings: what could not be had, one line each.
    """

    by_key: Mapping[str, Placement]
    duplicates: tuple[tuple[str, ...], ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def split_of(self) -> dict[str, str]:
        """The split of each key."""
        return {key: placement.split for key, placement in self.by_key.items()}


def by_shares(
    keys: Iterable[str],
    shares: Mapping[str, Fraction],
    seed: int,
    grouping: Grouping = NO_GROUPS,
    *,
    classes: Mapping[str, Collection[int]] | None = None,
    class_names: Sequence[str] = (),
) -> Placements:
    """Places pairs by the shares of the splits.

    Args:
        keys: the keys of all pairs.
        shares: the share of each split, adding up to 1.
        seed: another seed gives another assignment.
        grouping: what must stay together.
        classes: the classes in each pair's mask, if every class that at least two groups have is wanted in each split
            (in as many splits as it has groups). Sizes give way to that.
        class_names: the names of the classes.
    """
    keys = list(keys)
    plain = splits.assign(keys, shares, seed, grouping.group_of)
    if classes is None:
        return Placements(_explain(plain, grouping, {}), grouping.duplicates)
    found = _cover(plain, shares, seed, grouping, classes)
    forced = {group: split for group, (split, _) in found.forced.items()}
    final = splits.assign(keys, shares, seed, grouping.group_of, forced)
    moved = {}
    for key in keys:
        group = grouping.group_of.get(key, key)
        if group in forced and forced[group] != plain[key]:
            moved[group] = f'rare class {class_names[found.forced[group][1]]}'
    return Placements(
        _explain(final, grouping, moved), grouping.duplicates, _shortfalls(found, final, shares, class_names)
    )


def _cover(
    plain: Mapping[str, str],
    shares: Mapping[str, Fraction],
    seed: int,
    grouping: Grouping,
    classes: Mapping[str, Collection[int]],
) -> stratification.Cover:
    found: dict[str, set[int]] = {}
    split_of_group: dict[str, str] = {}
    for key, split in plain.items():
        group = grouping.group_of.get(key, key)
        split_of_group[group] = split
        found.setdefault(group, set()).update(classes.get(key, ()))
    ordered = {group: found[group] for group in splits.order(found, seed, 'split')}
    # A class of fewer groups than splits goes to the larger splits: what nobody trains on need not be measured.
    by_share = sorted(shares, key=lambda split: -shares[split])
    return stratification.cover(ordered, split_of_group, by_share)


def _explain(split_of: Mapping[str, str], grouping: Grouping, moved: Mapping[str, str]) -> dict[str, Placement]:
    result = {}
    for key, split in split_of.items():
        group = grouping.group_of.get(key)
        parts = []
        if key in grouping.why:
            parts.append(grouping.why[key])
        if key in grouping.names:
            parts.append(f'group {grouping.names[key]}')
        if (group or key) in moved:
            parts.append(moved[group or key])
        result[key] = Placement(split, '; '.join(parts) or 'hash', group)
    return result


def _shortfalls(
    found: stratification.Cover,
    split_of: Mapping[str, str],
    shares: Mapping[str, Fraction],
    class_names: Sequence[str],
) -> tuple[str, ...]:
    missed = [
        f'--stratify=rare: class {class_names[need.class_id]!r} is not in {need.split}: the groups that have it are '
        'needed elsewhere for other classes'
        for need in found.missed
    ]
    wanted, got = splits.sizes(len(split_of), shares), Counter(split_of.values())
    sizes = [
        f'{split} has {got[split]} pairs instead of {wanted[split]}, as its groups and classes want it'
        for split in wanted
        if got[split] != wanted[split]
    ]
    return (*missed, *sizes)


def by_lists(pairs: Sequence[Pair], lists: Mapping[str, Iterable[str]], grouping: Grouping = NO_GROUPS) -> Placements:
    """Places pairs by official lists, which win over groups; a group that they tear apart is a warning.

    Raises:
        UserError: see `splits.from_lists`.
    """
    split_of = splits.from_lists(pairs, lists)
    by_key = {key: Placement(split, f'list of {split}', grouping.group_of.get(key)) for key, split in split_of.items()}
    torn = [keys for keys in grouping.duplicates if len({split_of[key] for key in keys if key in split_of}) > 1]
    warnings = tuple(
        'the lists put one photo into several splits: '
        + ', '.join(f'{key} ({split_of[key]})' for key in keys if key in split_of)
        for keys in torn
    )
    return Placements(by_key, grouping.duplicates, warnings)
