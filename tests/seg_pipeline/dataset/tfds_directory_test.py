"""What TFDS's own files say of a data set, and what is said where they are damaged."""

import os
import pathlib
import shutil

import pytest

from seg_pipeline import errors, records
from seg_pipeline.dataset import manifest, tfds_directory
from seg_pipeline.dataset.tfds_directory import TfdsDirectory, TfdsSplit
from seg_pipeline.labels.label_map import LabelMap
from seg_pipeline.records.pair_features import PairFeatures
from tests import fake_data, fake_tfds


@pytest.fixture(name='made', scope='module')
def _made(tmp_path_factory):
    root = tmp_path_factory.mktemp('pets')
    return {name: pathlib.Path(fake_tfds.make(root / name, name)) for name in records.FORMATS_OF_TFDS}


@pytest.fixture(name='data_dir')
def _data_dir(made, tmp_path):
    return pathlib.Path(shutil.copytree(made['tfrecord'], tmp_path / 'fake_pet' / '1.0.0'))


def _split(path, name='train'):
    directory = TfdsDirectory.read(str(path))
    pair = PairFeatures('image', 'segmentation_mask', None, ())
    return TfdsSplit(directory, name, pair, (32, 32), LabelMap.default(('a', 'b', 'c')), -1)


@pytest.mark.parametrize('file_format', records.FORMATS_OF_TFDS)
def test_each_format(made, file_format):
    directory = TfdsDirectory.read(str(made[file_format]))
    assert (directory.name, directory.file_format) == ('fake_pet', file_format)
    assert {name: len(shards) for name, shards in directory.splits.items()} == {'train': 3, 'test': 3}
    for name, number in fake_tfds.SPLITS.items():
        split = _split(made[file_format], name)
        assert split.num_records == number
        split.check_shards()
        found = [payload.data for path in split.shard_paths for payload in records.payloads(path, file_format)]
        assert len(found) == number
        assert directory.file_names(name) == {f'{name}_{i}.jpg' for i in range(number)}


def test_it_is_one_only_without_a_manifest(data_dir, tmp_path):
    assert tfds_directory.is_one(str(data_dir))
    assert not tfds_directory.is_one(str(tmp_path))
    prepared = fake_data.make_dataset(tmp_path / 'prepared', num_pairs=5)
    assert not tfds_directory.is_one(prepared)
    os.remove(os.path.join(prepared, manifest.FILE_NAME))
    assert not tfds_directory.is_one(prepared)  # it is damaged, and must not pass for one that never had a manifest


@pytest.mark.parametrize('levels', [1, 2, 3])
def test_data_sets_are_found_below_a_directory(data_dir, tmp_path, levels):
    with_config = tmp_path / 'fake_pet' / 'small' / '2.0.0'
    shutil.copytree(data_dir, with_config)
    assert tfds_directory.versions_below([data_dir.parent, with_config.parents[1], tmp_path][levels - 1].__str__()) == [
        str(data_dir),
        str(with_config),
    ]
    assert tfds_directory.versions_below(str(data_dir)) == []


def _append(path):
    with path.open('ab') as file:
        file.write(b'\n')


def test_the_fingerprint_changes_with_what_describes_the_data(data_dir, tmp_path):
    before = TfdsDirectory.read(str(data_dir)).fingerprint
    assert TfdsDirectory.read(str(data_dir)).fingerprint == before
    copy = shutil.copytree(data_dir, tmp_path / 'elsewhere')
    assert TfdsDirectory.read(str(copy)).fingerprint == before
    for name in sorted(os.listdir(copy)):
        shutil.copytree(data_dir, copy, dirs_exist_ok=True)
        if name == 'label.labels.txt':
            (copy / name).write_text('cat\nfish\n')
        else:
            _append(copy / name)
        assert TfdsDirectory.read(str(copy)).fingerprint != before, name


@pytest.mark.parametrize('file_format', records.FORMATS_OF_TFDS)
def test_a_shard_that_is_cut_off_is_named_before_it_is_read(made, tmp_path, file_format):
    copy = pathlib.Path(shutil.copytree(made[file_format], tmp_path / 'cut'))
    path = sorted(copy.glob('*-train.*'))[1]
    os.truncate(path, path.stat().st_size - 7)
    with pytest.raises(errors.UserError, match=f'^{path}: .*; build the data set again$'):
        _split(copy).check_shards()


def test_a_shard_that_lacks_records_is_named(data_dir):
    paths = sorted(data_dir.glob('*-train.*'))
    paths[1].write_bytes(b'')
    with pytest.raises(errors.UserError, match=f'^{paths[1]}: 0 records, dataset_info.json says 3; build'):
        _split(data_dir).check_shards()
    paths[1].unlink()
    with pytest.raises(errors.UserError, match=f'^{paths[1]}: No such file'):
        _split(data_dir)


@pytest.mark.parametrize('name', ['dataset_info.json', 'features.json'])
@pytest.mark.parametrize('content', ['', '{', '[]', '{"a": 1}', '\x00', '{"pythonClassName": "no.such.Class"}'])
def test_damaged_files_are_refused_on_one_line(data_dir, name, content):
    (data_dir / name).write_text(content)
    with pytest.raises(errors.UserError, match=f'^{data_dir}: '):
        TfdsDirectory.read(str(data_dir)).split_shards('train')


def test_a_format_that_is_not_read_is_named(data_dir):
    path = data_dir / 'dataset_info.json'
    path.write_text(path.read_text().replace('"tfrecord"', '"riegeli"'))
    with pytest.raises(
        errors.UserError, match='its shards are riegeli files; the trainer reads tfrecord, array_record, parq'
    ):
        TfdsDirectory.read(str(data_dir))


def test_what_it_does_not_have_is_named(data_dir):
    with pytest.raises(errors.UserError, match=rf"^no split 'validation' in {data_dir}; its splits are train, test$"):
        _split(data_dir, 'validation')
    with pytest.raises(errors.UserError, match=r'a TFDS data set without statistics\.json.*--class_weights=none'):
        _split(data_dir).read_summary()
