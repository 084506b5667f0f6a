"""Rare classes on every side: which groups must go where so that each class can be trained on and measured."""

import dataclasses
import itertools
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

STRATIFY = ('none', 'rare')
_MAX_STEPS = 5_000  # of one search; enough for every class of any data set whose classes do not exclude one another

_MAX_CHOICES = 500  # groups tried for one class in one split, from each side


@dataclasses.dataclass(frozen=True)
class Need:
    """A class that a split should have."""

    class_id: int
    split: str


@dataclasses.dataclass(frozen=True)
class Cover:
    """What `cover` found.

    Attributes:
        forced: the split of each group on which some class relies, and one class that does.
        missed: what no assignment of groups (that was found) can give.
    """

    forced: Mapping[str, tuple[str, int]]
    missed: tuple[Need, ...] = ()


def cover(classes: Mapping[str, Collection[int]], plain: Mapping[str, str], split_names: Sequence[str]) -> Cover:
    """Chooses groups so that every class with at least two groups is in every split (in as many as it has groups).

    Classes are served in the order of their number of groups, the rarest first, each by groups that are in the wanted
    split anyway where there are any: few groups move. Where a choice leaves a later class without a group, it is taken
    back (a depth-first search); a class that excludes others in every way tried is given up.

    Args:
        classes: the classes of each group, its keys in the order in which groups are to be tried.
        plain: the split that each group has without any of this.
        split_names: the splits, those that are served first in front.
    """
    carriers: dict[int, list[str]] = defaultdict(list)
    for group, class_ids in classes.items():
        for class_id in class_ids:
            carriers[class_id].append(group)
    needs = [
        Need(class_id, split)
        for class_id in sorted(carriers, key=lambda class_id: (len(carriers[class_id]), class_id))
        if len(carriers[class_id]) > 1
        for split in split_names[: len(carriers[class_id])]
    ]
    choices = {need: _choices(carriers[need.class_id], plain, need.split) for need in needs}
    missed: list[Need] = []
    while isinstance(found := _search(needs, choices, classes), Need):
        needs.remove(found)
        missed.append(found)
    return Cover(found, tuple(missed))


def _choices(groups: Sequence[str], plain: Mapping[str, str], split: str) -> list[str]:
    """The groups to try, those that are in the split anyway in front."""
    there = (group for group in groups if plain[group] == split)
    elsewhere = (group for group in groups if plain[group] != split)
    return [*itertools.islice(there, _MAX_CHOICES), *itertools.islice(elsewhere, _MAX_CHOICES)]


def _search(
    needs: Sequence[Need], choices: Mapping[Need, Sequence[str]], classes: Mapping[str, Collection[int]]
) -> dict[str, tuple[str, int]] | Need:
    """Serves all needs, or names the one that it got stuck at."""
    served: set[tuple[int, str]] = set()
    forced: dict[str, tuple[str, int]] = {}
    # For each need on the way: the groups still to try, the group tried now, and what that one served.
    trail: list[tuple[list[str], str | None, set[tuple[int, str]]]] = []
    furthest = 0
    for _ in range(_MAX_STEPS + len(needs)):
        position = len(trail)
        if position == len(needs):
            return forced
        need = needs[position]
        if (need.class_id, need.split) in served:
            trail.append(([], None, set()))
            continue
        furthest = max(furthest, position)
        left = [group for group in choices[need] if group not in forced][::-1]
        while not left:
            if not trail:
                return needs[furthest]
            left, group, gained = trail.pop()
            served -= gained
            if group is not None:
                del forced[group]
        need = needs[len(trail)]
        group = left.pop()
        gained = {(class_id, need.split) for class_id in classes[group]} - served
        served |= gained
        forced[group] = (need.split, need.class_id)
        trail.append((left, group, gained))
    return needs[furthest]
