"""Pairs of a data set that another TFDS builder wrote: read right in every format, refused where they are no pairs."""

import os

import numpy as np
import pytest
import tensorflow_datasets as tfds

from seg_pipeline import errors, records
from seg_pipeline.dataset.dataset_split import DatasetSplit
from seg_pipeline.dataset.tfds_directory import TfdsDirectory, TfdsSplit
from seg_pipeline.imaging import resizing
from seg_pipeline.input import augmentation, decoding, pipeline
from seg_pipeline.records import pair_features
from tests import fake_data, fake_tfds

_SIZE = (32, 48)
_IGNORED = 255


@pytest.fixture(name='data_dirs', scope='module')
def _data_dirs(tmp_path_factory):
    root = tmp_path_factory.mktemp('pets')
    return {name: fake_tfds.make(root / name, name) for name in records.FORMATS_OF_TFDS}


def _split(path, name='train', *, mask_feature='segmentation_mask', num_classes=fake_tfds.NUM_CLASSES, offset=-1):
    directory = TfdsDirectory.read(path)
    pair = pair_features.choose(path, directory.features, None, mask_feature)
    labels = pair_features.label_map(path, pair, num_classes, offset)
    return TfdsSplit(directory, name, pair, _SIZE, labels, offset)


def _expected(path, name='train'):
    """The pairs as TFDS's own reader gives them, in its order, resized by the functions of prepare_dataset."""
    examples = tfds.builder_from_directory(path).as_dataset(split=name, shuffle_files=False)
    for example in examples.as_numpy_iterator():
        image = resizing.resize_image(example['image'], _SIZE)
        yield image, resizing.resize_mask(example['segmentation_mask'][..., 0] - 1, _SIZE)


@pytest.mark.parametrize('file_format', records.FORMATS_OF_TFDS)
def test_each_format_gives_what_prepare_dataset_would_have_made(data_dirs, file_format):
    images, masks = decoding.load_split(_split(data_dirs[file_format]))
    expected = list(_expected(data_dirs['tfrecord']))
    assert len(images) == len(expected) == fake_tfds.SPLITS['train']
    for image, mask, (wanted_image, wanted_mask) in zip(images.numpy(), masks.numpy(), expected, strict=True):
        assert np.abs(image.astype(int) - wanted_image).max() <= 1
        np.testing.assert_array_equal(mask[..., 0], wanted_mask)


def _batches(split, start_step, cache_budget_bytes):
    return pipeline.train_batches(
        split, batch_size=4, global_batch_size=4, seed=7, start_step=start_step, policy=augmentation.ARTICLE,
        cache_budget_bytes=cache_budget_bytes, shuffle_buffer=5,
    )  # fmt: skip


@pytest.mark.parametrize('cache_budget_bytes', [0, 2**30])
@pytest.mark.parametrize('file_format', records.FORMATS_OF_TFDS)
def test_a_stream_that_begins_later_goes_on_bit_for_bit(data_dirs, file_format, cache_budget_bytes):
    from_start = list(_batches(_split(data_dirs['tfrecord']), 0, cache_budget_bytes).take(6).as_numpy_iterator())
    later = list(_batches(_split(data_dirs[file_format]), 3, cache_budget_bytes).take(3).as_numpy_iterator())
    for expected, found in zip(from_start[3:], later, strict=True):
        for one, other in zip(expected, found, strict=True):
            np.testing.assert_array_equal(one, other)


def test_evaluation_reads_each_pair_once(data_dirs):
    batches = pipeline.eval_batches(_split(data_dirs['array_record'], 'test'), batch_size=3, num_replicas=1)
    masks = [mask[..., 0] for _, group in batches.as_numpy_iterator() for mask in group]
    for found, (_, expected) in zip(masks, _expected(data_dirs['tfrecord'], 'test'), strict=False):
        np.testing.assert_array_equal(found, expected)
    assert (masks[-1] == _IGNORED).all()  # padding: 5 pairs in batches of 3


@pytest.mark.parametrize(
    ('value', 'offset', 'found'),
    [
        (1, -1, 0),
        (3, -1, 2),
        (0, -1, _IGNORED),  # becomes negative
        (255, -1, _IGNORED),  # is the ignored id, whatever the offset
        (255, 0, _IGNORED),
        (0, 2, 2),
        (2, 0, 2),
        (4, -3, 1),
        (4, -5, _IGNORED),
    ],
)
def test_what_a_value_means(tmp_path, value, offset, found):
    data_dir = fake_tfds.make(tmp_path, change=lambda *pair: (pair[2], np.full_like(pair[3], value)))
    _, masks = decoding.load_split(_split(data_dir, offset=offset))
    assert np.unique(masks.numpy()) == [found]


@pytest.mark.parametrize(
    ('feature', 'name'),
    [
        (tfds.features.Tensor(shape=(None, None, 1), dtype=np.int32, encoding='zlib'), 'int32 of rank 3'),
        (tfds.features.Tensor(shape=(None, None, 1), dtype=np.int64, encoding='zlib'), 'int64 of rank 3'),
        (tfds.features.Image(shape=(None, None, 1), dtype=np.uint16, encoding_format='png'), 'png of 16 bits'),
        (tfds.features.LabeledImage(shape=(None, None, 1), labels=4), 'labeled'),
    ],
    ids=lambda value: value if isinstance(value, str) else '',
)
def test_masks_of_each_kind_of_feature(tmp_path, data_dirs, feature, name):
    data_dir = fake_tfds.make(tmp_path, extra={'other': feature})
    split = _split(data_dir, mask_feature='other')
    for expected, found in zip(
        decoding.load_split(_split(data_dirs['tfrecord'])), decoding.load_split(split), strict=True
    ):
        np.testing.assert_array_equal(expected, found)


def _wrong_id(name, number, photo, mask):
    if (name, number) == ('train', 4):
        mask = mask.copy()
        mask[0, 0] = 9  # one pixel, which the mask at its new size does not have
    return photo, mask


def _two_sizes(name, number, photo, mask):
    return photo, mask[1:] if (name, number) == ('train', 4) else mask


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (
            _wrong_id,
            'segmentation_mask holds 9, which with --label_offset=-1 is class 8 of 3: set --num_classes, or '
            '--label_offset where the masks begin at 1; 255 is ignored',
        ),
        (_two_sizes, r'image is \(48, 40\) pixels, segmentation_mask \(47, 40\): not a photo and its mask'),
    ],
)
@pytest.mark.parametrize('cache_budget_bytes', [0, 2**30])
def test_what_is_no_pair_is_named(tmp_path, change, message, cache_budget_bytes):
    split = _split(fake_tfds.make(tmp_path, change=change))
    with (
        pytest.raises(errors.UserError, match=rf'-of-00003: record \d at byte \d+ \(train_4\.jpg\): {message}'),
        decoding.naming_damaged_shards(split),
    ):
        list(_batches(split, 0, cache_budget_bytes).take(4))


# The contents of a parquet file have no checksum: only its frame tells that it is damaged.
@pytest.mark.parametrize(('file_format', 'place'), [('tfrecord', 1000), ('array_record', 1000), ('parquet', -60)])
def test_a_damaged_shard_is_named(tmp_path, file_format, place):
    split = _split(fake_tfds.make(tmp_path, file_format))
    path = split.shard_paths[1]
    with open(path, 'r+b') as file:
        file.seek(place, os.SEEK_SET if place > 0 else os.SEEK_END)
        file.write(b'damage' * 10)
    with pytest.raises(errors.UserError, match=f'{path}.*build the data set again'):
        decoding.load_split(split)


def test_a_photo_that_cannot_be_decoded_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr('seg_pipeline.imaging.images.encode_image', lambda photo, _: b'\xff\xd8\xff not a photo')
    split = _split(fake_tfds.make(tmp_path))
    with pytest.raises(errors.UserError, match=r'record 0 at byte 0 \(train_\d\.jpg\): cannot be decoded'):
        decoding.load_split(split)


def test_array_record_files_of_prepare_dataset_give_the_batches_of_its_tfrecord_files(tmp_path):
    """For both a manifest is checked: only the files are read in another way."""
    made = {name: fake_data.make_dataset(tmp_path / name, file_format=name) for name in ('tfrecord', 'array_record')}
    splits = {name: DatasetSplit.read(path, 'train') for name, path in made.items()}
    for cache_budget_bytes in (0, 2**30):
        found = {name: list(_batches(split, 2, cache_budget_bytes).take(3)) for name, split in splits.items()}
        for expected, batch in zip(found['tfrecord'], found['array_record'], strict=True):
            for one, other in zip(expected, batch, strict=True):
                np.testing.assert_array_equal(one, other)
    path = splits['array_record'].shard_paths[0]
    with open(path, 'r+b') as file:
        file.seek(1000)
        file.write(b'damage' * 10)
    with pytest.raises(errors.UserError, match=f'{path}: record .*; prepare the data set again'):
        decoding.load_split(splits['array_record'])
