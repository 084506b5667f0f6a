"""Data sets made for other readers than this project's, read by those."""

import pathlib
import re

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from array_record.python import array_record_module

from seg_pipeline import errors, records
from seg_pipeline.dataset import integrity, manifest
from tests import fake_data
from trainer import config


def _reference(tmp_path: pathlib.Path, split: str) -> list[records.Record]:
    """The same pairs in the default format."""
    return fake_data.read_split(fake_data.make_dataset(tmp_path / 'reference', num_pairs=6), split)


# What official/vision/dataloaders/segmentation_input.py of TensorFlow Model Garden parses, and what its writers add.
_MODEL_GARDEN_FEATURES = {
    'image/encoded': tf.io.FixedLenFeature((), tf.string, default_value=''),
    'image/height': tf.io.FixedLenFeature((), tf.int64, default_value=0),
    'image/width': tf.io.FixedLenFeature((), tf.int64, default_value=0),
    'image/segmentation/class/encoded': tf.io.FixedLenFeature((), tf.string, default_value=''),
    'image/segmentation/class/format': tf.io.FixedLenFeature((), tf.string),
    'image/format': tf.io.FixedLenFeature((), tf.string),
    'image/filename': tf.io.FixedLenFeature((), tf.string),
    'image/source_id': tf.io.FixedLenFeature((), tf.string),
}


@pytest.mark.parametrize('encoding', ['png', 'jpeg'])
def test_model_garden_by_tf_data(tmp_path, encoding):
    dataset_dir = fake_data.make_dataset(
        tmp_path, num_pairs=6, image_size=(32, 24), schema='model_garden', image_encoding=encoding
    )
    paths = sorted(str(path) for path in pathlib.Path(dataset_dir).glob('clothing_parsing-train.tfrecord-*'))
    parsed = [tf.io.parse_single_example(data, _MODEL_GARDEN_FEATURES) for data in tf.data.TFRecordDataset(paths)]
    ours = fake_data.read_split(dataset_dir, 'train')
    assert len(parsed) == len(ours) == 5
    for record, there in zip(ours, parsed, strict=True):
        number = re.fullmatch(r'img_(\d+)\.png', record.file_name).group(1)
        assert there['image/source_id'].numpy().decode() == number
        assert there['image/filename'].numpy().decode() == record.file_name
        assert there['image/format'].numpy().decode() == encoding
        assert there['image/segmentation/class/format'].numpy() == b'png'
        # As its parser does: a reshape to the stored height and width, which fails where they are those of the source.
        height, width = there['image/height'], there['image/width']
        image = tf.reshape(tf.io.decode_image(there['image/encoded'], channels=3), (height, width, 3)).numpy()
        mask = tf.io.decode_image(there['image/segmentation/class/encoded'], channels=1)
        assert image.shape == (32, 24, 3)
        # JPEG decoders differ in how they enlarge the colours.
        assert np.abs(image.astype(int) - record.image).mean() <= (0 if encoding == 'png' else 3)
        np.testing.assert_array_equal(tf.reshape(mask, (height, width)), record.mask)
        assert record.original_size == (48, 40)


def test_model_garden_has_the_pixels_of_the_default_and_is_no_tfds_data_set(tmp_path):
    dataset_dir = fake_data.make_dataset(tmp_path, num_pairs=6, schema='model_garden')
    for ours, default in zip(fake_data.read_split(dataset_dir, 'train'), _reference(tmp_path, 'train'), strict=True):
        np.testing.assert_array_equal(ours.image, default.image)
        np.testing.assert_array_equal(ours.mask, default.mask)
        assert ours.file_name == default.file_name
    names = {path.name for path in pathlib.Path(dataset_dir).iterdir()}
    assert not names & {'dataset_info.json', 'features.json', 'segmentation_mask.labels.txt'}
    assert manifest.read(dataset_dir).options['schema'] == 'model_garden'
    assert list(integrity.problems(dataset_dir)) == []


def test_array_record_by_tfds_and_by_its_own_module(tmp_path):
    dataset_dir = fake_data.make_dataset(
        tmp_path, num_pairs=6, file_format='array_record', num_shards='train:2,validation:1'
    )
    want = _reference(tmp_path, 'train')
    source = tfds.builder_from_directory(dataset_dir).as_data_source('train')
    found = {element['file_name'].decode(): element for element in (source[index] for index in range(len(source)))}
    assert found.keys() == {record.file_name for record in want}
    for record in want:
        np.testing.assert_array_equal(found[record.file_name]['image'], record.image)
        np.testing.assert_array_equal(found[record.file_name]['segmentation_mask'][..., 0], record.mask)
    paths = sorted(pathlib.Path(dataset_dir).glob('*-train.*'))
    assert [path.name for path in paths] == [
        f'clothing_parsing-train.array_record-0000{index}-of-00002' for index in range(2)
    ]
    payloads = [data for path in paths for data in array_record_module.ArrayRecordReader(str(path)).read_all()]
    names = [tf.train.Example.FromString(data).features.feature['file_name'].bytes_list.value[0] for data in payloads]
    assert [name.decode() for name in names] == [record.file_name for record in want]


def test_array_record_twice_is_the_same_bytes_and_verified(tmp_path):
    made = [
        fake_data.make_dataset(tmp_path / name, num_pairs=6, file_format='array_record', schema=schema)
        for name, schema in (('a', 'tfds'), ('b', 'tfds'), ('c', 'model_garden'))
    ]
    first, second, third = (manifest.read(dataset_dir) for dataset_dir in made)
    assert first.shards == second.shards
    assert 'array_record' in first.library_versions
    assert {shard.sha256 for shard in first.shards}.isdisjoint(shard.sha256 for shard in third.shards)
    assert [list(integrity.problems(dataset_dir)) for dataset_dir in made] == [[], [], []]
    path = pathlib.Path(first.shard_paths(made[0], 'train')[0])
    data = bytearray(path.read_bytes())
    data[data.index(b'IDAT') + 40] ^= 1
    path.write_bytes(data)
    file, record = integrity.problems(made[0])
    assert 'its SHA-256 is' in file
    assert re.search(r"record 0: Corrupted .* \(key '000\d'\)", record)


@pytest.mark.parametrize(('option', 'value'), [('schema', 'model_garden')])
def test_the_trainer_says_that_it_does_not_read_them(tmp_path, option, value):
    found = manifest.read(fake_data.make_dataset(tmp_path, **{option: value}))
    with pytest.raises(errors.UserError, match=f'was made with --{option}={value}, for other readers') as caught:
        config.Data.from_manifest(found)
    assert '\n' not in str(caught.value)
