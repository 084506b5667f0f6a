"""Data sets made by somebody who means harm: all digests are right, and names, types and files are not.

Nothing outside of the data set is read or written, nothing waits for ever, and every command says it in one line.
"""

import contextlib
import copy
import json
import os
import pathlib
import random
import shutil
import socket
import tracemalloc

import pytest

from seg_pipeline import errors
from seg_pipeline.building import existing, repair
from seg_pipeline.building.config import BuildConfig, RecordOptions, SourceFolders
from seg_pipeline.dataset import integrity, manifest, provenance, record_index
from seg_pipeline.dataset.dataset_split import DatasetSplit
from seg_pipeline.labels import label_map
from seg_pipeline.planning import splits
from seg_pipeline.planning.pairing import SourcePair
from seg_pipeline.planning.split_options import SplitOptions
from tests import fake_data
from tests.seg_pipeline.dataset import forgery
from trainer import config as trainer_config

_PAIRS = [SourcePair(f'{n:04d}', f'img_{n:04d}.png', f'seg_{n:04d}.png') for n in range(1, 5)]


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
    root = tmp_path_factory.mktemp('data')
    fake_data.make_dataset(root, num_pairs=4, image_size=(8, 8))
    return root


@pytest.fixture
def root(whole, tmp_path):
    return pathlib.Path(shutil.copytree(whole, tmp_path / 'copy'))


@pytest.fixture
def dataset_dir(root):
    return root / 'clothing_parsing/8x8/1.0.0'


def _shard_name(dataset_dir):
    return next(path.name for path in dataset_dir.glob('*train*'))


def _verify(dataset_dir):
    return list(integrity.problems(str(dataset_dir)))


def _repair(dataset_dir):
    source = dataset_dir.parents[2] / 'source'
    return list(repair.repair(str(dataset_dir), str(source / 'images'), str(source / 'masks')))


def _train(dataset_dir):
    found = trainer_config.read_manifest(str(dataset_dir))
    trainer_config.Data.from_manifest(found)
    for split in found.split_names:
        DatasetSplit(str(dataset_dir), found, split).check_shards()


def _prepare(dataset_dir):
    root = dataset_dir.parents[2]
    source = root / 'source'
    labels = label_map.read(str(source / 'labels.csv'))
    config = BuildConfig(
        SourceFolders(str(source / 'images'), str(source / 'masks')),
        str(root),
        RecordOptions(labels, image_size=(8, 8)),
        split_options=SplitOptions(splits.parse_fractions('train:0.8,validation:0.2')).to_json(),
    )
    return existing.compare(config, _PAIRS)


def _read_all(dataset_dir):
    """Every reader of a published file that is not in the commands above."""
    for read in (provenance.read, record_index.read_rejects, lambda there: list(record_index.of(there))):
        _one_line(read, str(dataset_dir))


def _one_line(command, *arguments):
    """What a command returns; None if it ends with an error for the user. Any other exception fails the test."""
    with contextlib.suppress(errors.UserError, errors.OutsideError):
        return command(*arguments)


_NAMES = [
    '../../../../victim/notes.txt',
    '/etc/hostname',
    '..',
    '',
    '.',
    './x',
    'report//x',
    'report/../../x',
    'a\0b',
    'a\nb',
    'manifest.json',
    'records.jsonl',
]


@pytest.mark.parametrize('name', _NAMES)
@pytest.mark.parametrize('what', ['shard', 'file'])
def test_a_name_that_leaves_the_data_set_is_damage_to_every_command(dataset_dir, tmp_path, name, what):
    victim = tmp_path / 'victim' / 'notes.txt'
    victim.parent.mkdir()
    victim.write_text('mine')

    def change(value):
        if what == 'shard':
            value['shards'][0]['name'] = name
        else:
            value['files'][name] = {'num_bytes': 1, 'sha256': 'f' * 64}
            if name == 'records.jsonl':
                value['shards'][0]['name'] = name

    forgery.change_manifest(dataset_dir, change)
    (problem,) = _verify(dataset_dir)
    assert problem.startswith(f'{dataset_dir}/manifest.json: damaged: ')
    assert len(problem.splitlines()) == 1
    for command in (_repair, _train, _prepare):
        with pytest.raises(errors.UserError, match=r'manifest\.json: damaged: '):
            command(dataset_dir)
    assert victim.read_text() == 'mine'
    assert [path.name for path in victim.parent.iterdir()] == ['notes.txt']


@pytest.mark.parametrize('name', ['../secret.png', '/etc/hostname', '', 'a\0b', 'sub/../../secret.png'])
@pytest.mark.parametrize('what', ['image', 'mask'])
def test_a_source_outside_of_the_folders_is_never_read(dataset_dir, name, what):
    shutil.copy(dataset_dir.parents[2] / 'source/images/img_0001.png', dataset_dir.parents[2] / 'source/secret.png')
    first, *others = (dataset_dir / 'records.jsonl').read_text().splitlines()
    line = json.dumps({**json.loads(first), what: name}, sort_keys=True)
    forgery.replace_file(dataset_dir, 'records.jsonl', '\n'.join([line, *others, '']).encode())
    (dataset_dir / _shard_name(dataset_dir)).unlink()
    assert any(f'records.jsonl: damaged: line 1: {what} ' in problem for problem in _verify(dataset_dir))
    with pytest.raises(errors.UserError, match=r'records\.jsonl: damaged: line 1: '):
        _repair(dataset_dir)


def test_dataset_info_names_no_other_file_than_the_shards(dataset_dir):
    info = json.loads((dataset_dir / 'dataset_info.json').read_text())
    for key, value in (
        ('filepathTemplate', '../../{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}'),
        ('filepathTemplate', '/etc/hostname'),
        ('name', '../train'),
        ('shardLengths', ['4', '4']),
    ):
        changed = copy.deepcopy(info)
        changed['splits'][0][key] = value
        forgery.replace_file(dataset_dir, 'dataset_info.json', json.dumps(changed).encode())
        (problem,) = _verify(dataset_dir)
        assert problem.startswith(f'{dataset_dir}/dataset_info.json: split ')
    for key in ('name', 'version', 'configName'):
        forgery.replace_file(dataset_dir, 'dataset_info.json', json.dumps({**info, key: '../x'}).encode())
        (problem,) = _verify(dataset_dir)
        assert problem.startswith(f"{dataset_dir}/dataset_info.json: {key} is '../x', the manifest says ")


def _make_pipe(path):
    os.mkfifo(path)


def _make_socket(path):
    with socket.socket(socket.AF_UNIX) as server:
        here = os.open(path.parent, os.O_RDONLY)  # the path of a socket has at most 107 bytes
        server.bind(f'/proc/self/fd/{here}/{path.name}')
        os.close(here)


@pytest.mark.parametrize('make', [_make_pipe, _make_socket, pathlib.Path.mkdir], ids=['pipe', 'socket', 'directory'])
@pytest.mark.parametrize('name', ['SHARD', 'records.jsonl', 'rejected.jsonl', 'manifest.json', 'statistics.json'])
def test_what_is_no_regular_file_is_named_and_never_opened(dataset_dir, make, name):
    name = _shard_name(dataset_dir) if name == 'SHARD' else name
    (dataset_dir / name).unlink()
    make(dataset_dir / name)
    problems = _verify(dataset_dir)
    assert any(name in problem and 'not a regular file' in problem for problem in problems)
    for command in (_train, _prepare):
        _one_line(command, dataset_dir)
    _read_all(dataset_dir)
    if name == _shard_name(dataset_dir):
        for command in (_train, _prepare):
            with pytest.raises(errors.UserError, match='not a regular file'):
                command(dataset_dir)
    _one_line(_repair, dataset_dir)


@pytest.mark.parametrize('name', ['SHARD', 'records.jsonl', 'statistics.json', 'report', 'manifest.json'])
def test_a_link_inside_a_data_set_is_named_and_not_written_through(dataset_dir, tmp_path, name):
    name = _shard_name(dataset_dir) if name == 'SHARD' else name
    elsewhere = tmp_path / 'elsewhere'
    shutil.move(dataset_dir / name, elsewhere)
    (dataset_dir / name).symlink_to(elsewhere)
    before = elsewhere.stat()
    (problem,) = _verify(dataset_dir)
    assert problem == f'{dataset_dir / name}: is a symbolic link; a data set has its files itself'
    found = _repair(dataset_dir)
    after = elsewhere.stat()
    assert (before.st_mtime_ns, before.st_ino) == (after.st_mtime_ns, after.st_ino)
    if name in (_shard_name(dataset_dir), 'statistics.json'):
        assert [file.refusal for file in found] == [None]
        assert _verify(dataset_dir) == []
    if name == 'report':
        assert 'symbolic link' in found[0].refusal


def test_links_and_directories_that_no_one_knows_are_named(dataset_dir, tmp_path):
    (dataset_dir / 'empty').mkdir()
    (dataset_dir / 'report' / 'more').symlink_to(tmp_path, target_is_directory=True)
    (dataset_dir / 'loop').symlink_to(dataset_dir, target_is_directory=True)
    (dataset_dir / 'nowhere').symlink_to('nothing')
    os.mkfifo(dataset_dir / 'pipe')
    link = 'is a symbolic link; a data set has its files itself'
    assert sorted(_verify(dataset_dir)) == [
        f'{dataset_dir}/empty: is not in the manifest',
        f'{dataset_dir}/loop: {link}',
        f'{dataset_dir}/nowhere: {link}',
        f'{dataset_dir}/pipe: is not in the manifest',
        f'{dataset_dir}/report/more: {link}',
    ]


def _make_loop(path):
    path.symlink_to(path.parent, target_is_directory=True)


def _make_link_to_a_folder(path):
    path.symlink_to(path.parents[3], target_is_directory=True)


def _make_link_to_nothing(path):
    path.symlink_to('nothing')


def _make_folder_with_a_file(path):
    path.mkdir()
    (path / 'a').write_bytes(b'')


_LINKS = (_make_loop, _make_link_to_a_folder, _make_link_to_nothing)


@pytest.mark.parametrize('name', ['x', 'report/x'])
@pytest.mark.parametrize(
    'make', [*_LINKS, pathlib.Path.mkdir, _make_folder_with_a_file, pathlib.Path.touch, _make_pipe]
)
def test_the_same_command_again_names_what_verify_names(dataset_dir, make, name):
    assert _prepare(dataset_dir).difference is None
    make(dataset_dir / name)
    problem = next(iter(_verify(dataset_dir)))
    link = 'is a symbolic link; a data set has its files itself'
    assert problem == f'{dataset_dir / name}: {link if make in _LINKS else "is not in the manifest"}'
    found = _prepare(dataset_dir)
    assert (found.difference, found.rejects_difference) == (None, None)
    more = ', and 1 more such' if make is _make_folder_with_a_file else ''
    assert found.warnings == (f'{problem}{more}: left alone',)


def test_the_same_command_again_refuses_a_manifest_that_is_a_link(dataset_dir, tmp_path):
    shutil.move(dataset_dir / 'manifest.json', tmp_path / 'elsewhere')
    (dataset_dir / 'manifest.json').symlink_to(tmp_path / 'elsewhere')
    with pytest.raises(errors.UserError, match=r'manifest\.json: is a symbolic link; .*; put the file there$'):
        _prepare(dataset_dir)


def _set(**members):
    """Changes members of a JSON object; those of the first line of a file of lines."""

    def change(data):
        first, newline, rest = data.partition(b'\n') if data.startswith(b'{"') else (data, b'', b'')
        return json.dumps({**json.loads(first), **members}, sort_keys=True).encode() + newline + rest

    return change


def _set_split(**members):
    def change(data):
        info = json.loads(data)
        info['splits'][0].update(members)
        return json.dumps(info).encode()

    return change


@pytest.mark.parametrize(
    ('name', 'change'),
    [
        ('records.jsonl', _set(shard='../../x')),
        ('records.jsonl', _set(shard='/etc/hostname')),
        ('records.jsonl', _set(split='other')),
        ('records.jsonl', _set(index=7)),
        ('records.jsonl', _set(image='../x')),
        ('records.jsonl', lambda data: data[data.index(b'\n') + 1 :]),
        ('records.jsonl', lambda data: b''.join(reversed(data.splitlines(keepends=True)))),
        ('dataset_info.json', _set(name='other')),
        ('dataset_info.json', _set(version='1.0.1')),
        ('dataset_info.json', _set(configName='9x9')),
        ('dataset_info.json', _set(splits=[])),
        ('dataset_info.json', _set_split(name='other')),
        ('dataset_info.json', _set_split(shardLengths=['1'])),
        ('dataset_info.json', _set_split(filepathTemplate='../{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}')),
        ('segmentation_mask.labels.txt', lambda data: b'\n'.join(reversed(data.splitlines()))),
        ('provenance.json', lambda data: b'{}'),
        ('statistics.json', lambda data: b'{}'),
        ('duplicates.json', lambda data: b'{}'),
        ('rejected.jsonl', lambda data: b'{}\n'),
        ('features.json', lambda data: b'[]'),
    ],
)
def test_the_same_command_again_names_contents_that_contradict_the_manifest(dataset_dir, name, change):
    forgery.replace_file(dataset_dir, name, change((dataset_dir / name).read_bytes()))
    wanted = [f'{problem}; remove {dataset_dir} and run the command again' for problem in _verify(dataset_dir)]
    with pytest.raises(errors.UserError) as caught:
        _prepare(dataset_dir)
    assert str(caught.value) in wanted
    assert f'{dataset_dir}/{name}: ' in str(caught.value)


def test_the_same_command_again_wants_a_manifest_that_names_the_index(dataset_dir):
    forgery.change_manifest(dataset_dir, lambda value: value['files'].pop('records.jsonl'))
    with pytest.raises(errors.UserError, match=r'the manifest does not name records\.jsonl; remove '):
        _prepare(dataset_dir)


def test_a_data_set_is_read_through_a_link_to_its_directory(dataset_dir, tmp_path):
    (tmp_path / 'current').symlink_to(dataset_dir)
    assert _verify(tmp_path / 'current') == []


def test_an_empty_directory_is_called_empty(tmp_path):
    for command in (_verify, _train, _repair):
        with pytest.raises(errors.UserError, match='no data set: the directory is empty; remove it'):
            command(tmp_path)


# Any JSON that may stand in the place of another.
_VALUES = [
    None,
    [],
    {},
    10**40,
    -1,
    0,
    True,
    0.5,
    'x',
    '',
    '../x',
    '\ud800',
    ['x'],
    [[]],
    {'': None},
    2**63 - 1,
    [None],
]


def _nodes(value, path=()):
    yield path
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in members:
        yield from _nodes(inner, (*path, key))


def _mutations(value):
    """Every value with one node replaced or left out."""
    for path in _nodes(value):
        for other in _VALUES:
            yield _changed(value, path, lambda parent, key, other=other: parent.__setitem__(key, other))
        if path:
            yield _changed(value, path, lambda parent, key: parent.__delitem__(key))


def _changed(value, path, change):
    parent = whole = ['', copy.deepcopy(value)]
    for key in (1, *path)[:-1]:
        parent = parent[key]
    change(parent, (1, *path)[-1])
    return whole[1]


def _sample(mutations, number):
    found = list(mutations)
    return random.Random(0).sample(found, min(number, len(found)))


_TEXTS = [
    b'',
    b'\xff\xfe',
    b'null',
    b'[' * 100_000,
    b'{"a":' * 100_000,
    b'[' * 500 + b']' * 500,
    b'1e999',
    b'NaN',
    b'9' * 5000,
    b'\xef\xbb\xbf{}',
    b'"\\ud800"',
    b'{"a": 1, "a": 2}',
]


def _dumped(value):
    return json.dumps(value).encode()


def _forge_manifest(dataset_dir, value):
    try:
        data = forgery.sealed(value) if isinstance(value, dict) else forgery.text(value)
    except UnicodeEncodeError:
        data = _dumped(value)
    (dataset_dir / 'manifest.json').write_bytes(data)


def _check_commands(dataset_dir):
    """Every command on the data set: what it says, if anything, is lines of text."""
    for problem in _one_line(_verify, dataset_dir) or ():
        assert len(problem.splitlines()) == 1
        problem.encode()
    for command in (_train, _prepare, _repair):
        _one_line(command, dataset_dir)
    _read_all(dataset_dir)


def test_no_manifest_gives_a_traceback(whole, dataset_dir):
    value = json.loads((dataset_dir / 'manifest.json').read_text())
    original = (dataset_dir / 'manifest.json').read_bytes()
    read = 0  # of names of versions and options that no reader uses
    for mutation in _mutations(value):
        _forge_manifest(dataset_dir, mutation)
        try:
            manifest.read(str(dataset_dir))
        except errors.UserError:
            continue
        read += 1
        if read % 8 == 1:  # the others take 20 s
            _check_commands(dataset_dir)
            shutil.copytree(whole, dataset_dir.parents[2], dirs_exist_ok=True)  # a repair may have changed it
    assert read > 100
    (dataset_dir / 'manifest.json').write_bytes(original)
    for data in (*_TEXTS, original.replace(b'"files": {', b'"files": ' + b'[' * 900 + b']' * 900 + b', "x": {')):
        (dataset_dir / 'manifest.json').write_bytes(data)
        for command in (_train, _prepare, _repair):
            with pytest.raises(errors.UserError, match=r'manifest\.json: damaged: '):
                command(dataset_dir)
        (problem,) = _verify(dataset_dir)
        assert problem.startswith(f'{dataset_dir}/manifest.json: damaged: ')


_HUGE = (10**9, 2**31 - 1, 2**31, 2**32, 2**62, 2**63 - 1)


def _set_size(height, width):
    def change(value):
        value['options']['image_size'], value['config_name'] = [height, width], f'{height}x{width}'

    return change


def _set_shard(**members):
    return lambda value: value['shards'][0].update(members)


@pytest.mark.parametrize(
    'change',
    [
        *(_set_size(number, 1) for number in _HUGE),
        *(_set_size(1, number) for number in _HUGE),
        *(_set_size(number, number) for number in _HUGE),
        _set_size(1_000_001, 1),
        _set_size(2000, 2000),  # no PNG of so many pixels fits into so small a shard
        *(_set_shard(num_records=number) for number in _HUGE),
        *(_set_shard(num_records=number, num_bytes=number) for number in _HUGE),
        *(_set_shard(num_records=number, num_bytes=number, payload_bytes=number) for number in _HUGE),
        *(_set_shard(payload_bytes=number) for number in _HUGE),
        _set_shard(num_records=100),
    ],
)
def test_a_manifest_of_more_than_the_files_can_hold_is_damage_to_every_command(dataset_dir, change):
    forgery.change_manifest(dataset_dir, change)
    (problem,) = _verify(dataset_dir)
    assert problem.startswith(f'{dataset_dir}/manifest.json: damaged: ')
    for command in (_train, _prepare, _repair):
        with pytest.raises(errors.UserError, match=r'manifest\.json: damaged: '):
            command(dataset_dir)


_NO_VERSIONS = ['١.٠.٠', '01.00.0', '1.0', '1.0.0.0', '1.0.-1', '1.0.0\n', '1.0.9999999999', '*.*.*', '']
_NO_SPLITS = ['all', 'train+validation', '0', 'a' * 65, 'größer', 'a b', '']
_NO_NAMES = ['Street', '1street', 'größer', 'a' * 101, '']


@pytest.mark.parametrize(
    ('forge', 'value'),
    [
        *((forgery.change_version, version) for version in _NO_VERSIONS),
        *((lambda there, new: forgery.rename_split(there, 'train', new), split) for split in _NO_SPLITS),
        *((forgery.rename_dataset, name) for name in _NO_NAMES),
    ],
)
def test_a_name_that_tfds_reads_otherwise_is_damage_to_every_command(dataset_dir, forge, value):
    """Though every file says the same of it, and every digest is right."""
    forge(dataset_dir, value)
    (problem,) = _verify(dataset_dir)
    assert problem.startswith(f'{dataset_dir}/manifest.json: damaged: ')
    assert f' {value!r}: ' in problem
    for command in (_train, _prepare, _repair):
        with pytest.raises(errors.UserError, match=r'manifest\.json: damaged: '):
            command(dataset_dir)


@pytest.mark.parametrize(
    ('forge', 'value'),
    [
        (forgery.change_version, '1.2.10'),
        (lambda there, new: forgery.rename_split(there, 'train', new), 'A_1'),
        (forgery.rename_dataset, 'street_2'),
    ],
)
def test_nothing_but_the_name_is_damage(dataset_dir, forge, value):
    forge(dataset_dir, value)
    assert _verify(dataset_dir) == []
    _train(dataset_dir)


def _numbers(value):
    for path in _nodes(value):
        found = value
        for key in path:
            found = found[key]
        if type(found) is int or (isinstance(found, str) and found.isdecimal()):
            yield path, type(found)


@pytest.mark.parametrize(
    'name',
    ['manifest.json', 'records.jsonl', 'statistics.json', 'dataset_info.json', 'features.json'],
)
def test_no_number_makes_a_command_take_memory(whole, dataset_dir, name):
    """A forged number is damage or is only shown, whatever its size."""
    data = (dataset_dir / name).read_bytes()
    first = data.splitlines()[0] if name in _LINES else data
    value = json.loads(first)
    forged = [(path, kind(huge)) for path, kind in _numbers(value) for huge in (*_HUGE, -1, -(2**63))]
    tracemalloc.start()
    for path, number in random.Random(0).sample(forged, 10):
        changed = _changed(value, path, lambda parent, key, new=number: parent.__setitem__(key, new))
        if name == 'manifest.json':
            _forge_manifest(dataset_dir, changed)
        else:
            text = json.dumps(changed, sort_keys=True, ensure_ascii=False).encode()
            forgery.replace_file(dataset_dir, name, text + data[len(first) :])
        (dataset_dir / _shard_name(dataset_dir)).unlink()  # so that a repair has something to do
        _check_commands(dataset_dir)
        shutil.copytree(whole, dataset_dir.parents[2], dirs_exist_ok=True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50_000_000


@pytest.mark.parametrize('member', ['original_height', 'original_width'])
def test_an_index_with_another_size_than_the_record_is_damage(dataset_dir, member):
    change = _set(**{member: 10**9})
    forgery.replace_file(dataset_dir, 'records.jsonl', change((dataset_dir / 'records.jsonl').read_bytes()))
    (problem,) = _verify(dataset_dir)
    assert 'is made from an image of (48, 40), records.jsonl says ' in problem


@pytest.mark.parametrize('part', ['image', 'segmentation_mask'])
@pytest.mark.parametrize('place', [0, 1, 2])
def test_features_of_another_size_than_the_manifest_are_damage(dataset_dir, part, place):
    value = json.loads((dataset_dir / 'features.json').read_text())
    value['featuresDict']['features'][part]['image']['shape']['dimensions'][place] = str(10**9)
    forgery.replace_file(dataset_dir, 'features.json', json.dumps(value).encode())
    (problem,) = _verify(dataset_dir)
    assert problem.startswith(f'{dataset_dir}/features.json: {part} has the shape [')


_LINES = ['records.jsonl', 'rejected.jsonl']
_FILES = ['statistics.json', 'provenance.json', 'duplicates.json', 'features.json', 'dataset_info.json']


@pytest.mark.parametrize('name', [*_LINES, *_FILES])
def test_no_file_beside_the_shards_gives_a_traceback(whole, dataset_dir, name):
    if name == 'rejected.jsonl':
        reject = {'key': 'k', 'reason': 'damaged', 'message': 'm', 'image': 'i', 'mask': None}
        forgery.replace_file(dataset_dir, name, _dumped(reject) + b'\n')
    data = (dataset_dir / name).read_bytes()
    first = data.splitlines()[0] if name in _LINES else data
    rest = data[len(first) :]
    mutations = [_dumped(value) for value in _sample(_mutations(json.loads(first)), 60)]
    for text in (*mutations, *_TEXTS):
        forgery.replace_file(dataset_dir, name, text + rest)
        _check_commands(dataset_dir)
        shutil.copytree(whole, dataset_dir.parents[2], dirs_exist_ok=True)
    for text in _TEXTS[1:5]:
        forgery.replace_file(dataset_dir, name, text + rest)
        assert any(f'{name}: damaged: ' in problem for problem in _verify(dataset_dir))
