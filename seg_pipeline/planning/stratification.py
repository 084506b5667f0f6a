"""Rare classes in every split: which groups must go where so that each class can be trained on and measured.

This is a set cover with exclusions: a need (class, split) is served by any group that has the class and goes to the
split, a group serves all its classes at once, and it can go to one split only. A greedy choice fails where the only two
groups of one class are also those of another: so the search goes back on its choices. In words:

    take the needs in order, those of the rarest class first;
    for each need that nothing serves yet, try the groups that have the class, those in the wanted split first;
    where no group is left, undo the last choice and try its next group;
    where nothing is left to undo, give up the need at which the search got no further, and search again without it.

Most needs are served by groups that are in the right split anyway, so the search rarely goes back, and few groups move.
"""

import dataclasses
import itertools
from collections import defaultdict
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from typing import Generic, TypeVar

_Group = TypeVar('_Group', bound=Hashable)  # a name, or a number

STRATIFY = ('none', 'rare')
# Steps of one search beyond the first for each need. Classes that do not exclude one another need none; the bound ends
# the search where they do, which would otherwise take exponential time.
_MAX_STEPS = 5_000
# Groups tried for one class in one split, from inside and from outside of it. A class with more is not rare.
MAX_CHOICES = 500


@dataclasses.dataclass(frozen=True)
class Need:
    """A class that a split should have."""

    class_id: int
    split: str


@dataclasses.dataclass(frozen=True)
class Cover(Generic[_Group]):
    """What `cover` found.

    Attributes:
        forced: the split of each group on which some class relies, and one class that does.
        missed: what no assignment of groups (that was found) can give.
    """

    forced: Mapping[_Group, tuple[str, int]]
    missed: tuple[Need, ...] = ()


def cover(classes: Mapping[str, Collection[int]], plain: Mapping[str, str], split_names: Sequence[str]) -> Cover[str]:
    """Chooses groups so that every class with at least two groups is in every split (in as many as it has groups).

    Classes are served in the order of their number of groups, the rarest first, since they have the fewest choices. See
    the description of the search above.

    Args:
        classes: the classes of each group, its keys in the order in which groups are to be tried.
        plain: the split that each group has without any of this.
        split_names: the splits, those that are served first in front.
    """
    groups_with: dict[int, list[str]] = defaultdict(list)
    for group, class_ids in classes.items():
        for class_id in class_ids:
            groups_with[class_id].append(group)
    needs = needs_of({class_id: len(groups) for class_id, groups in groups_with.items()}, split_names)
    choices = {need: _choices(groups_with[need.class_id], plain, need.split) for need in needs}
    return choose(needs, choices, classes)


def needs_of(num_groups: Mapping[int, int], split_names: Sequence[str]) -> list[Need]:
    """What the splits should have, the classes of the fewest groups first.

    Args:
        num_groups: how many groups have each class.
        split_names: as for `cover`.
    """
    return [
        Need(class_id, split)
        for class_id in sorted(num_groups, key=lambda class_id: (num_groups[class_id], class_id))
        if num_groups[class_id] > 1
        for split in split_names[: num_groups[class_id]]
    ]


def choose(
    needs: Iterable[Need], choices: Mapping[Need, Sequence[_Group]], classes: Mapping[_Group, Collection[int]]
) -> Cover[_Group]:
    """Chooses groups that serve all needs.

    Args:
        needs: in the order in which they are served.
        choices: the groups to try for each, at most `MAX_CHOICES` from inside of its split, and as many from outside.
        classes: the classes of each of these groups.
    """
    left, missed = list(needs), []
    while isinstance(found := _search(left, choices, classes), Need):
        left.remove(found)
        missed.append(found)
    return Cover(found, tuple(missed))


def _choices(groups: Sequence[str], plain: Mapping[str, str], split: str) -> list[str]:
    """The groups to try, those that are in the split anyway in front."""
    there = (group for group in groups if plain[group] == split)
    elsewhere = (group for group in groups if plain[group] != split)
    return [*itertools.islice(there, MAX_CHOICES), *itertools.islice(elsewhere, MAX_CHOICES)]


@dataclasses.dataclass
class _Choice(Generic[_Group]):
    """What the search did about one need.

    Attributes:
        untried: groups that could serve it too, the best last.
        group: the one that was chosen; None if an earlier choice serves the need already.
        gained: the needs that only this choice serves.
    """

    untried: list[_Group]
    group: _Group | None = None
    gained: set[Need] = dataclasses.field(default_factory=set)


def _search(
    needs: Sequence[Need], choices: Mapping[Need, Sequence[_Group]], classes: Mapping[_Group, Collection[int]]
) -> dict[_Group, tuple[str, int]] | Need:
    """Serves all needs: the split of each chosen group, and the class it was chosen for; or the need that failed."""
    served: set[Need] = set()
    forced: dict[_Group, tuple[str, int]] = {}
    made: list[_Choice[_Group]] = []  # one for each need up to the present one
    furthest = 0
    for _ in range(_MAX_STEPS + len(needs)):
        position = len(made)
        if position == len(needs):
            return forced
        need = needs[position]
        if need in served:
            made.append(_Choice([]))  # nothing to choose, so nothing to try again either
            continue
        furthest = max(furthest, position)
        # Reversed, so that `pop` takes the best first. A group that is chosen already has another split, or it would
        # serve this need.
        choice = _Choice([group for group in choices[need] if group not in forced][::-1])
        while not choice.untried:
            if not made:
                return needs[furthest]  # every combination was tried; the furthest need is the one that fails
            choice = made.pop()
            # Undone is exactly what this choice gained: what an earlier group serves too stays served.
            served -= choice.gained
            if choice.group is not None:
                del forced[choice.group]
        need = needs[len(made)]  # an earlier one, if choices were undone
        choice.group = choice.untried.pop()
        choice.gained = {Need(class_id, need.split) for class_id in classes[choice.group]} - served
        served |= choice.gained
        forced[choice.group] = (need.split, need.class_id)
        made.append(choice)
    return needs[furthest]
