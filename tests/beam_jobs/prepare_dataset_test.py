import dataclasses
import functools
import hashlib
import json
import os
import pathlib
import re
import resource
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest
from absl import flags
from absl.testing import flagsaver

from beam_jobs import prepare_dataset
from seg_pipeline import errors
from seg_pipeline.building import config
from seg_pipeline.dataset import integrity, manifest
from seg_pipeline.imaging import rejects, resizing
from seg_pipeline.labels import label_map
from tests import fake_data

_IN_MEMORY = ('--direct_num_workers=1', '--direct_running_mode=in_memory')
_PROCESSES = ('--direct_num_workers=2', '--direct_running_mode=multi_processing')


@pytest.fixture
def source(tmp_path):
    fake_data.write_pairs(tmp_path / 'source', num_pairs=10)
    return tmp_path / 'source'


def _arguments(source, out, *more):
    return [
        f'--images={source}/images',
        f'--masks={source}/masks',
        f'--labels={source}/labels.csv',
        f'--output_dir={out}',
        '--image_size=16,24',
        *more,
    ]


def _start(source, out, *more, **options):
    command = [sys.executable, '-m', 'beam_jobs.prepare_dataset', *_arguments(source, out, *more)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def _run(source, out, *more):
    process = _start(source, out, *more)
    output, error = process.communicate()
    return process.returncode, output, error


def _main(source, out, *more):
    """The command in this process: where only its answer is of interest."""
    with flagsaver.flagsaver():
        argv = flags.FLAGS(['prepare_dataset', *_arguments(source, out, *_IN_MEMORY, *more)], known_only=True)
        prepare_dataset.main(argv)


def _digests(dataset_dir):
    root = pathlib.Path(dataset_dir)
    files = [path for path in root.rglob('*') if path.is_file()]
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _without_output_dir(dataset_dir):
    """The digests of a data set, with --output_dir taken out of what holds the command."""
    root = pathlib.Path(dataset_dir)
    own = {}
    for name in (manifest.CARD_FILE, manifest.PROVENANCE_FILE):
        text = (root / name).read_text()
        assert '--output_dir=' in text
        assert '--direct' not in text  # an engine's flag
        own[name] = text.replace(str(root.parents[2]), 'OUT').replace(f'.../{root.parents[2].name}', 'OUT')
    found = manifest.read(str(root))
    files = {name: digest for name, digest in found.files.items() if name not in own}
    return {**_digests(root), **own, manifest.FILE_NAME: dataclasses.replace(found, files=files)}


def test_the_command_and_the_same_bytes_on_one_worker_and_two(source, tmp_path):
    code, output, error = _run(source, tmp_path / 'two', *_PROCESSES, '--num_shards=train:3,validation:2')
    assert code == 0, error
    assert all('pairs/s' in line for line in error.splitlines()), error  # progress, and nothing of Beam's own
    dataset_dir = output.splitlines()[-1]
    assert dataset_dir == str(tmp_path / 'two' / 'clothing_parsing' / '16x24' / '1.0.0')
    assert list(integrity.problems(dataset_dir)) == []
    built = manifest.read(dataset_dir)
    assert (built.num_records('train'), built.num_records('validation')) == (8, 2)
    assert len(built.shards) == 5
    _main(source, tmp_path / 'one', '--num_shards=train:3,validation:2')
    one = tmp_path / 'one' / 'clothing_parsing' / '16x24' / '1.0.0'
    assert _without_output_dir(one) == _without_output_dir(dataset_dir)


def test_options_reach_the_data_set(source, tmp_path, capsys):
    lists = {'train': ['0001', 'img_0002', 'img_0003.png'], 'test': ['0004']}
    for split, names in lists.items():
        (tmp_path / split).write_text('\n'.join(names) + '\n')
    _main(
        source,
        tmp_path,
        '--dataset_name=street',
        '--dataset_version=2.3.4',
        f'--split_files=train:{tmp_path}/train,test:{tmp_path}/test',
        '--image_encoding=jpeg',
        '--ignore_id=9',
    )
    built = manifest.read(capsys.readouterr().out.splitlines()[-1])
    assert (built.dataset_name, built.version, built.label_map.ignore_id) == ('street', '2.3.4', 9)
    assert (built.num_records('train'), built.num_records('test')) == (3, 1)
    assert built.options['image_encoding'] == 'jpeg'


def test_the_same_command_again(source, tmp_path, capsys):
    _main(source, tmp_path)
    before = _digests(capsys.readouterr().out.splitlines()[-1])
    _main(source, tmp_path)
    output = capsys.readouterr().out.splitlines()
    assert output[-3].startswith('nothing to do')
    assert output[-2] == f'fingerprint {manifest.read(output[-1]).fingerprint}'
    assert _digests(output[-1]) == before
    with pytest.raises(errors.UserError, match=r'options: seed is 0 there and 1 here'):
        _main(source, tmp_path, '--seed=1')


def _blank_mask(source):
    cv2.imwrite(str(source / 'masks' / 'seg_0002.png'), np.zeros((9, 9), np.uint8))


def _high_id(source):
    cv2.imwrite(str(source / 'masks' / 'seg_0002.png'), np.full((48, 40), 9, np.uint8))


def _cut(source):
    image = source / 'images' / 'img_0002.png'
    image.write_bytes(image.read_bytes()[:-30])


def _lone_image(source):
    (source / 'masks' / 'seg_0002.png').unlink()


@pytest.mark.parametrize(
    ('spoil', 'reason', 'message'),
    [
        (_blank_mask, rejects.SIZE_MISMATCH, 'seg_0002.png: is 9x9, its image .*img_0002.png 48x40'),
        (_high_id, rejects.UNKNOWN_ID, 'seg_0002.png: id 9 at row 0, column 0; the label table has 0..3'),
        (_cut, rejects.DAMAGED, 'img_0002.png: truncated'),
        (_lone_image, rejects.NO_MASK, "img_0002.png: no mask has its key '0002'"),
    ],
)
def test_bad_pairs_end_the_job_or_stay_out(source, tmp_path, capsys, spoil, reason, message):
    spoil(source)
    with pytest.raises(errors.UserError, match='1 rejected, listed above; nothing was published'):
        _main(source, tmp_path)
    captured = capsys.readouterr()
    assert f'rejected {reason}: ' in captured.err
    assert re.search(message, captured.err)
    assert not (tmp_path / 'clothing_parsing' / '16x24' / '1.0.0').exists()
    _main(source, tmp_path, '--on_error=reject')
    dataset_dir = pathlib.Path(capsys.readouterr().out.splitlines()[-1])
    (line,) = [json.loads(line) for line in (dataset_dir / manifest.REJECTED_FILE).read_text().splitlines()]
    assert (line['key'], line['reason']) == ('0002', reason)
    built = manifest.read(str(dataset_dir))
    assert sum(built.num_records(split) for split in built.split_names) == 9


@pytest.mark.parametrize('number', [5, 6])
def test_many_rejects_are_summed_up_below_their_list(source, tmp_path, capsys, number):
    for pair in range(1, number):
        (source / 'masks' / f'seg_{pair:04}.png').unlink()
    (source / 'images' / 'img_0010.png').write_bytes(b'')
    with pytest.raises(errors.UserError, match=f'^{number} rejected, listed above'):
        _main(source, tmp_path)
    listed, summed_up = [], []
    for line in capsys.readouterr().err.splitlines():
        (listed if line.startswith('rejected ') else summed_up).append(line)
    assert len(listed) == number
    reasons = [line.split(': ')[1] for line in summed_up if f' of {number}: ' in line]
    assert reasons == ([] if number == 5 else ['empty_file', 'no_mask'])


@pytest.mark.parametrize(
    ('more', 'message'),
    [
        (['--images=/nowhere'], '/nowhere: no such directory'),
        (['--labels=/nowhere.csv'], '/nowhere.csv: cannot be read'),
        (['--image_size=128'], '--image_size=128: wanted HEIGHT,WIDTH'),
        (['--image_size=0,5'], '--image_size=0,5: wanted'),
        (['--splits=train:0.9'], 'add up to 0.9'),
        (['--dataset_name=Bad Name'], '--dataset_name=Bad Name'),
        (['--dataset_version=1'], '--dataset_version=1: wanted MAJOR.MINOR.PATCH'),
        (['--image_key_regex=x(y)'], 'no image has a mask'),
        (['--num_shards=test:3'], "no split 'test'"),
        (['--no_such_flag=1'], 'unknown flag --no_such_flag=1'),
        (['--split_files=train:/nowhere'], '/nowhere: cannot be read'),
    ],
)
def test_mistakes_of_the_user(source, tmp_path, more, message):
    with pytest.raises(errors.UserError) as caught:
        _main(source, tmp_path / 'out', *more)
    assert message in str(caught.value)
    assert not (tmp_path / 'out').exists()


def test_a_mistake_is_one_line_and_exit_code_2(source, tmp_path):
    _cut(source)
    code, output, error = _run(source, tmp_path / 'out', *_PROCESSES)
    assert code == 2
    folders, reject, last = [line for line in error.splitlines() if 'pairs/s' not in line]
    assert f'{source}/images' in folders  # where the files are, as rejects name only their paths in it
    assert f'{source}/masks' in folders
    assert reject.startswith('rejected damaged: image img_0002.png: ')
    assert last.startswith('error: 1 rejected')
    for wrong in ('--on_error=x', '--seed=x'):
        code, output, error = _run(source, tmp_path / 'out', wrong)
        assert (code, output) == (2, '')
        assert error.startswith('error: flag ')
        assert len(error.splitlines()) == 1


def test_an_output_that_cannot_be_written_is_a_users_mistake(source, tmp_path):
    (tmp_path / 'out').write_text('a file')
    code, _, error = _run(source, tmp_path / 'out', *_PROCESSES)
    assert code == 2
    (line,) = [line for line in error.splitlines() if 'pairs/s' not in line]
    assert 'cannot be written' in line


def _wait_for_a_finished_shard(out):
    deadline = time.monotonic() + 60
    while not list(out.glob('clothing_parsing/*/.work/*.json')):
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_killed_and_started_again(tmp_path):
    source = tmp_path / 'source'
    fake_data.write_pairs(source, num_pairs=60, size=(400, 300))
    shards = '--num_shards=train:24,validation:6'
    process = _start(source, tmp_path / 'killed', *_PROCESSES, shards, start_new_session=True)
    _wait_for_a_finished_shard(tmp_path / 'killed')
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    dataset_dir = tmp_path / 'killed' / 'clothing_parsing' / '16x24' / '1.0.0'
    assert not dataset_dir.exists()
    made = len(list(tmp_path.glob('killed/clothing_parsing/*/.work/*.json')))
    assert 1 <= made < 30
    code, output, error = _run(source, tmp_path / 'killed', *_PROCESSES, shards)
    assert code == 0, error
    assert f'continuing: {made} of 30 shards are already made' in error
    assert output.splitlines()[-1] == str(dataset_dir)
    _main(source, tmp_path / 'undisturbed', shards)
    undisturbed = tmp_path / 'undisturbed' / 'clothing_parsing' / '16x24' / '1.0.0'
    assert _without_output_dir(dataset_dir) == _without_output_dir(undisturbed)


def test_two_commands_at_once(source, tmp_path):
    running = [_start(source, tmp_path / 'out', *_IN_MEMORY, '--num_shards=train:8') for _ in range(2)]
    for process in running:
        output, error = process.communicate()
        assert process.returncode == 0, error
        assert list(integrity.problems(output.splitlines()[-1])) == []
    assert os.listdir(tmp_path / 'out' / 'clothing_parsing' / '16x24') == ['1.0.0']


def test_workers_never_import_tensorflow(source, tmp_path, monkeypatch):
    """A module of that name that ends the process stands in for the real one."""
    trap = tmp_path / 'trap'
    trap.mkdir()
    (trap / 'tensorflow.py').write_text('raise SystemExit("tensorflow was imported")')
    monkeypatch.setenv('PYTHONPATH', str(trap))
    code, _, error = _run(source, tmp_path / 'out', *_PROCESSES)
    assert code == 0, error
    assert 'tensorflow was imported' not in error


def test_defaults_are_those_of_the_contract():
    with flagsaver.flagsaver():
        flags.FLAGS(['x', *_arguments('s', 'o')[:4]])
        assert config.parse_size(flags.FLAGS.image_size) == (128, 128) == config.RecordOptions.image_size
        assert flags.FLAGS.splits == 'train:0.8,validation:0.2'


def test_a_split_of_which_nothing_is_left_is_not_published(source, tmp_path, capsys):
    for path in sorted((source / 'images').iterdir()):
        path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(errors.UserError, match='10 rejected, listed above; no pair is left in train, validation'):
        _main(source, tmp_path / 'out', '--on_error=reject')
    assert len(capsys.readouterr().err.splitlines()) >= 10
    with pytest.raises(errors.UserError, match=r'^10 rejected, .*; no pair is left in train, validation$'):
        _main(source, tmp_path / 'out', '--on_error=reject', '--dry_run')
    assert not (tmp_path / 'out' / 'clothing_parsing' / '16x24' / '1.0.0').exists()


def test_remapping_and_resizing_reach_the_data_set(source, tmp_path, capsys):
    (tmp_path / 'groups.csv').write_text(
        'name,group,color\nbackground,ground,#000000\nclass 1,thing,#ff0000\nclass 2,ignore,\nclass 3,thing,\n'
    )
    options = (f'--remap={tmp_path}/groups.csv', '--resize=letterbox', '--mask_resize=majority')
    _main(source, tmp_path / 'out', *options)
    dataset_dir = capsys.readouterr().out.splitlines()[-1]
    built = manifest.read(dataset_dir)
    assert built.label_map == label_map.LabelMap(('ground', 'thing'), ((0, 0, 0), (255, 0, 0)))
    assert (built.options['resize'], built.options['mask_resize']) == ('letterbox', 'majority')
    assert built.options['remapping']['targets'] == [0, 1, 255, 1]
    lookup = np.array([0, 1, 255, 1], np.uint8)
    for record in fake_data.read_split(dataset_dir, 'train'):
        number = record.file_name.removeprefix('img_')
        mask = lookup[cv2.imread(str(source / 'masks' / f'seg_{number}'), 0)]
        np.testing.assert_array_equal(record.mask, resizing.resize_mask(mask, (16, 24), 'letterbox', 'majority'))
        assert (record.mask[:, 0] == 255).all()  # 48x40 stands between borders in 16x24
        assert record.original_size == mask.shape
    assert 'ground' in (pathlib.Path(dataset_dir) / 'segmentation_mask.labels.txt').read_text()
    (tmp_path / 'groups.csv').write_text('name,group\nbackground,ground\n')
    with pytest.raises(errors.UserError, match='no group for 3 of 4 classes: class 1, class 2, class 3'):
        _main(source, tmp_path / 'out', f'--remap={tmp_path}/groups.csv')


@pytest.mark.parametrize(
    'options', [('--resize=crop',), ('--mask_resize=majority',), ('--dataset_version=1.0.0', '--remap=G')]
)
def test_another_geometry_or_other_classes_are_another_data_set(source, tmp_path, options):
    _main(source, tmp_path / 'out')
    (tmp_path / 'groups.csv').write_text('name,group\nbackground,a\nclass 1,b\nclass 2,b\nclass 3,b\n')
    options = [option.replace('=G', f'={tmp_path}/groups.csv') for option in options]
    with pytest.raises(errors.UserError, match=r'made from something else: options: (resize|mask_resize|remap) is'):
        _main(source, tmp_path / 'out', *options)


@pytest.mark.parametrize('engine', [_IN_MEMORY, _PROCESSES], ids=['in memory', 'processes'])
def test_a_full_disk_is_an_outside_fault_of_one_line(source, tmp_path, engine):
    """A limit on the size of files is the one fault of this kind that every machine can have at will."""
    out = tmp_path / 'out'
    limit = functools.partial(resource.setrlimit, resource.RLIMIT_FSIZE, (2000, 2000))
    process = _start(source, out, *engine, preexec_fn=limit)
    _, error = process.communicate()
    assert process.returncode == 1, error
    expected = r'error: .*: cannot be written: File too large; finished shards are kept: the same command continues\n'
    assert re.fullmatch(expected, error.splitlines(keepends=True)[-1])
    assert 'Traceback' not in error
    assert not (out / 'clothing_parsing' / '16x24' / '1.0.0').exists()
    assert _run(source, out, *engine)[0] == 0
