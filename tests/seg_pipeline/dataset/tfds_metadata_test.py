"""TFDS reads class names, splits and pixels; the files depend on the arguments alone."""

import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds

from seg_pipeline import errors
from seg_pipeline.dataset import tfds_metadata
from seg_pipeline.dataset.tfds_metadata import Card, SplitShards
from seg_pipeline.imaging import images
from seg_pipeline.labels import label_map
from seg_pipeline.records import example_proto, tfrecord

_LABELS = label_map.LabelMap.default(('null', 'skin', 'coat'))
_SIZE = (6, 4)


def _write_metadata(directory: pathlib.Path, shards: list[SplitShards]) -> tuple[str, ...]:
    return tfds_metadata.write(
        directory,
        name='people',
        version='1.2.3',
        image_size=_SIZE,
        label_map=_LABELS,
        image_encoding='png',
        shards=shards,
        card=Card('Two people.', citation='@article{a}', license='MIT', homepage='https://example.org'),
    )


def _pixels(number: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(number)
    mask = rng.choice(np.array([0, 1, 2, 255], np.uint8), _SIZE)
    return rng.integers(0, 256, (*_SIZE, 3), dtype=np.uint8), mask


def _write_shard(path: pathlib.Path, numbers: list[int]) -> int:
    with open(path, 'wb') as file:
        writer = tfrecord.FrameWriter(file)
        for number in numbers:
            photo, mask = _pixels(number)
            example = {
                'image': images.encode_png(photo),
                'segmentation_mask': images.encode_png(mask),
                'file_name': f'é {number}.png'.encode(),
                'original_height': 600 + number,
                'original_width': 400,
            }
            writer.write(example_proto.serialize(example))
    return writer.payload_bytes


def _make(directory: pathlib.Path) -> None:
    train = [
        _write_shard(directory / 'people-train.tfrecord-00000-of-00002', [0, 1]),
        _write_shard(directory / 'people-train.tfrecord-00001-of-00002', [2]),
    ]
    test = _write_shard(directory / 'people-test.tfrecord-00000-of-00001', [3])
    _write_metadata(directory, [('train', [2, 1], sum(train)), ('test', [1], test)])


def test_tfds_reads_names_splits_and_pixels(tmp_path: pathlib.Path) -> None:
    _make(tmp_path)
    builder = tfds.builder_from_directory(str(tmp_path))
    info = builder.info
    assert info.full_name == 'people/6x4/1.2.3'
    assert info.description == 'Two people.'
    assert info.citation == '@article{a}'
    assert info.homepage == 'https://example.org'
    assert info.supervised_keys == ('image', 'segmentation_mask')
    assert info.features['segmentation_mask'].names == ['null', 'skin', 'coat']
    assert {name: split.num_examples for name, split in info.splits.items()} == {'train': 3, 'test': 1}
    for split, numbers in (('train', [0, 1, 2]), ('test', [3])):
        read = list(builder.as_dataset(split=split).as_numpy_iterator())
        assert len(read) == len(numbers)
        for example, number in zip(read, numbers, strict=True):
            photo, mask = _pixels(number)
            np.testing.assert_array_equal(example['image'], photo)
            np.testing.assert_array_equal(example['segmentation_mask'][..., 0], mask)
            assert example['file_name'].decode() == f'é {number}.png'
            assert example['original_height'] == 600 + number
            assert example['original_width'] == 400


def test_as_supervised_gives_image_and_mask(tmp_path: pathlib.Path) -> None:
    _make(tmp_path)
    dataset = tfds.builder_from_directory(str(tmp_path)).as_dataset(split='test', as_supervised=True)
    ((image, mask),) = dataset.as_numpy_iterator()
    assert image.shape == (6, 4, 3)
    assert mask.shape == (6, 4, 1)
    assert image.dtype == mask.dtype == np.uint8


def test_the_files_are_the_same_in_every_process(tmp_path: pathlib.Path) -> None:
    code = """
import pathlib, sys
sys.path.insert(0, sys.argv[2])
import tfds_metadata_test as test
names = test._write_metadata(pathlib.Path(sys.argv[1]), [('train', [2, 1], 77)])
assert 'tensorflow' not in sys.modules, 'writing metadata imported TensorFlow'
assert {path.name for path in pathlib.Path(sys.argv[1]).iterdir()} == set(names), names
"""
    found = []
    for seed in ('1', '2'):
        directory = tmp_path / seed
        directory.mkdir()
        command = [sys.executable, '-c', code, str(directory), str(pathlib.Path(__file__).parent)]
        subprocess.run(
            command, check=True, env={'PYTHONHASHSEED': seed, 'PYTHONPATH': ':'.join(filter(None, sys.path))}
        )
        found.append({path.name: path.read_bytes() for path in directory.iterdir()})
    assert found[0] == found[1]
    assert tfds_metadata.COMMIT_FILE in found[0]


@pytest.mark.parametrize(
    ('names', 'problem'),
    [(('null', 'hat', 'hat'), 'classes 1 and 2'), (('null', ''), 'class 1'), (('null', 'a\nb'), 'class 1')],
)
def test_names_that_tfds_cannot_keep_are_refused(names: tuple[str, ...], problem: str) -> None:
    with pytest.raises(errors.UserError, match=problem):
        tfds_metadata.features(_SIZE, label_map.LabelMap.default(names), 'png')
