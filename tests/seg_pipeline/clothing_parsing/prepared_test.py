"""What the registered builder finds on the disk: any config and version; and it asks nothing of the net by itself."""

import json
import pathlib
import pickle
import shutil
import socket
import subprocess
import sys

import pytest
import tensorflow_datasets as tfds

import seg_pipeline.clothing_parsing  # registers the builder
from seg_pipeline import errors
from seg_pipeline.synthetic import pair_set
from tests import fake_data
from tests.seg_pipeline.dataset import forgery

_NAME = 'clothing_parsing'
# The layouts of a data directory, by the data sets in it.
_LAYOUTS = {
    'none': (),
    '1.0.0': ('128x128:1.0.0',),
    '1.0.1': ('128x128:1.0.1',),
    'both': ('128x128:1.0.0', '128x128:1.0.1'),
    'ten': ('128x128:1.0.9', '128x128:1.0.10'),
    'other size': ('8x6:1.0.1',),
    'groups': ('9groups_8x6:2.0.0',),
    'odd name': ('odd:1.0.1',),
    'two sizes': ('128x128:1.0.0', '8x6:1.0.0'),
    'two sizes, two versions': ('128x128:1.0.0', '128x128:1.0.1', '8x6:1.0.0', '8x6:1.0.1'),
    'a version in one size': ('128x128:1.0.0', '8x6:1.0.1'),
    'damaged': ('128x128:1.0.0', '128x128:1.0.1 damaged'),
    'damaged alone': ('128x128:1.0.0 damaged',),
    'work': ('8x6:1.0.0', '.work:1.0.1', '8x6:.work'),
}
_SEVERAL = 'has several configs of clothing_parsing: '
_MISSING = 'downloads nothing by itself'
# What each name leads to, or how its message says that it leads to nothing.
_EXPECTED = {
    'none': {'': _MISSING, '/128x128': _MISSING, ':1.0.1': 'has no version 1.0.1', ':1.*.*': _MISSING},
    '1.0.0': {
        '': '128x128:1.0.0',
        '/128x128': '128x128:1.0.0',
        ':1.0.0': '128x128:1.0.0',
        ':1.0.1': 'has no version 1.0.1 of clothing_parsing; there is 128x128:1.0.0',
        '/128x128:1.0.1': 'has no version 1.0.1 of clothing_parsing/128x128; there is 128x128:1.0.0',
        ':1.*.*': '128x128:1.0.0',
        '/8x6': 'has no clothing_parsing/8x6; there is 128x128:1.0.0',
    },
    '1.0.1': {
        '': '128x128:1.0.1',
        '/128x128': '128x128:1.0.1',
        ':1.0.1': '128x128:1.0.1',
        ':1.0.0': 'has no version 1.0.0 of clothing_parsing; there is 128x128:1.0.1',
        '/128x128:1.0.1': '128x128:1.0.1',
        ':1.*.*': '128x128:1.0.1',
        ':2.*.*': 'has no version 2.*.* of clothing_parsing; there is 128x128:1.0.1',
    },
    'both': {
        '': '128x128:1.0.1',
        ':1.0.0': '128x128:1.0.0',
        ':1.0.1': '128x128:1.0.1',
        '/128x128:1.0.0': '128x128:1.0.0',
        ':1.*.*': '128x128:1.0.1',
    },
    'ten': {'': '128x128:1.0.10', ':1.*.*': '128x128:1.0.10', ':1.0.9': '128x128:1.0.9'},
    'other size': {'': '8x6:1.0.1', '/8x6': '8x6:1.0.1', ':1.0.1': '8x6:1.0.1', '/8x6:1.*.*': '8x6:1.0.1'},
    'groups': {'': '9groups_8x6:2.0.0', '/9groups_8x6': '9groups_8x6:2.0.0', ':2.0.0': '9groups_8x6:2.0.0'},
    'odd name': {'': 'odd:1.0.1', '/odd': 'odd:1.0.1', ':1.0.1': 'odd:1.0.1'},
    'two sizes': {
        '': f'{_SEVERAL}128x128:1.0.0, 8x6:1.0.0; name one',
        ':1.0.0': _SEVERAL,
        ':1.*.*': _SEVERAL,
        '/128x128': '128x128:1.0.0',
        '/8x6': '8x6:1.0.0',
        '/8x6:1.0.1': 'has no version 1.0.1 of clothing_parsing/8x6; there is 128x128:1.0.0, 8x6:1.0.0',
    },
    'two sizes, two versions': {
        '': f'{_SEVERAL}128x128:1.0.0, 128x128:1.0.1, 8x6:1.0.0, 8x6:1.0.1; name one',
        ':1.0.1': f'{_SEVERAL}128x128:1.0.1, 8x6:1.0.1; name one',
        '/128x128': '128x128:1.0.1',
        '/8x6:1.0.0': '8x6:1.0.0',
        '/8x6:1.*.*': '8x6:1.0.1',
    },
    'a version in one size': {'': _SEVERAL, ':1.0.1': '8x6:1.0.1', ':1.0.0': '128x128:1.0.0', '/8x6': '8x6:1.0.1'},
    'damaged': {'': '128x128:1.0.0', ':1.0.1': 'has no version 1.0.1', ':1.*.*': '128x128:1.0.0'},
    'damaged alone': {'': _MISSING, '/128x128': _MISSING, ':1.0.0': _MISSING},
    'work': {'': '8x6:1.0.0', ':1.*.*': '8x6:1.0.0', ':1.0.1': 'has no version 1.0.1'},
}


@pytest.fixture(scope='module')
def small(tmp_path_factory):
    """A data set of two small pairs for each file format."""
    return {
        file_format: pathlib.Path(
            fake_data.make_dataset(
                tmp_path_factory.mktemp(file_format), num_pairs=5, image_size=(8, 6), file_format=file_format
            )
        )
        for file_format in ('tfrecord', 'array_record')
    }


@pytest.fixture(autouse=True)
def network(monkeypatch):
    """Whatever would leave this process by a socket, which fails."""
    asked = []

    def refuse(*arguments, **_):
        asked.append(arguments)
        raise AssertionError(f'the network was asked for {arguments}')

    monkeypatch.setattr(socket.socket, 'connect', refuse)
    monkeypatch.setattr(socket, 'getaddrinfo', refuse)
    yield asked
    assert asked == []


def _copy(source, data_dir, name):
    """Puts a data set at `config:version`, or one without its first file at `config:version damaged`."""
    config, _, version = name.partition(':')
    version, _, damaged = version.partition(' ')
    target = data_dir / _NAME / config / version
    shutil.copytree(source, target)
    info = json.loads((target / 'dataset_info.json').read_text())
    (target / 'dataset_info.json').write_text(json.dumps({**info, 'version': version, 'configName': config}))
    if damaged:
        (target / 'dataset_info.json').unlink()


def _found(builder):
    return '{}:{}'.format(*pathlib.Path(builder.data_dir).parts[-2:])


@pytest.mark.parametrize(
    ('layout', 'name', 'expected'),
    [(layout, name, expected) for layout, names in _EXPECTED.items() for name, expected in names.items()],
)
def test_what_is_on_the_disk_is_found(small, tmp_path, layout, name, expected):
    for prepared in _LAYOUTS[layout]:
        _copy(small['tfrecord'], tmp_path, prepared)
    before = sorted(tmp_path.rglob('*'))
    if expected.partition(' ')[0] in _LAYOUTS[layout]:
        assert _found(tfds.builder(_NAME + name, data_dir=tmp_path)) == expected
        data, info = tfds.load(_NAME + name, data_dir=str(tmp_path), with_info=True)
        assert _found(info) == expected
        assert {split: len(list(dataset)) for split, dataset in data.items()} == {'train': 4, 'validation': 1}
        directory = tmp_path.joinpath(_NAME, *expected.split(':'))
        assert len(list(tfds.builder_from_directory(directory).as_dataset(split='train'))) == 4
    else:
        with pytest.raises(errors.UserError) as caught:
            tfds.load(_NAME + name, data_dir=str(tmp_path))
        assert expected in str(caught.value)
        assert str(tmp_path) in str(caught.value)
    assert sorted(tmp_path.rglob('*')) == before


def test_a_version_may_be_an_argument(small, tmp_path):
    for prepared in _LAYOUTS['both']:
        _copy(small['tfrecord'], tmp_path, prepared)
    for version in ('experimental_latest', '1.0.1', '1.*.*', None):
        assert _found(tfds.builder(_NAME, data_dir=tmp_path, version=version)) == '128x128:1.0.1'
    builder = tfds.builder_cls(_NAME)
    for config in ('128x128', builder.BUILDER_CONFIGS[0], None):
        found = builder(data_dir=tmp_path, config=config, version=tfds.core.Version('1.0.0'))
        assert _found(found) == '128x128:1.0.0'
    assert _found(pickle.loads(pickle.dumps(found))) == '128x128:1.0.0'


@pytest.mark.parametrize('name', ['', '/8x6', ':1.0.1'])
def test_array_records_are_found_too(small, tmp_path, name):
    _copy(small['array_record'], tmp_path, '8x6:1.0.1')
    found = tfds.data_source(_NAME + name, data_dir=str(tmp_path), split='train')
    assert len(found) == 4
    assert {found[i]['image'].shape for i in range(4)} == {(8, 6, 3)}


def test_the_home_directory_and_the_default_directory(small, tmp_path, monkeypatch):
    _copy(small['tfrecord'], tmp_path / 'tensorflow_datasets', '8x6:1.0.1')
    monkeypatch.setenv('HOME', str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for data_dir in ('~/tensorflow_datasets', pathlib.Path('~/tensorflow_datasets')):
        for name in ('', ':1.0.1', '/8x6'):
            assert len(list(tfds.load(_NAME + name, data_dir=data_dir, split='train'))) == 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ['tensorflow_datasets']


_HUGE = [
    '1000000000',
    '2147483647',
    '2147483648',
    '4294967296',
    '9223372036854775807',
    '9223372036854775808',
    '-1',
    '0',
]


def _numbers_of_tfds():
    """Where TFDS's files say a number that decides how much it reads: file, and the way to the member."""
    features = ('featuresDict', 'features')
    for split in (0, 1):
        yield 'dataset_info.json', ('splits', split, 'shardLengths', 0)
    for place in range(3):
        yield 'features.json', (*features, 'image', 'image', 'shape', 'dimensions', place)
        yield 'features.json', (*features, 'segmentation_mask', 'image', 'shape', 'dimensions', place)
    yield 'features.json', (*features, 'segmentation_mask', 'image', 'label', 'numClasses')


@pytest.mark.parametrize(('name', 'way'), list(_numbers_of_tfds()))
def test_a_forged_number_is_refused_before_anything_is_read(small, tmp_path, name, way):
    _copy(small['tfrecord'], tmp_path, '8x6:1.0.1')
    path = tmp_path / _NAME / '8x6/1.0.1' / name
    for number in _HUGE:
        value = parent = json.loads(path.read_text())
        for key in way[:-1]:
            parent = parent[key]
        parent[way[-1]] = number
        path.write_text(json.dumps(value))
        with pytest.raises(errors.UserError, match=rf'{name}: .*{number}.*, the manifest (says )?\S.*; `python -m '):
            tfds.load(_NAME, data_dir=tmp_path)


def test_a_forged_manifest_is_refused_before_anything_is_read(small, tmp_path):
    _copy(small['tfrecord'], tmp_path, '8x6:1.0.1')

    def change(value):
        value['options']['image_size'], value['config_name'] = [10**9, 10**9], '1000000000x1000000000'

    forgery.change_manifest(tmp_path / _NAME / '8x6/1.0.1', change)
    with pytest.raises(errors.UserError, match=r'manifest\.json: damaged: options\.image_size is \[1000000000, '):
        tfds.load(_NAME, data_dir=tmp_path)


_LOAD_EACH = """
import os, pathlib, sys
import tensorflow_datasets as tfds, seg_pipeline.clothing_parsing
from seg_pipeline import errors
directory, data_dir = pathlib.Path(sys.argv[1]), sys.argv[2]
for path in sorted(path for path in directory.iterdir() if path.is_file()):
    for make in (os.mkfifo, os.mkdir, lambda path: os.symlink('/dev/zero', path), lambda path: os.symlink('a', path)):
        path.rename(directory.parent / 'kept')
        make(path)
        try:
            print(len(list(tfds.load('clothing_parsing', data_dir=data_dir, split='train'))), path.name)
        except errors.UserError as error:
            print(str(error).partition(': ')[2])
        path.rmdir() if path.is_dir() else path.unlink()
        (directory.parent / 'kept').rename(path)
"""


def test_what_is_no_regular_file_is_refused_before_it_is_opened(small, tmp_path):
    """In a process of its own, which a pipe would make wait for ever."""
    _copy(small['tfrecord'], tmp_path, '8x6:1.0.1')
    directory = tmp_path / _NAME / '8x6/1.0.1'
    names = sorted(path.name for path in directory.iterdir() if path.is_file())
    command = [sys.executable, '-c', _LOAD_EACH, directory, tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    refusal = f'not a regular file; `python -m seg_pipeline.verify {directory}` names every damage'
    wanted = []
    for name in names:
        opened = ('clothing_parsing-', 'dataset_info', 'features', 'manifest', 'segmentation_mask.labels')
        wanted += [f'{directory}/{name}: {refusal}'] * 4
        if not name.startswith(opened):  # a directory of that name is no concern of TFDS, such as `report`
            wanted[-3] = f'4 {name}'
    assert [line.partition('}": ')[2] or line for line in done.stdout.splitlines()] == wanted


@pytest.mark.parametrize('named', [True, False], ids=['TFDS_DATA_DIR', 'HOME'])
def test_without_a_data_dir(small, tmp_path, named):
    """In a process of its own: TFDS reads its variables once."""
    directory = tmp_path / ('mine' if named else 'tensorflow_datasets')
    _copy(small['tfrecord'], directory, '8x6:1.0.1')
    code = """
import tensorflow_datasets as tfds, seg_pipeline.clothing_parsing
print(tfds.builder('clothing_parsing').data_dir)
print(len(list(tfds.load('clothing_parsing', split='train'))))
"""
    variables = {'HOME': str(tmp_path), 'PATH': '/usr/bin:/bin', **({'TFDS_DATA_DIR': str(directory)} if named else {})}
    done = subprocess.run([sys.executable, '-c', code], env=variables, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(directory / _NAME / '8x6/1.0.1'), '4']


def test_load_prepares_what_is_in_the_manual_directory(tmp_path):
    """TFDS's own place for what a user brought: nothing has to be downloaded for it."""
    pair_set.write(str(tmp_path / 'downloads' / 'manual'), num_pairs=5, seed=3)
    data = tfds.load(f'{_NAME}/8x6', data_dir=str(tmp_path))
    assert sum(len(list(split)) for split in data.values()) == 5


@pytest.mark.parametrize('kwargs', [{}, {'download_dir': 'x'}], ids=['no arguments', 'arguments'])
def test_download_and_prepare_downloads(tmp_path, monkeypatch, network, kwargs):
    """The first word of a program that asks for the download reaches the downloader."""
    asked = []

    def download(_, url):
        asked.append(url)
        raise ConnectionError('no network')

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tfds.download.DownloadManager, 'download', download)
    with pytest.raises(ConnectionError):
        tfds.builder(_NAME, data_dir=tmp_path).download_and_prepare(**kwargs)
    arguments = {'download_config': tfds.download.DownloadConfig()}
    with pytest.raises(ConnectionError):
        tfds.load(_NAME, data_dir=tmp_path, download_and_prepare_kwargs=arguments)
    assert asked == [seg_pipeline.clothing_parsing.clothing_parsing_dataset_builder.source.ARCHIVE_URL] * 2
