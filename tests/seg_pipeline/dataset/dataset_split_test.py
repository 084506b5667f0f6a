"""A split says what its manifest says, and refuses a name that the data set does not have."""

import pathlib

import pytest

from seg_pipeline import errors, records
from seg_pipeline.dataset import manifest
from seg_pipeline.dataset.dataset_split import DatasetSplit
from tests import fake_data


@pytest.fixture(name='dataset_dir', scope='module')
def _dataset_dir(tmp_path_factory):
    return fake_data.make_dataset(tmp_path_factory.mktemp('data'), num_pairs=5, num_shards='train:2')


def test_it_describes_one_split_alone(dataset_dir):
    split = DatasetSplit.read(dataset_dir, 'train')

    assert split.num_records == 4
    assert [shard.split for shard in split.shards] == ['train', 'train']
    assert [pathlib.Path(path).name for path in split.shard_paths] == [shard.name for shard in split.shards]
    assert sum(len(list(records.read(path))) for path in split.shard_paths) == 4
    assert split.image_size == (32, 32)
    assert split.label_map == manifest.read(dataset_dir).label_map


def test_an_unknown_name_is_refused_when_it_is_made(dataset_dir):
    with pytest.raises(errors.UserError, match=r"no split 'test' in .* train, validation"):
        DatasetSplit.read(dataset_dir, 'test')
    with pytest.raises(errors.UserError, match="no split 'test'"):
        DatasetSplit(dataset_dir, manifest.read(dataset_dir), 'test')


def test_only_its_own_shards_are_checked(tmp_path):
    dataset_dir = fake_data.make_dataset(tmp_path, num_pairs=5)
    altered = pathlib.Path(DatasetSplit.read(dataset_dir, 'validation').shard_paths[0])
    altered.write_bytes(altered.read_bytes()[:-1])

    DatasetSplit.read(dataset_dir, 'train').check_shards()
    with pytest.raises(errors.UserError, match=altered.name):
        DatasetSplit.read(dataset_dir, 'validation').check_shards()
