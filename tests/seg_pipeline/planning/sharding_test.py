import pytest
from hypothesis import given
from hypothesis import strategies as st

from seg_pipeline import errors
from seg_pipeline.planning import sharding
from seg_pipeline.planning.pairing import SourcePair


def _pairs(count):
    return [SourcePair(f'{n:05d}', f'{n:05d}.jpg', f'{n:05d}.png') for n in range(count)]


@given(count=st.integers(1, 400), shards=st.integers(1, 40), seed=st.integers(0, 3))
def test_every_pair_is_in_one_shard_of_nearly_equal_size(count, shards, seed):
    pairs = _pairs(count)
    plans = sharding.plan(pairs, dict.fromkeys((p.key for p in pairs), 'train'), {'train': shards}, seed, 'x')
    assert sorted(pair for plan in plans for pair in plan.pairs) == pairs
    sizes = [len(plan.pairs) for plan in plans]
    assert len(plans) == min(shards, count)
    assert max(sizes) - min(sizes) <= 1
    assert [plan.name for plan in plans] == [f'x-train.tfrecord-{i:05d}-of-{len(plans):05d}' for i in range(len(plans))]


def test_the_plan_is_a_function_of_keys_and_seed():
    pairs = _pairs(50)
    split_of = {pair.key: 'train' if int(pair.key) % 3 else 'validation' for pair in pairs}
    plans = sharding.plan(pairs, split_of, {}, 0, 'x')
    assert sharding.plan(pairs[::-1], split_of, {}, 0, 'x') == plans
    assert sharding.plan(pairs, split_of, {}, 1, 'x') != plans
    assert all(split_of[pair.key] == plan.split for plan in plans for pair in plan.pairs)


def test_records_are_not_in_the_order_of_their_keys():
    (plan,) = sharding.plan(_pairs(50), dict.fromkeys((p.key for p in _pairs(50)), 'train'), {}, 0, 'x')
    assert [pair.key for pair in plan.pairs] != sorted(pair.key for pair in plan.pairs)


def test_a_pair_without_a_split_is_left_out():
    assert sharding.plan(_pairs(3), {'00001': 'train'}, {}, 0, 'x')[0].pairs == (_pairs(3)[1],)


@pytest.mark.parametrize(('pairs', 'shards'), [(1, 1), (100, 1), (101, 2), (800, 8), (200, 2), (10**7, 1000)])
def test_default_counts(pairs, shards):
    assert sharding.default_count(pairs) == shards


@pytest.mark.parametrize(
    ('pairs', 'image_size', 'shards'),
    [
        (800, (128, 128), 8),
        (100_000, (128, 128), 1000),
        (10**7, (128, 128), 2294),  # of 4359 records with 34.4 kB each, as those of the real photos: 150 MB
        (10**6, (512, 512), 3671),
        (200, (4096, 4096), 2),  # no shard has fewer pairs than 100 by default
        (10**7, (4096, 4096), 99_999),
    ],
)
def test_shards_of_many_pairs_are_not_too_large(pairs, image_size, shards):
    assert sharding.default_count(pairs, image_size) == shards


@pytest.mark.parametrize('text', ['train:0', 'train:x', 'test:3', 'train:-1', 'train'])
def test_wrong_counts(text):
    with pytest.raises(errors.UserError, match='num_shards'):
        sharding.parse_counts(text, ['train', 'validation'])


def test_counts():
    assert sharding.parse_counts('train:8,validation:2', ['train', 'validation']) == {'train': 8, 'validation': 2}
    assert sharding.parse_counts('', ['train']) == {}
