"""From what the user typed to images with names and ground truths."""

import os

import numpy as np
import pytest

from seg_pipeline import errors, records
from seg_pipeline.dataset.dataset_split import DatasetSplit
from seg_pipeline.imaging import images, masks
from seg_pipeline.labels.label_map import LabelMap
from tests import fake_data
from trainer.inference import photos

READER = masks.MaskReader(LabelMap.default(('background', 'hat', 'coat')))


def write(directory, *names, size=(6, 5)):
    for name in names:
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        is_mask = 'seg' in name or 'mask' in name
        path.write_bytes(images.encode_png(np.ones(size if is_mask else (*size, 3), np.uint8)))


def names(found):
    return [file.name for file in found]


def test_a_directory_stands_for_all_images_below_it(tmp_path):
    write(tmp_path, 'b.png', 'a.JPG', 'sub/a.png', '.hidden.png')
    (tmp_path / 'notes.txt').write_text('x')

    assert names(photos.find(str(tmp_path))) == ['a', 'b', 'sub/a']


def test_a_pattern_names_images_below_the_directory_they_share(tmp_path):
    write(tmp_path, 'x/one/a.png', 'x/two/a.png', 'x/two/b.png')

    assert names(photos.find(f'{tmp_path}/x/**/a.png')) == ['one/a', 'two/a']
    assert names(photos.find(f'{tmp_path}/x/two/*.png')) == ['a', 'b']
    assert names(photos.find(f'{tmp_path}/x/two/b.png')) == ['b']


@pytest.mark.parametrize('pattern', ['nothing', 'nothing/*.png', '*.txt'])
def test_no_image_is_an_error(tmp_path, pattern):
    (tmp_path / 'notes.txt').write_text('x')
    with pytest.raises(errors.UserError, match='matches no image'):
        photos.find(f'{tmp_path}/{pattern}')


def test_two_images_of_one_name_are_an_error_that_names_both(tmp_path):
    write(tmp_path, 'a.png', 'a.jpg')
    with pytest.raises(errors.UserError, match=r'a\.jpg and .*a\.png would both become a\.png'):
        photos.find(str(tmp_path))


def test_ground_truths_are_paired_as_in_the_preparation(tmp_path):
    write(tmp_path, 'images/img_0001.png', 'images/img_0002.png', 'images/img_0003.png')
    write(tmp_path, 'masks/seg_0001.png', 'masks/seg_0003.png', 'masks/seg_0004.png')
    found = photos.find(f'{tmp_path}/images', f'{tmp_path}/masks')

    truths = [file.ground_truth for file in found]
    assert truths == [f'{tmp_path}/masks/seg_0001.png', None, f'{tmp_path}/masks/seg_0003.png']


def test_ground_truths_of_no_image_are_an_error(tmp_path):
    write(tmp_path, 'images/img_0001.png', 'masks/seg_0002.png')
    with pytest.raises(errors.UserError, match='no mask in --masks='):
        photos.find(f'{tmp_path}/images', f'{tmp_path}/masks')
    with pytest.raises(errors.UserError, match='no such directory'):
        photos.find(f'{tmp_path}/images', f'{tmp_path}/nothing')


def test_only_the_images_of_a_split(tmp_path):
    data_dir = fake_data.make_dataset(tmp_path, num_pairs=5)
    found = photos.find(f'{tmp_path}/source/images')
    parts = {
        split: names(photos.only_of_split(found, DatasetSplit.read(data_dir, split)))
        for split in ('train', 'validation')
    }
    for split, kept in parts.items():
        shards = sorted(path for path in os.listdir(data_dir) if f'-{split}.tfrecord' in path)
        records_of_split = [record for shard in shards for record in records.read(f'{data_dir}/{shard}')]
        assert kept == sorted(record.file_name.removesuffix('.png') for record in records_of_split)
    assert [len(part) for part in parts.values()] == [4, 1]
    with pytest.raises(errors.UserError, match=r"1 image, of which none is one of the 1 of split 'validation'"):
        photos.only_of_split([photos.ImageFile('else', 'else.png')], DatasetSplit.read(data_dir, 'validation'))


def test_ground_truths_whose_numbers_contradict_are_no_ground_truths(tmp_path):
    names = [f'{folder}/{year}_cam_{n}.png' for folder, year in (('images', 2019), ('masks', 2020)) for n in (1, 2)]
    for folder in ('images', 'masks'):
        (tmp_path / folder).mkdir()
    write(tmp_path, *names)
    with pytest.raises(errors.UserError, match=r'--masks=.*: image 2019_cam_1\.png and mask 2020_cam_1\.png would be'):
        photos.find(f'{tmp_path}/images', f'{tmp_path}/masks')


@pytest.mark.parametrize(
    ('most_images', 'most_pixels', 'expected'),
    [
        (16, 200, [['a', 'b', 'c', 'd', 'e']]),
        (2, 200, [['a', 'b'], ['c', 'd'], ['e']]),
        (16, 60, [['a', 'b'], ['c'], ['d'], ['e']]),  # two of 30 pixels; c has 100; d is none, and taken for 60
        (16, 1, [['a'], ['b'], ['c'], ['d'], ['e']]),
    ],
)
def test_batches_have_only_so_many_images_and_pixels(tmp_path, most_images, most_pixels, expected):
    write(tmp_path, 'a.png', 'b.png', 'e.png')
    write(tmp_path, 'c.png', size=(10, 10))
    (tmp_path / 'd.png').write_bytes(b'no image' if most_pixels == 60 else images.encode_png(np.ones((1, 1), np.uint8)))
    found = photos.find(str(tmp_path))

    assert [names(part) for part in photos.batches(found, most_images, most_pixels)] == expected


def test_an_image_and_its_ground_truth_are_read(tmp_path):
    write(tmp_path, 'a.png', 'mask.png')
    loaded = photos.load(photos.ImageFile('a', f'{tmp_path}/a.png', f'{tmp_path}/mask.png'), READER)

    assert loaded.image.shape == (6, 5, 3)
    assert (loaded.ground_truth == 1).all()
    assert photos.load(photos.ImageFile('a', f'{tmp_path}/a.png'), READER).ground_truth is None


def test_a_ground_truth_of_another_size_is_named_with_both_sizes(tmp_path):
    write(tmp_path, 'a.png')
    write(tmp_path, 'mask.png', size=(5, 6))
    with pytest.raises(images.RejectError, match=r'mask\.png is 5x6, its image .*a\.png is 6x5'):
        photos.load(photos.ImageFile('a', f'{tmp_path}/a.png', f'{tmp_path}/mask.png'), READER)
