import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from seg_pipeline.planning import stratification
from seg_pipeline.planning.stratification import Need


def _serves(classes, split_of, need):
    return any(need.class_id in found and split_of.get(group) == need.split for group, found in classes.items())


@settings(max_examples=150, deadline=None)
@given(
    classes=st.lists(st.sets(st.integers(0, 4), max_size=3), min_size=2, max_size=7),
    plain=st.integers(0, 2**7 - 1),
)
def test_every_class_of_two_groups_is_on_both_sides_wherever_that_is_possible(classes, plain):
    groups = {f'g{i}': found for i, found in enumerate(classes)}
    before = {group: 'ab'[plain >> i & 1] for i, group in enumerate(groups)}
    needs = [Need(c, split) for c in range(5) if sum(c in found for found in classes) >= 2 for split in ('a', 'b')]
    found = stratification.cover(groups, before, ('a', 'b'))
    split_of = {group: split for group, (split, _) in found.forced.items()}
    assert set(found.missed) <= set(needs)
    assert all(_serves(groups, split_of, need) for need in set(needs) - set(found.missed))
    possible = any(
        all(_serves(groups, dict(zip(groups, sides, strict=True)), need) for need in needs)
        for sides in itertools.product('ab', repeat=len(groups))
    )
    assert bool(found.missed) == (not possible)


def test_classes_that_exclude_one_another():
    """Of three pairs of classes in three groups, two groups are on one side."""
    groups = {'g1': {1, 3}, 'g2': {1, 2}, 'g3': {2, 3}}
    found = stratification.cover(groups, dict.fromkeys(groups, 'train'), ('train', 'validation'))
    assert len(found.missed) == 1


def test_a_choice_that_leaves_a_later_class_without_a_group_is_taken_back():
    """Class 1 puts g1 into a and g2 into b; were g3 put into b, as is tried first, class 3 could not be in a."""
    groups = {'g1': {1}, 'g2': {1, 3}, 'g4': {2}, 'g3': {2, 3}}
    found = stratification.cover(groups, dict.fromkeys(groups, 'b'), ('a', 'b'))
    assert found.missed == ()
    split_of = {group: split for group, (split, _) in found.forced.items()}
    assert all(_serves(groups, split_of, Need(c, split)) for c in (1, 2, 3) for split in ('a', 'b'))


def test_groups_stay_where_they_are_if_that_serves():
    groups = {f'g{i}': {i % 3} for i in range(30)}
    plain = {group: 'validation' if i in (4, 9, 14) else 'train' for i, group in enumerate(groups)}
    found = stratification.cover(groups, plain, ('train', 'validation'))
    assert all(split == plain[group] for group, (split, _) in found.forced.items())


def test_fewer_groups_than_splits_serve_the_first_splits():
    found = stratification.cover({'x': {7}, 'y': {7}}, {'x': 'c', 'y': 'c'}, ('a', 'b', 'c'))
    assert sorted(split for split, _ in found.forced.values()) == ['a', 'b']
    assert found.missed == ()


def test_many_groups_take_no_time():
    groups = {f'g{i:05d}': {i % 59, 0} | ({100 + i % 50} if i % 200 == 0 else set()) for i in range(20_000)}
    found = stratification.cover(groups, dict.fromkeys(groups, 'a'), ('a', 'b'))
    assert found.missed == ()
    assert len(found.forced) <= 2 * (59 + 50)
