"""Splits that were asked for and get no pair: found before anything is built, and explained with figures.

An empty split cannot be part of a data set. TFDS lists a split without records, but fails when it is opened:
"corresponds to no data". So the data set does not have it, which must be no surprise.
"""

from collections.abc import Collection, Sequence
from typing import Protocol

from seg_pipeline import errors
from seg_pipeline.planning import splits
from seg_pipeline.planning.split_options import SplitOptions
from seg_pipeline.plurals import counted


class Assigned(Protocol):
    """What must be known of assignments; see `assignment.Assignments`."""

    @property
    def num_pairs(self) -> int: ...

    @property
    def present_splits(self) -> set[str]: ...

    @property
    def group_sizes(self) -> list[int]: ...


def missing(options: SplitOptions, present: Collection[str]) -> list[str]:
    """The splits that were asked for and are not among those that have a pair."""
    return [name for name in options.names if name not in present]


def check(options: SplitOptions, assignments: Assigned, *, allowed: bool) -> str | None:
    """Finds the splits that get no pair.

    Args:
        options: what was asked for.
        assignments: what that gave.
        allowed: warn of empty splits, as long as one has a pair, instead of raising.

    Returns:
        A warning of one line; None if every split has a pair.

    Raises:
        UserError: if a split is empty, with the splits, the cause in figures, and what to do.
    """
    empty = missing(options, assignments.present_splits)
    if not empty:
        return None
    found = f'{_are(empty)} empty: {_cause(options, assignments, empty)}'
    if allowed and assignments.num_pairs:
        return f'{found}; {_without(empty)}'
    rest = (
        ''
        if not assignments.num_pairs
        else f', or make the data set without {" and ".join(empty)}: --allow_empty_splits'
    )
    raise errors.UserError(f'{found}; {_advice(options)}{rest}')


def emptied(names: Sequence[str]) -> str:
    """A warning of one line: rejects left no pair in some splits, without which the data set is made."""
    return f'{_are(names)} empty: every pair was rejected; {_without(names)}'


def _without(empty: Sequence[str]) -> str:
    return f'the data set has no {" and no ".join(empty)}, since an empty split cannot be read'


def _are(names: Sequence[str]) -> str:
    return f'split {names[0]} is' if len(names) == 1 else f'splits {" and ".join(names)} are'


def _cause(options: SplitOptions, assignments: Assigned, empty: Sequence[str]) -> str:
    if options.lists is not None:
        return f'--split_files names no pair in {"its list" if len(empty) == 1 else "their lists"}'
    number = assignments.num_pairs
    pairs = f'{counted(number, "pair")} for {counted(len(options.names), "split")}'
    sizes = assignments.group_sizes
    if len(sizes) == number:
        return pairs
    wanted = splits.sizes(number, options.fractions)
    wishes = ' and '.join(f'{name} should get {wanted[name]}' for name in empty)
    groups = f'{counted(len(sizes), "group")} of up to {max(sizes)}'
    return f'{pairs}, in {groups} that stay together ({_what_groups(options)}), where {wishes}'


def _what_groups(options: SplitOptions) -> str:
    ways = [f'--group_regex={options.group_regex}'] if options.group_regex else []
    ways += ['--near_duplicates=group'] if options.needs_hashes else []
    return ', '.join([*ways, 'identical images'])


def _advice(options: SplitOptions) -> str:
    if options.lists is not None:
        return 'name pairs there'
    if options.group_regex or options.needs_hashes:
        return 'let --group_regex or --near_duplicate_distance make more groups, ask for other --splits'
    return 'add pairs, ask for fewer --splits'
