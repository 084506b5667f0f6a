"""Batches as a pure function of (seed, step): on shards written here, whose every pixel holds the example's number."""

import dataclasses
import math
import os

import numpy as np
import pytest
import tensorflow as tf

from seg_pipeline import errors
from seg_pipeline.input import augmentation, decoding, pipeline, rare_classes
from seg_pipeline.labels.label_map import LabelMap
from tests.seg_pipeline.input import fake_shards
from tests.seg_pipeline.input.fake_shards import NUM_EXAMPLES, SIZE

BATCH = 4

# Values and geometry; all of ARTICLE takes most of a second to trace.
TWO_OPS = (augmentation.Brightness(), augmentation.OneOf((augmentation.Rotate90(), augmentation.CentralCrop())))

IN_MEMORY, STREAMED = 1 << 20, 0
both_paths = pytest.mark.parametrize('budget', [IN_MEMORY, STREAMED], ids=['in_memory', 'streamed'])


@pytest.fixture(name='split')
def _split(tmp_path):
    return fake_shards.write(tmp_path)


def train_batches(split, **options) -> tf.data.Dataset:
    defaults = {
        'batch_size': BATCH, 'global_batch_size': BATCH, 'seed': 7, 'start_step': 0, 'policy': augmentation.NONE,
        'cache_budget_bytes': IN_MEMORY, 'shuffle_buffer': 4,
    }  # fmt: skip
    return pipeline.train_batches(split, **{**defaults, **options})


def ids(batches) -> list[int]:
    """The numbers of the examples in some batches, read off the masks."""
    return [int(mask[0, 0, 0]) for _, masks in batches.as_numpy_iterator() for mask in masks]


@both_paths
def test_each_pass_holds_every_example_once_in_another_order(split, budget):
    passes = np.reshape(ids(train_batches(split, cache_budget_bytes=budget).take(10)), (4, NUM_EXAMPLES))

    assert (np.sort(passes) == np.arange(NUM_EXAMPLES)).all()
    assert len({tuple(order) for order in passes}) == 4


@both_paths
def test_batches_are_full_and_image_and_mask_belong_together(split, budget):
    batches = train_batches(split, cache_budget_bytes=budget)

    assert [tuple(spec.shape) for spec in batches.element_spec] == [(BATCH, *SIZE, 3), (BATCH, *SIZE, 1)]
    for image, mask in batches.take(6):
        assert image.dtype == mask.dtype == tf.uint8
        np.testing.assert_array_equal(image, np.repeat(20 * mask.numpy(), 3, axis=-1))


@both_paths
def test_starting_at_a_step_gives_the_batches_of_a_run_that_came_there(split, budget):
    options = {'cache_budget_bytes': budget, 'policy': TWO_OPS}
    complete = list(train_batches(split, **options).take(9).as_numpy_iterator())

    for start_step in (1, 3, 6):
        tf.random.set_seed(start_step)  # the seed of the process has no say
        resumed = train_batches(split, start_step=start_step, **options).take(9 - start_step).as_numpy_iterator()
        for expected, found in zip(complete[start_step:], resumed, strict=True):
            np.testing.assert_array_equal(expected[0], found[0])
            np.testing.assert_array_equal(expected[1], found[1])


@both_paths
def test_small_batches_follow_each_other_as_the_global_batch_has_them(split, budget):
    complete = ids(train_batches(split, cache_budget_bytes=budget, start_step=2).take(5))
    parts = ids(train_batches(split, cache_budget_bytes=budget, start_step=2, batch_size=1).take(20))

    assert parts == complete


@both_paths
def test_workers_share_every_step(split, budget):
    complete = np.reshape(ids(train_batches(split, cache_budget_bytes=budget).take(5)), (5, 2, 2))
    for worker in (0, 1):
        options = {'cache_budget_bytes': budget, 'batch_size': 2, 'num_workers': 2, 'worker': worker}
        assert ids(train_batches(split, **options).take(5)) == complete[:, worker].ravel().tolist()


@both_paths
def test_the_seed_decides_the_order(split, budget):
    orders = [ids(train_batches(split, cache_budget_bytes=budget, seed=seed).take(5)) for seed in (1, 2, 1)]

    assert orders[0] == orders[2] != orders[1]


@both_paths
def test_an_example_is_augmented_differently_in_every_pass(split, budget):
    batches = train_batches(split, cache_budget_bytes=budget, policy=(augmentation.Brightness(0.3),)).take(20)
    pairs = [(int(mask[0, 0, 0]), int(image[0, 0, 0])) for x, y in batches for image, mask in zip(x, y, strict=True)]

    assert len({value for number, value in pairs if number == 5}) > 4


@pytest.mark.parametrize(('batch_size', 'num_replicas', 'num_batches'), [(4, 1, 3), (4, 2, 4), (5, 1, 2), (3, 8, 8)])
@pytest.mark.parametrize('budget', [IN_MEMORY, STREAMED])
def test_eval_batches_hold_the_split_in_order_and_padding_that_counts_for_nothing(
    split, batch_size, num_replicas, num_batches, budget
):
    batches = pipeline.eval_batches(split, batch_size=batch_size, num_replicas=num_replicas, cache_budget_bytes=budget)
    assert len(batches) == num_batches
    for _ in range(2):  # a second evaluation gets the same
        numbers = ids(batches)
        assert numbers[:NUM_EXAMPLES] == list(range(NUM_EXAMPLES))
        size = math.ceil(NUM_EXAMPLES / num_batches)
        assert len(numbers) == num_batches * size
        assert numbers[NUM_EXAMPLES:] == [200] * (num_batches * size - NUM_EXAMPLES)


def test_a_batch_is_no_larger_than_the_split_makes_necessary(split):
    (images, masks), *rest = pipeline.eval_batches(split, batch_size=64, num_replicas=1)
    assert not rest
    assert (len(images), len(masks)) == (NUM_EXAMPLES, NUM_EXAMPLES)


def test_workers_share_the_eval_batches(split):
    parts = [
        ids(pipeline.eval_batches(split, batch_size=2, num_replicas=4, num_workers=2, worker=worker))
        for worker in (0, 1)
    ]
    assert len(parts[0]) == len(parts[1])
    assert sorted(parts[0] + parts[1])[:NUM_EXAMPLES] == list(range(NUM_EXAMPLES))


@pytest.mark.parametrize('budget', [IN_MEMORY, STREAMED])
def test_a_damaged_shard_is_named(split, budget):
    path = fake_shards.damage_second_shard(split, 'bit')

    named = pytest.raises(errors.UserError, match=os.path.basename(path))
    with named, decoding.naming_damaged_shards(split):
        list(train_batches(split, cache_budget_bytes=budget).take(5))


def test_a_short_shard_is_no_shorter_pass(split):
    """Without the check every later pass would begin at a wrong element, and no error would tell."""
    fake_shards.damage_second_shard(split, 'short')

    with pytest.raises(tf.errors.FailedPreconditionError):
        list(train_batches(split, cache_budget_bytes=STREAMED).take(5))


def test_an_empty_split_is_named(split):
    shards = tuple(dataclasses.replace(shard, num_records=0) for shard in split.manifest.shards)
    empty = dataclasses.replace(split, manifest=dataclasses.replace(split.manifest, shards=shards))
    for make in (train_batches, lambda split: pipeline.eval_batches(split, batch_size=1, num_replicas=1)):
        with pytest.raises(errors.UserError, match=r'split train of .* holds no example'):
            make(empty)


def test_batch_sizes_must_divide(split):
    with pytest.raises(ValueError, match=r'global_batch_size 6 .* batch_size 4'):
        train_batches(split, global_batch_size=6)


def _with_rare_classes(split):
    """Half of the examples have a class that one in ten has; the ids of the others are no classes."""
    labels = LabelMap.default(fake_shards.LABELS.names[:5], ignore_id=200)
    return dataclasses.replace(split, manifest=dataclasses.replace(split.manifest, label_map=labels))


def test_photos_with_rare_classes_are_drawn_more_often(split):
    split = _with_rare_classes(split)
    passes = np.reshape(ids(train_batches(split, repeat_factor_threshold=0.9).take(50)), (20, NUM_EXAMPLES))
    counts = np.array([np.bincount(order, minlength=NUM_EXAMPLES) for order in passes])
    # The factor is sqrt(0.9 / 0.1) = 3 against 1, so of 10 draws 7.5 and 2.5.
    assert set(counts[:, :5].ravel()) == {1, 2}
    assert set(counts[:, 5:].ravel()) == {0, 1}
    assert counts[:, :5].sum() / 20 == pytest.approx(7.5, abs=0.5)
    assert len({tuple(order) for order in passes}) == 20


@pytest.mark.parametrize('start', [1, 7])
def test_drawing_more_often_is_a_function_of_the_step(split, start):
    split = _with_rare_classes(split)
    all_ids = ids(train_batches(split, repeat_factor_threshold=0.9).take(10))
    found = ids(train_batches(split, repeat_factor_threshold=0.9, start_step=start).take(10 - start))
    assert found == all_ids[start * BATCH :]


def test_drawing_more_often_needs_the_split_in_memory(split):
    with pytest.raises(errors.UserError, match=r'^--repeat_factor_threshold=0.9 needs the decoded split train in mem'):
        train_batches(split, repeat_factor_threshold=0.9, cache_budget_bytes=STREAMED)


def test_repeat_factors_by_hand():
    masks = np.zeros((8, 2, 2, 1), np.uint8)
    masks[:, 0, 0] = 255
    masks[0, 1, 1], masks[1, 1, 1], masks[1, 1, 0], masks[2, 1, 1] = 1, 1, 2, 9
    # Class 0 is everywhere, class 1 in 1 of 4, class 2 in 1 of 8; 9 is no class.
    expected = [np.sqrt(2), 2, 1, 1, 1, 1, 1, 1]
    np.testing.assert_allclose(rare_classes.repeat_factors(masks, 4, threshold=0.5), expected)
    np.testing.assert_array_equal(rare_classes.repeat_factors(masks, 4, threshold=0.1), 1)
