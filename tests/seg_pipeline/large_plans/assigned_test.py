"""What arrays decide of many pairs is what objects decide of the same ones."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seg_pipeline import errors, storage
from seg_pipeline.large_plans import assigned, groups
from seg_pipeline.planning import assignment, grouping, sharding, splits
from seg_pipeline.planning.pairing import SourcePair

_NAMES = tuple(f'class {number}' for number in range(12))


@st.composite
def _sets(draw):
    """Pairs that are grouped by name, by file and by hash, all of which may join groups of the others."""
    numbers = draw(st.lists(st.integers(0, 99), max_size=30, unique=True))
    pairs = [SourcePair(f'{n:02}', f'p{draw(st.integers(0, 20))}/{n:02}.jpg', f'{n:02}.png') for n in sorted(numbers)]
    sizes = {pair.key: draw(st.integers(1, draw(st.sampled_from([3, 40])))) for pair in pairs}
    hashes = {pair.key: draw(st.integers(0, 40)) for pair in pairs if draw(st.booleans())}
    classes = {pair.key: tuple(sorted(draw(st.sets(st.integers(0, 11), max_size=3)))) for pair in pairs}
    weights = draw(st.lists(st.integers(1, 5), min_size=1, max_size=3))
    fractions = {f's{place}': Fraction(weight, sum(weights)) for place, weight in enumerate(weights)}
    return pairs, sizes, hashes, classes, fractions


def _identical(pairs, sizes):
    """What links the pairs of equal sizes, as if these were equal files."""
    by_size = {}
    for pair in pairs:
        by_size.setdefault(sizes[pair.key], []).append(pair.key)
    return [grouping.Link(grouping.IDENTICAL, key, keys[0]) for keys in by_size.values() for key in keys[1:]]


@given(_sets(), st.sampled_from([None, r'p(\d+)']), st.booleans(), st.booleans(), st.booleans(), st.integers(0, 3))
def test_the_plan_is_that_of_few_pairs(found, expression, by_file, by_hash, by_class, seed):
    pairs, sizes, hashes, classes, fractions = found
    names = grouping.by_expression(pairs, expression) if expression else {}
    links = _identical(pairs, sizes) if by_file else []
    links += grouping.near_duplicates(hashes, 2) if by_hash else []
    wanted = assignment.by_fractions(
        [pair.key for pair in pairs],
        fractions,
        seed,
        grouping.form(names, links),
        classes=classes if by_class else None,
        class_names=_NAMES,
    )
    place = {pair.key: number for number, pair in enumerate(pairs)}

    def portions():
        if by_file:
            ends = np.array([(place[link.other], place[link.key]) for link in _identical(pairs, sizes)], np.int64)
            one, other = ends.reshape(-1, 2).T
            yield groups.Edges(one, other, np.zeros(len(one), np.int64))
        if by_hash:
            values = np.array([hashes.get(pair.key, 0) for pair in pairs], np.uint64)
            yield from groups.near_duplicates(values, np.array([pair.key in hashes for pair in pairs], bool), 2)

    bits = np.zeros((len(pairs), 32), np.uint8)
    for pair in pairs:
        for class_id in classes[pair.key]:
            bits[place[pair.key], class_id // 8] |= 1 << class_id % 8
    formed = groups.form(pairs, expression, portions())
    large = assigned.by_fractions(formed, fractions, seed, bits if by_class else None, _NAMES)
    assert tuple(large.duplicates) == wanted.duplicates
    assert large.num_duplicates == (sum(map(len, wanted.duplicates)), len(wanted.duplicates))
    assert large.warnings == wanted.warnings
    assert large.present_splits == set(wanted.split_of.values())
    shards = list(large.shards({'s0': 2}, seed, 'x', 'tfrecord'))
    assert [plan for plan, _ in shards] == sharding.plan(pairs, wanted.split_of, {'s0': 2}, seed, 'x')
    assert {key: why for _, reasons in shards for key, why in reasons.items()} == dict(wanted.by_key)
    sizes_of_groups = {}
    for key, why in wanted.by_key.items():
        sizes_of_groups[why.group or key] = sizes_of_groups.get(why.group or key, 0) + 1
    assert sorted(large.group_sizes) == sorted(sizes_of_groups.values())


def test_hashes_that_begin_alike_are_told_apart(monkeypatch):
    monkeypatch.setattr(assigned, '_PREFIX_BYTES', 1)
    keys = [f'{number:04}' for number in range(2000)]  # eight of each first byte
    order = assigned._by_hash(iter(keys), len(keys), 5, 'order', keys.__getitem__)
    assert [keys[place] for place in order.tolist()] == splits.order(keys, 5, 'order')


@pytest.mark.parametrize('at_once', [1, 3, 1000])
def test_identical_files_are_linked_as_those_of_few_pairs(tmp_path, monkeypatch, at_once):
    monkeypatch.setattr(groups, '_COMPARED_AT_ONCE', at_once)
    contents = [b'a', b'b' * 5000, b'a', b'b' * 4999 + b'c', b'b' * 5000, b'', b'', b'z', b'b' * 5000]
    pairs = [SourcePair(f'{number}', f'{number}.jpg', f'{number}.png') for number in range(len(contents) + 1)]
    for pair, content in zip(pairs, contents, strict=False):  # the last one has no file
        (tmp_path / pair.image).write_bytes(content)
    (tmp_path / '7.jpg').unlink()
    (tmp_path / '7.jpg').symlink_to(tmp_path / '3.jpg')
    wanted = {(link.other, link.key) for link in grouping.identical_files(str(tmp_path), pairs)}
    found = groups.identical_files(str(tmp_path), pairs)
    linked = [(pairs[one].key, pairs[other].key) for one, other in zip(found.one, found.other, strict=True)]
    assert sorted(linked) == sorted(wanted)
    assert len(linked) == 5
    again = groups.identical_files(str(tmp_path), pairs, storage.statuses(str(tmp_path)))
    assert again.one.tolist() == found.one.tolist()


def test_a_name_that_is_missing_is_told_as_of_few_pairs():
    pairs = [SourcePair(str(n), f'{"p" if n % 2 else "q"}{n}.jpg', f'{n}.png') for n in range(6)]
    said = []
    for find in (grouping.by_expression, lambda pairs, expression: groups.form(pairs, expression, iter(()))):
        with pytest.raises(errors.UserError) as error:
            find(pairs, '^p(.)')
        said.append(str(error.value))
    assert said[0] == said[1] == '--group_regex=^p(.): finds no group in 3 of 6 paths, such as q0.jpg'
