import itertools
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seg_pipeline import errors
from seg_pipeline.planning import grouping
from seg_pipeline.planning.grouping import Link
from seg_pipeline.planning.pairing import SourcePair


def _pairs(*names):
    return [SourcePair(os.path.splitext(name)[0], name, name) for name in names]


def test_the_expression_names_the_group():
    pairs = _pairs('anna_1.png', 'anna_2.png', 'ben_1.png')
    expected = {'anna_1': 'anna', 'anna_2': 'anna', 'ben_1': 'ben'}
    assert grouping.by_expression(pairs, r'^([a-z]+)_') == expected
    assert grouping.by_expression(pairs, r'^[a-z]+') == expected


@pytest.mark.parametrize(
    ('expression', 'message'), [('(', 'not a regular'), ('(anna)', 'no group in 1 of 2.*ben_1.png')]
)
def test_an_expression_that_leaves_a_photo_without_group_is_a_mistake(expression, message):
    with pytest.raises(errors.UserError, match=message):
        grouping.by_expression(_pairs('anna_1.png', 'ben_1.png'), expression)


def test_identical_files(tmp_path, monkeypatch):
    contents = {
        'a': b'x' * 9000,
        'b': b'x' * 9000,
        'c': b'x' * 8999 + b'y',
        'd': b'z' * 9000,
        'e': b'x',
        'f': b'x' * 9000,
    }
    for name, data in contents.items():
        (tmp_path / name).write_bytes(data)
    os.link(tmp_path / 'e', tmp_path / 'g')
    whole = []
    digest = grouping._digest_file
    monkeypatch.setattr(grouping, '_digest_file', lambda path: whole.append(os.path.basename(path)) or digest(path))
    found = grouping.identical_files(str(tmp_path), _pairs(*contents, 'g', 'missing'))
    assert sorted((link.key, link.other) for link in found) == [('b', 'a'), ('f', 'a'), ('g', 'e')]
    assert sorted(whole) == ['a', 'b', 'c', 'f']  # d differs in its first bytes; e and g are one file


def test_everything_connected_is_one_group_and_each_key_has_its_strongest_link():
    links = [Link(6, 'c', 'a'), Link(4, 'b', 'a'), Link(2, 'c', 'b'), Link(-1, 'x', 'y')]
    found = grouping.form({}, links)
    assert found.group_of == {'a': 'a', 'b': 'a', 'c': 'a', 'x': 'x', 'y': 'x'}
    assert found.link_of == {
        'b': Link(4, 'b', 'a'),
        'c': Link(2, 'c', 'b'),  # the nearer of its two links
        'y': Link(grouping.IDENTICAL, 'y', 'x'),
    }
    assert found.duplicates == (('a', 'b', 'c'), ('x', 'y'))


def test_a_link_joins_named_groups():
    names = {'1': 'zoe', '2': 'zoe', '3': 'adam', '4': 'eve'}
    found = grouping.form(names, [Link(0, '2', '3')])
    assert found.group_of == {'1': 'adam', '2': 'adam', '3': 'adam', '4': 'eve'}
    assert found.names == names


@given(
    links=st.lists(st.tuples(st.integers(-1, 8), st.integers(0, 15), st.integers(0, 15)), max_size=25),
    names=st.dictionaries(st.integers(0, 15), st.sampled_from('pqr'), max_size=8),
)
def test_linked_keys_are_in_one_group_and_others_are_not(links, names):
    links = [Link(d, f'k{a}', f'k{b}') for d, a, b in links if a != b]
    names = {f'k{n}': name for n, name in names.items()}
    found = grouping.form(names, links)
    # Another way: spread the smallest label along links and names until nothing changes.
    keys = {f'k{n}' for n in range(16)}
    label = {key: key for key in keys}
    joined = [(link.key, link.other) for link in links]
    joined += [(a, b) for a in names for b in names if names[a] == names[b]]
    for _ in keys:
        for a, b in joined:
            label[a] = label[b] = min(label[a], label[b])
    for a in keys:
        for b in keys:
            together = found.group_of.get(a, a) == found.group_of.get(b, b)
            assert together == (label[a] == label[b])
    assert set(found.link_of) == {key for keys in found.duplicates for key in keys[1:]}


def test_a_hundred_thousand_copies_are_one_group():
    """Comparing all with all would take an hour: this test would not end."""
    links = [Link(-1, f'{n:06d}', '000000') for n in range(1, 100_000)]
    assert len(grouping.form({}, links).group_of) == 100_000


@given(st.lists(st.sets(st.integers(0, 9), max_size=4), min_size=1, max_size=14), st.integers(0, 6))
def test_near_duplicates_form_the_groups_that_all_their_links_form(bits, max_distance):
    hashes = {f'k{n:02d}': sum(1 << 6 * bit for bit in chosen) for n, chosen in enumerate(bits)}
    every = [
        Link(distance, b, a)
        for a, b in itertools.combinations(sorted(hashes), 2)
        if (distance := (hashes[a] ^ hashes[b]).bit_count()) <= max_distance
    ]
    found = grouping.near_duplicates(hashes, max_distance)
    assert len(found) == len(hashes) - len({grouping.form({}, every).group_of.get(key, key) for key in hashes})
    expected, result = grouping.form({}, every), grouping.form({}, found)
    assert (result.group_of, result.duplicates) == (expected.group_of, expected.duplicates)
    # Of copies only the first is linked to others: the distances are those of all links, the other end may differ.
    distances = [{key: link.distance for key, link in form.link_of.items()} for form in (result, expected)]
    assert sorted(distances[0].values()) == sorted(distances[1].values())


def test_a_scene_in_which_nothing_moves_has_a_link_for_each_photo():
    """Each of 512 hashes is within reach of all others: 130,816 pairs, of which the groups need 511."""
    hashes = {f'{n:03d}': sum(1 << 7 * bit for bit in range(9) if n >> bit & 1) for n in range(512)}
    links = grouping.near_duplicates(hashes, 9)
    assert len(links) == 511
    assert {link.distance for link in links} == {1}
    assert len(grouping.form({}, links).duplicates) == 1
