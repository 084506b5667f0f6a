"""A split as tensors, in the order of its files; and damage that is named."""

import dataclasses
import os

import numpy as np
import pytest
import tensorflow as tf

from seg_pipeline import errors
from seg_pipeline.input import decoding
from seg_pipeline.records import tfrecord
from tests.seg_pipeline.input import fake_shards
from tests.seg_pipeline.input.fake_shards import NUM_EXAMPLES, SIZE

every_damage = pytest.mark.parametrize('damage', ['missing', 'bit', 'cut', 'short'])


@pytest.fixture(name='split')
def _split(tmp_path):
    return fake_shards.write(tmp_path)


def damage_second_shard(split, damage) -> str:
    path = fake_shards.damage_second_shard(split, damage)
    if damage == 'missing':
        os.remove(path)
    return path


def test_jpeg_records_are_decoded(tmp_path):
    images, masks = decoding.load_split(fake_shards.write(tmp_path, 'jpeg'))

    assert images.shape == (NUM_EXAMPLES, *SIZE, 3)
    np.testing.assert_allclose(images, np.repeat(20 * masks.numpy().astype(int), 3, axis=-1), atol=2)


def test_the_order_is_that_of_the_files(split):
    images, masks = decoding.load_split(split)

    np.testing.assert_array_equal(masks[:, 0, 0, 0], np.arange(NUM_EXAMPLES))
    np.testing.assert_array_equal(images[:, 0, 0, 0], 20 * np.arange(NUM_EXAMPLES))
    assert 'CPU' in images.device


def test_the_budget_counts_what_a_loaded_split_takes(split):
    images, masks = decoding.load_split(split)

    assert decoding.decoded_bytes(split) == images.numpy().nbytes + masks.numpy().nbytes


@every_damage
def test_a_damaged_shard_is_named_when_the_split_is_loaded(split, damage):
    path = damage_second_shard(split, damage)

    with pytest.raises(errors.UserError, match=os.path.basename(path)):
        decoding.load_split(split)


@every_damage
def test_a_damaged_shard_is_named_when_it_is_streamed(split, damage):
    path = damage_second_shard(split, damage)

    named = pytest.raises(errors.UserError, match=os.path.basename(path))
    with named, decoding.naming_damaged_shards(split):
        list(decoding.decoded_in_order(split))


def test_an_image_of_another_size_is_refused(split):
    with open(split.shard_paths[0], 'wb') as file:
        writer = tfrecord.FrameWriter(file)
        for number in range(fake_shards.SHARD_SIZES[0]):
            writer.write(fake_shards.serialized(number, 'png', size=(5, 4)))

    with pytest.raises(errors.UserError, match=r'00000-of-00003: record 0: image \(5, 4\).* manifest says \(6, 4\)'):
        decoding.load_split(split)


def test_other_errors_pass_through(split):
    with pytest.raises(tf.errors.OutOfRangeError), decoding.naming_damaged_shards(split):
        raise tf.errors.OutOfRangeError(None, None, 'x')


def test_an_empty_split_is_named(split):
    shards = tuple(dataclasses.replace(shard, num_records=0) for shard in split.manifest.shards)
    empty = dataclasses.replace(split, manifest=dataclasses.replace(split.manifest, shards=shards))
    with pytest.raises(errors.UserError, match=r'split train of .* holds no example'):
        decoding.load_split(empty)
