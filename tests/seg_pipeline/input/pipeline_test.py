"""Batches as a pure function of (seed, step): on shards written here, whose every pixel holds the example's number."""

import os

import numpy as np
import pytest
import tensorflow as tf

from seg_pipeline import errors
from seg_pipeline.dataset import manifest
from seg_pipeline.imaging import images
from seg_pipeline.input import augmentation, pipeline
from seg_pipeline.labels.label_map import LabelMap
from seg_pipeline.records import example_proto, tfrecord

SIZE = (6, 4)
SHARD_SIZES = (3, 5, 2)
NUM_EXAMPLES = sum(SHARD_SIZES)
BATCH = 4
LABELS = LabelMap.default(tuple(f'class_{i}' for i in range(NUM_EXAMPLES)), ignore_id=200)

# Values and geometry; the whole of ARTICLE takes most of a second to trace.
TWO_OPS = (augmentation.Brightness(), augmentation.OneOf((augmentation.Rotate90(), augmentation.CentralCrop())))

IN_MEMORY, STREAMED = 1 << 20, 0
both_paths = pytest.mark.parametrize('budget', [IN_MEMORY, STREAMED], ids=['in_memory', 'streamed'])


@pytest.fixture(name='dataset')
def _dataset(tmp_path):
    return str(tmp_path), write_dataset(tmp_path, 'png')


def write_dataset(directory, encoding) -> manifest.Manifest:
    """Example i is an image of value 20 i and a mask of id i."""
    shards, number = [], 0
    for index, size in enumerate(SHARD_SIZES):
        name = f'x-train.tfrecord-{index:05d}-of-{len(SHARD_SIZES):05d}'
        with open(directory / name, 'wb') as file:
            writer = tfrecord.Writer(file)
            for _ in range(size):
                writer.write(serialized(number, encoding))
                number += 1
        shards.append(manifest.Shard(name, 'train', size, writer.num_bytes, writer.payload_bytes, writer.sha256))
    return manifest.Manifest('x', '6x4', '1.0.0', '', {'image_size': list(SIZE)}, {}, LABELS, tuple(shards), {})


def serialized(number, encoding, size=SIZE) -> bytes:
    image, mask = np.full((*size, 3), 20 * number, np.uint8), np.full(size, number, np.uint8)
    return example_proto.serialize(
        {
            'image': images.encode_image(image, encoding),
            'segmentation_mask': images.encode_png(mask),
            'file_name': b'x.png',
            'original_height': size[0],
            'original_width': size[1],
        }
    )


def train_batches(dataset, **options) -> tf.data.Dataset:
    defaults = {
        'batch_size': BATCH, 'global_batch_size': BATCH, 'seed': 7, 'start_step': 0, 'policy': augmentation.NONE,
        'cache_budget_bytes': IN_MEMORY, 'shuffle_buffer': 4,
    }  # fmt: skip
    return pipeline.train_batches(*dataset, 'train', **{**defaults, **options})


def ids(batches) -> list[int]:
    """The numbers of the examples in some batches, read off the masks."""
    return [int(mask[0, 0, 0]) for _, masks in batches.as_numpy_iterator() for mask in masks]


@both_paths
def test_each_pass_holds_every_example_once_in_another_order(dataset, budget):
    passes = np.reshape(ids(train_batches(dataset, cache_budget_bytes=budget).take(10)), (4, NUM_EXAMPLES))

    assert (np.sort(passes) == np.arange(NUM_EXAMPLES)).all()
    assert len({tuple(order) for order in passes}) == 4


@both_paths
def test_batches_are_full_and_image_and_mask_belong_together(dataset, budget):
    batches = train_batches(dataset, cache_budget_bytes=budget)

    assert [tuple(spec.shape) for spec in batches.element_spec] == [(BATCH, *SIZE, 3), (BATCH, *SIZE, 1)]
    for image, mask in batches.take(6):
        assert image.dtype == mask.dtype == tf.uint8
        np.testing.assert_array_equal(image, np.repeat(20 * mask.numpy(), 3, axis=-1))


@both_paths
def test_starting_at_a_step_gives_the_batches_of_a_run_that_came_there(dataset, budget):
    options = {'cache_budget_bytes': budget, 'policy': TWO_OPS}
    whole = list(train_batches(dataset, **options).take(9).as_numpy_iterator())

    for start_step in (1, 3, 6):
        tf.random.set_seed(start_step)  # the seed of the process has no say
        resumed = train_batches(dataset, start_step=start_step, **options).take(9 - start_step).as_numpy_iterator()
        for expected, found in zip(whole[start_step:], resumed, strict=True):
            np.testing.assert_array_equal(expected[0], found[0])
            np.testing.assert_array_equal(expected[1], found[1])


@both_paths
def test_small_batches_follow_each_other_as_the_global_batch_has_them(dataset, budget):
    whole = ids(train_batches(dataset, cache_budget_bytes=budget, start_step=2).take(5))
    parts = ids(train_batches(dataset, cache_budget_bytes=budget, start_step=2, batch_size=1).take(20))

    assert parts == whole


@both_paths
def test_workers_share_every_step(dataset, budget):
    whole = np.reshape(ids(train_batches(dataset, cache_budget_bytes=budget).take(5)), (5, 2, 2))
    for worker in (0, 1):
        options = {'cache_budget_bytes': budget, 'batch_size': 2, 'num_workers': 2, 'worker': worker}
        assert ids(train_batches(dataset, **options).take(5)) == whole[:, worker].ravel().tolist()


@both_paths
def test_the_seed_decides_the_order(dataset, budget):
    orders = [ids(train_batches(dataset, cache_budget_bytes=budget, seed=seed).take(5)) for seed in (1, 2, 1)]

    assert orders[0] == orders[2] != orders[1]


@both_paths
def test_an_example_is_augmented_differently_in_every_pass(dataset, budget):
    batches = train_batches(dataset, cache_budget_bytes=budget, policy=(augmentation.Brightness(0.3),)).take(20)
    pairs = [(int(mask[0, 0, 0]), int(image[0, 0, 0])) for x, y in batches for image, mask in zip(x, y, strict=True)]

    assert len({value for number, value in pairs if number == 5}) > 4


def test_jpeg_records_are_decoded(tmp_path):
    data = write_dataset(tmp_path, 'jpeg')
    found, masks = pipeline.load_split(str(tmp_path), data, 'train')

    assert found.shape == (NUM_EXAMPLES, *SIZE, 3)
    np.testing.assert_allclose(found, np.repeat(20 * masks.numpy().astype(int), 3, axis=-1), atol=2)


def test_load_split_keeps_the_order_of_the_files(dataset):
    found, masks = pipeline.load_split(*dataset, 'train')

    np.testing.assert_array_equal(masks[:, 0, 0, 0], np.arange(NUM_EXAMPLES))
    np.testing.assert_array_equal(found[:, 0, 0, 0], 20 * np.arange(NUM_EXAMPLES))
    assert 'CPU' in found.device


@pytest.mark.parametrize(('batch_size', 'num_replicas', 'num_batches'), [(4, 1, 3), (4, 2, 4), (5, 1, 2), (3, 8, 8)])
@pytest.mark.parametrize('budget', [IN_MEMORY, STREAMED])
def test_eval_batches_hold_the_split_in_order_and_padding_that_counts_for_nothing(
    dataset, batch_size, num_replicas, num_batches, budget
):
    batches = pipeline.eval_batches(
        *dataset, 'train', batch_size=batch_size, num_replicas=num_replicas, cache_budget_bytes=budget
    )
    assert len(batches) == num_batches
    for _ in range(2):  # a second evaluation gets the same
        numbers = ids(batches)
        assert numbers[:NUM_EXAMPLES] == list(range(NUM_EXAMPLES))
        assert numbers[NUM_EXAMPLES:] == [200] * (num_batches * batch_size - NUM_EXAMPLES)


def test_workers_share_the_eval_batches(dataset):
    parts = [
        ids(pipeline.eval_batches(*dataset, 'train', batch_size=2, num_replicas=4, num_workers=2, worker=worker))
        for worker in (0, 1)
    ]
    assert len(parts[0]) == len(parts[1])
    assert sorted(parts[0] + parts[1])[:NUM_EXAMPLES] == list(range(NUM_EXAMPLES))


@pytest.mark.parametrize('damage', ['missing', 'bit', 'cut', 'short'])
def test_a_damaged_shard_is_named_when_the_split_is_loaded(dataset, damage):
    path = damage_second_shard(dataset, damage)

    with pytest.raises(errors.UserError, match=os.path.basename(path)):
        train_batches(dataset)


@pytest.mark.parametrize('damage', ['missing', 'bit', 'cut', 'short'])
def test_a_damaged_shard_is_named_when_it_is_streamed(dataset, damage):
    path = damage_second_shard(dataset, damage)

    named = pytest.raises(errors.UserError, match=os.path.basename(path))
    with named, pipeline.naming_damaged_shards(*dataset, 'train'):
        list(train_batches(dataset, cache_budget_bytes=STREAMED).take(5))


def damage_second_shard(dataset, damage) -> str:
    directory, data = dataset
    path = data.shard_paths(directory, 'train')[1]
    with open(path, 'rb') as file:
        content = bytearray(file.read())
    if damage == 'missing':
        os.remove(path)
        return path
    if damage == 'bit':
        content[len(content) // 2] ^= 1
    if damage == 'cut':
        del content[-7:]
    if damage == 'short':
        del content[-(tfrecord.FRAME_BYTES + len(serialized(7, 'png'))) :]
    with open(path, 'wb') as file:
        file.write(content)
    return path


def test_an_image_of_another_size_is_refused(dataset):
    directory, data = dataset
    with open(data.shard_paths(directory, 'train')[0], 'wb') as file:
        writer = tfrecord.Writer(file)
        for number in range(SHARD_SIZES[0]):
            writer.write(serialized(number, 'png', size=(5, 4)))

    with pytest.raises(errors.UserError, match=r'00000-of-00003: record 0: image \(5, 4\).* manifest says \(6, 4\)'):
        pipeline.load_split(*dataset, 'train')


def test_other_errors_pass_through(dataset):
    with pytest.raises(tf.errors.OutOfRangeError), pipeline.naming_damaged_shards(*dataset, 'train'):
        raise tf.errors.OutOfRangeError(None, None, 'x')


def test_an_unknown_split_is_named(dataset):
    with pytest.raises(errors.UserError, match='train'):
        pipeline.eval_batches(*dataset, 'nonsense', batch_size=1, num_replicas=1)


def test_batch_sizes_must_divide(dataset):
    with pytest.raises(ValueError, match=r'global_batch_size 6 .* batch_size 4'):
        train_batches(dataset, global_batch_size=6)
