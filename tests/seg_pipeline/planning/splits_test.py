import re
from collections import Counter
from fractions import Fraction

import pytest
import tensorflow_datasets as tfds
from hypothesis import example, given, settings
from hypothesis import strategies as st

from seg_pipeline import errors
from seg_pipeline.planning import splits
from seg_pipeline.planning.pairing import SourcePair

_SHARES = splits.parse_fractions('train:0.8,validation:0.2')


def test_exact_sizes():
    keys = [f'{n:04d}' for n in range(1000)]
    assert Counter(splits.assign(keys, _SHARES, seed=0).values()) == {'train': 800, 'validation': 200}


@given(total=st.integers(3, 500), parts=st.lists(st.integers(1, 20), min_size=1, max_size=3))
def test_no_split_is_off_its_share_by_a_pair(total, parts):
    shares = {f's{i}': Fraction(part, sum(parts)) for i, part in enumerate(parts)}
    found = splits.sizes(total, shares)
    assert sum(found.values()) == total
    for name, share in shares.items():
        # A split that would be empty gets one pair from the largest.
        assert abs(found[name] - total * share) < 1 or found[name] == 1 or total * min(shares.values()) < 1


def test_every_split_gets_a_pair_when_there_are_enough():
    assert splits.sizes(3, splits.parse_fractions('a:0.98,b:0.01,c:0.01')) == {'a': 1, 'b': 1, 'c': 1}


@given(seed=st.integers(0, 5), keys=st.sets(st.text(max_size=6), min_size=2, max_size=60))
def test_a_function_of_keys_and_seed_alone(seed, keys):
    first = splits.assign(sorted(keys), _SHARES, seed)
    assert splits.assign(sorted(keys, reverse=True), _SHARES, seed) == first


def test_adding_pairs_moves_few():
    keys = [f'{n:04d}' for n in range(1000)]
    before = splits.assign(keys, _SHARES, seed=0)
    after = splits.assign([*keys, *(f'new{n}' for n in range(100))], _SHARES, seed=0)
    # The border between the splits lies 20 new validation pairs further; a new draw would move 320.
    assert sum(before[key] != after[key] for key in keys) <= 30


def test_another_seed_is_another_split():
    keys = [f'{n:04d}' for n in range(1000)]
    assert splits.assign(keys, _SHARES, seed=0) != splits.assign(keys, _SHARES, seed=1)


@settings(max_examples=50)
@given(sizes=st.lists(st.integers(1, 9), min_size=2, max_size=40), seed=st.integers(0, 9))
def test_a_group_stays_on_one_side(sizes, seed):
    groups = {f'{g}-{i}': f'group {g}' for g, size in enumerate(sizes) for i in range(size)}
    found = splits.assign(groups, _SHARES, seed, groups)
    assert set(found) == set(groups)
    for group in set(groups.values()):
        assert len({found[key] for key in groups if groups[key] == group}) == 1
    wanted = splits.sizes(len(groups), _SHARES)
    assert all(abs(Counter(found.values())[name] - wanted[name]) < max(sizes) for name in wanted)


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('train:0.8', 'add up to 0.8'),
        ('train:0.8,validation:0.3', 'add up to 1.1'),
        ('train:1,validation:0', 'must be positive'),
        ('train', 'name:value'),
        ('train:x', 'not a number'),
        ('train:0.5,train:0.5', 'twice'),
        ('tr ain:1', "split 'tr ain': wanted letters"),
    ],
)
def test_wrong_shares(text, message):
    with pytest.raises(errors.UserError, match=message):
        splits.parse_fractions(text)


def test_decimal_shares_are_exact():
    assert sum(splits.parse_fractions('a:0.1,b:0.2,c:0.7').values()) == 1


_PAIRS = [SourcePair('0001', 'x/img_0001.png', 'seg_0001.png'), SourcePair('0002', 'y/img_0002.png', 'seg_0002.png')]


@pytest.mark.parametrize('name', ['0002', 'y/img_0002.png', 'img_0002.png', 'img_0002'])
def test_lists_name_pairs_in_any_way(name):
    assert splits.from_lists(_PAIRS, {'train': ['0001'], 'test': [name]}) == {'0001': 'train', '0002': 'test'}


def test_a_pair_in_no_list_is_left_out():
    assert splits.from_lists(_PAIRS, {'train': ['0001']}) == {'0001': 'train'}


@pytest.mark.parametrize(
    ('lists', 'message'),
    [({'train': ['0003']}, "'0003'.*fits 0 pairs"), ({'train': ['0001'], 'test': ['img_0001']}, 'train and of test')],
)
def test_wrong_lists(lists, message):
    with pytest.raises(errors.UserError, match=message):
        splits.from_lists(_PAIRS, lists)


@settings(max_examples=60)
@given(sizes=st.lists(st.integers(1, 9), min_size=2, max_size=12), singles=st.integers(0, 15), seed=st.integers(0, 9))
def test_no_exchange_of_two_groups_brings_sizes_nearer(sizes, singles, seed):
    groups = {f'{g}-{i}': f'group {g}' for g, size in enumerate(sizes) for i in range(size)}
    groups |= {f'single {n}': f'single {n}' for n in range(singles)}
    found = splits.assign(groups, _SHARES, seed, groups)
    count, side = Counter(groups.values()), {groups[key]: split for key, split in found.items()}
    wanted = splits.sizes(len(groups), _SHARES)['validation']
    off = sum(count[group] for group in side if side[group] == 'validation') - wanted
    gives = [0, *(count[group] for group in side if side[group] == 'validation')]
    takes = [0, *(count[group] for group in side if side[group] == 'train')]
    assert all(abs(off - give + take) >= abs(off) for give in gives for take in takes)
    if singles >= 9:
        assert off == 0


def test_forced_groups_count_towards_their_split():
    keys = [f'{n:04d}' for n in range(100)]
    plain = splits.assign(keys, _SHARES, seed=0)
    forced = dict.fromkeys([key for key in keys if plain[key] == 'train'][:3], 'validation')
    found = splits.assign(keys, _SHARES, seed=0, forced=forced)
    assert Counter(found.values()) == {'train': 80, 'validation': 20}
    assert all(found[key] == 'validation' for key in forced)
    assert sum(found[key] != plain[key] for key in keys) == 6


def test_adding_groups_moves_few():
    groups = {f'{g}-{i}': f'group {g}' for g in range(200) for i in range(1 + g % 7)}
    more = {f'new {g}-{i}': f'new group {g}' for g in range(20) for i in range(1 + g % 7)}
    before = splits.assign(groups, _SHARES, 0, groups)
    after = splits.assign({**groups, **more}, _SHARES, 0, {**groups, **more})
    # A tenth more pairs: the border lies 64 of 800 pairs further, and its last group with it.
    assert sum(before[key] != after[key] for key in groups) <= 64 + 7


def _tfds_takes(name):
    """Whether TFDS reads a name, alone and with a part of it, as that one split."""
    template = tfds.core.ShardedFileTemplate('/d', dataset_name='d', filetype_suffix='tfrecord', split=name)
    info = tfds.core.SplitInfo(name=name, shard_lengths=[4], num_bytes=0, filename_template=template)
    found = tfds.core.splits.SplitDict([info])
    try:
        return [found[name].num_examples, found[f'{name}[:50%]'].num_examples] == [4, 2] and name != 'all'
    except (ValueError, KeyError, AssertionError):
        return False


@given(st.text(st.characters(codec='utf-8'), max_size=12))
@example('all')
@example('train١')
@example('a' * 65)
def test_a_name_that_is_accepted_is_one_that_tfds_reads(name):
    try:
        splits.parse(f'{name}:1', 'splits')
    except errors.UserError:
        return
    assert _tfds_takes(name.strip())


@pytest.mark.parametrize('name', ['train', 'Validation_2', '_x', 'a' * 64])
def test_names_of_splits(name):
    assert splits.parse(f'{name}:1', 'splits') == {name: '1'}
    assert _tfds_takes(name)


@pytest.mark.parametrize('name', ['all', 'train١', 'é', 'a-b', '2nd', '../x', 'a' * 65, 'a[1]', 'a+b'])
def test_names_that_are_none(name):
    with pytest.raises(errors.UserError, match=f'split {re.escape(repr(name))}'):
        splits.parse(f'{name}:1', 'num_shards')


@pytest.mark.parametrize(
    'text', ['1e9999', '1e-999999999', '²', '١', 'nan', 'inf', '1_0', '0x1', '1/0', '9' * 21, '--1', '-+1']
)
def test_fractions_that_are_no_numbers(text):
    with pytest.raises(errors.UserError, match=rf'{re.escape(text)}.* is not a number'):
        splits.parse_fractions(f'train:{text}')


def test_spellings_of_a_fraction():
    for text in ('0.5', '.5', '5e-1', '1/2', '+0.50'):
        assert splits.parse_fractions(f'a:{text},b:0.5') == {'a': Fraction(1, 2), 'b': Fraction(1, 2)}
