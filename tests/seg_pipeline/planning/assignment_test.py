from collections import Counter, defaultdict

from hypothesis import given, settings
from hypothesis import strategies as st

from seg_pipeline.planning import assignment, grouping, splits
from seg_pipeline.planning.grouping import Link
from seg_pipeline.planning.pairing import SourcePair

_FRACTIONS = splits.parse_fractions('train:0.8,validation:0.2')
_KEYS = [f'{n:04d}' for n in range(200)]


def test_a_pair_on_its_own_is_assigned_by_its_hash():
    found = assignment.by_fractions(_KEYS, _FRACTIONS, 0)
    assert found.split_of == splits.assign(_KEYS, _FRACTIONS, 0)
    assert {(p.reason, p.group) for p in found.by_key.values()} == {('hash', None)}
    assert found.warnings == ()


def test_reasons():
    formed = grouping.form(
        {key: f'day {key[:3]}' for key in _KEYS}, [Link(-1, '0001', '0011'), Link(4, '0150', '0151')]
    )
    found = assignment.by_fractions(_KEYS, _FRACTIONS, 0, formed)
    assert found.by_key['0002'].reason == 'group day 000'
    assert found.by_key['0011'].reason == 'identical to 0001; group day 001'
    assert found.by_key['0151'].reason == 'near-duplicate of 0150 at distance 4; group day 015'
    duplicates = {key: (a.duplicate_of, a.distance) for key, a in found.by_key.items() if a.duplicate_of}
    assert duplicates == {'0011': ('0001', None), '0151': ('0150', 4)}
    assert {found.by_key[f'00{n:02d}'].group for n in range(20)} == {'day 000'}
    assert len({found.by_key[f'00{n:02d}'].split for n in range(20)}) == 1


def test_a_rare_class_moves_the_pairs_it_needs_and_says_so():
    plain = assignment.by_fractions(_KEYS, _FRACTIONS, 0).split_of
    train = [key for key in _KEYS if plain[key] == 'train']
    classes = dict.fromkeys(_KEYS, (0,)) | dict.fromkeys(train[:2], (0, 1)) | {train[2]: (0, 2)}
    found = assignment.by_fractions(_KEYS, _FRACTIONS, 0, classes=classes, class_names=('background', 'bra', 'cape'))
    assert {found.by_key[key].split for key in train[:2]} == {'train', 'validation'}
    (there,) = [key for key in train[:2] if found.by_key[key].split == 'validation']
    assert {key: p.reason for key, p in found.by_key.items() if p.reason != 'hash'} == {there: 'rare class bra'}
    assert Counter(found.split_of.values()) == {'train': 160, 'validation': 40}
    moved = [key for key in _KEYS if found.split_of[key] != plain[key]]
    assert len(moved) == 2  # the pair of the class, and one that makes room


@settings(max_examples=80, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 6), min_size=2, max_size=40),
    single=st.integers(0, 20),
    seed=st.integers(0, 3),
    data=st.data(),
)
def test_no_group_on_two_sides_sizes_and_classes(sizes, single, seed, data):
    names = {f'{g}-{i}': f'g{g}' for g, size in enumerate(sizes) for i in range(size)}
    names |= {f's{i}': f's{i}' for i in range(single)}
    classes = {key: tuple(data.draw(st.sets(st.integers(0, 5), max_size=2))) for key in names}
    formed = grouping.form(names, [])
    found = assignment.by_fractions(names, _FRACTIONS, seed, formed, classes=classes, class_names='abcdef')
    splits_of = defaultdict(set)
    groups_with = defaultdict(set)
    for key, name in names.items():
        splits_of[name].add(found.split_of[key])
        for class_id in classes[key]:
            groups_with[class_id].add(name)
    assert all(len(sides) == 1 for sides in splits_of.values())
    missed = '\n'.join(found.warnings)
    for class_id, groups in groups_with.items():
        sides = set().union(*(splits_of[group] for group in groups))
        assert len(groups) < 2 or len(sides) == 2 or f"class '{'abcdef'[class_id]}' is not in" in missed
    wanted = splits.sizes(len(names), _FRACTIONS)
    got = Counter(found.split_of.values())
    assert all(got[split] == wanted[split] or f'{split} has {got[split]} pairs' in missed for split in wanted)


_PAIRS = [SourcePair(key, f'{key}.png', f'{key}.png') for key in ('a', 'b', 'c')]


def test_lists_win_and_a_separated_group_is_a_warning():
    formed = grouping.form({}, [Link(-1, 'a', 'b')])
    found = assignment.by_lists(_PAIRS, {'train': ['a'], 'test': ['b']}, formed)
    assert {key: p.reason for key, p in found.by_key.items()} == {'a': 'list of train', 'b': 'list of test'}
    assert found.warnings == ('the lists put one image into several splits: a (train), b (test)',)
    assert assignment.by_lists(_PAIRS, {'train': ['a', 'b']}, formed).warnings == ()
