"""A pair whose files crash a decoder, by the real command: it costs one run, and is then a reject with a name."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from beam_jobs import prepare_dataset
from seg_pipeline.dataset import record_index
from seg_pipeline.storage import attempts
from tests import deadly_bmp, fake_data


@pytest.fixture
def source(tmp_path):
    root = tmp_path / 'source'
    fake_data.write_pairs(root, num_pairs=20)
    _add_deadly(root)
    return root


def _add_deadly(root, image='bmp', mask='png'):
    (root / 'images' / f'img_0099.{image}').write_bytes(getattr(deadly_bmp, image)(value=deadly_bmp.DEADLY_VALUE))
    (root / 'masks' / f'seg_0099.{mask}').write_bytes(getattr(deadly_bmp, mask)())


def _start(tmp_path, source, *flags, variables):
    command = [sys.executable, '-m', 'beam_jobs.prepare_dataset', f'--images={source}/images']
    command += [f'--masks={source}/masks', f'--labels={source}/labels.csv', f'--output_dir={tmp_path}/out']
    command += ['--image_size=16,16', '--num_shards=train:1,validation:1', *flags]
    pipes = {'stdout': subprocess.PIPE, 'stderr': subprocess.PIPE, 'text': True}
    return subprocess.Popen(command, env={**os.environ, **variables}, **pipes)


def _run(tmp_path, source, *flags, deadly=True, **how):
    process = _start(tmp_path, source, *flags, variables=deadly_bmp.environment(tmp_path, **how) if deadly else {})
    try:
        output, error = process.communicate(timeout=180)
    finally:
        process.kill()
    return subprocess.CompletedProcess(process.args, process.returncode, output, error)


@pytest.mark.parametrize('mode', [('--direct_num_workers=2',), ('--direct_num_workers=1', '--stratify=rare')])
def test_the_second_run_rejects_it_by_name(tmp_path, source, mode):
    first = _run(tmp_path, source, *mode)
    assert first.returncode in (1, -11)
    runs = []
    # The scan of the classes is a pass of its own, and the shards are another: each may cost a run.
    while not runs or (runs[-1].returncode in (1, -11) and len(runs) < 3):
        runs.append(_run(tmp_path, source, *mode, '--on_error=reject'))
    assert runs[-1].returncode == 0, runs[-1].stderr
    assert 'rejected decoder_failed: image img_0099.bmp, mask seg_0099.png: ' in runs[-1].stderr
    dataset = runs[-1].stdout.splitlines()[-1]
    with open(f'{dataset}/rejected.jsonl') as file:
        assert [json.loads(line)['reason'] for line in file] == ['decoder_failed']
    with open(f'{dataset}/records.jsonl') as file:
        assert len(file.readlines()) == 20
    assert not os.path.exists(os.path.join(os.path.dirname(dataset), '.work'))
    # The same command again compares the sources, and must not die of it either.
    again = _run(tmp_path, source, *mode, '--on_error=reject')
    assert (again.returncode, again.stdout.splitlines()[-1]) == (0, dataset)


@pytest.mark.parametrize(
    ('stage', 'how', 'mask', 'said'),
    [
        ('decode', 'kill', 'bmp', 'was killed by signal 9 (was memory short?)'),
        ('resize', 'fault', 'png', 'was killed by signal 11'),
        ('encode', 'exit', 'png', 'ended with exit code 0'),
        ('compare', 'exit', 'png', 'ended with exit code 0'),
    ],
)
def test_wherever_and_however_it_ends_a_worker(tmp_path, stage, how, mask, said):
    source = tmp_path / 'source'
    fake_data.write_pairs(source, num_pairs=6)  # the masks of so few are all compared
    _add_deadly(source, 'png' if mask == 'bmp' else 'bmp', mask)
    flags = ('--direct_num_workers=2', '--on_error=reject', '--splits=train:1', '--num_shards=train:2')
    first = _run(tmp_path, source, *flags, stage=stage, how=how)
    assert first.returncode == 1
    assert 'Traceback' not in first.stderr
    error = first.stderr.splitlines()[-1]
    names = f'image img_0099.{"png" if mask == "bmp" else "bmp"}, mask seg_0099.{mask}'
    where = 'the comparison of mask seg_0099.png with its record' if stage == 'compare' else names
    assert error.startswith(f'error: a worker process {said}, while at {where}: the same command ')
    second = _run(tmp_path, source, *flags, stage=stage, how=how)
    assert second.returncode == 0, second.stderr
    assert f'warning: a process of an earlier run ended while it was at {where}: ' in second.stderr
    assert 'at most 300 seconds' in second.stderr
    dataset = second.stdout.splitlines()[-1]
    keys = {entry.key for entry in record_index.of(dataset)}
    if stage == 'compare':
        assert '0099' in keys
        assert '1 of a sample of 7 masks was not compared with their files' in second.stderr
        assert 'seg_0099.png (ends the process, with exit code 0)' in second.stderr
    else:
        assert len(keys) == 6
        assert f'rejected decoder_failed: {names}: decoding them ends the process, ' in second.stderr
    assert not os.path.exists(os.path.join(os.path.dirname(dataset), '.work'))


@pytest.mark.parametrize('stage', ['decode', 'resize', 'encode', 'compare'])
def test_too_little_memory_for_a_pair_ends_no_job(tmp_path, stage):
    source = tmp_path / 'source'
    fake_data.write_pairs(source, num_pairs=6)
    _add_deadly(source)
    flags = ('--direct_num_workers=2', '--on_error=reject', '--splits=train:1', '--num_shards=train:2')
    done = _run(tmp_path, source, *flags, stage=stage, how='memory')
    assert done.returncode == 0, done.stderr
    assert 'Traceback' not in done.stderr
    dataset = done.stdout.splitlines()[-1]
    keys = {entry.key for entry in record_index.of(dataset)}
    if stage == 'compare':  # its record was read properly
        assert '0099' in keys
        assert '1 of a sample of 7 masks was not compared with their files, because the second library' in done.stderr
        assert 'seg_0099.png (not enough memory: wanted 7 GiB)' in done.stderr
    else:
        assert len(keys) == 6
        assert 'rejected out_of_memory: image img_0099.bmp: not enough memory to decode it (wanted 7' in done.stderr
    assert not os.path.exists(os.path.join(os.path.dirname(dataset), '.work'))


def test_without_permission_to_reject_the_command_says_so_each_time(tmp_path, source):
    assert _run(tmp_path, source).returncode == 1
    for _ in range(2):
        done = _run(tmp_path, source)
        assert done.returncode == 2
        assert 'rejected decoder_failed: image img_0099.bmp' in done.stderr


def test_every_dry_run_but_the_first_names_it(tmp_path, source):
    flags = ('--dry_run', '--stratify=rare')  # two passes over the pairs
    assert _run(tmp_path, source, *flags).returncode == 1
    for _ in range(2):
        done = _run(tmp_path, source, *flags)
        assert done.returncode == 2
        assert 'rejected decoder_failed: image img_0099.bmp' in done.stderr


def test_a_good_pair_that_a_worker_died_at_is_kept(tmp_path, source):
    """Whatever killed the worker: here, a decoder that was mended since."""
    assert _run(tmp_path, source).returncode == 1
    done = _run(tmp_path, source, deadly=False)
    assert done.returncode == 0, done.stderr
    with open(f'{done.stdout.splitlines()[-1]}/records.jsonl') as file:
        assert len(file.readlines()) == 21


@pytest.mark.parametrize('mode', ['in_memory', 'multi_threading', 'multi_processing'])
def test_who_stops_the_command_leaves_no_note_of_a_death(tmp_path, mode):
    """However busy its threads are: here, with a decoder that does not return."""
    source = tmp_path / 'source'
    fake_data.write_pairs(source, num_pairs=3)
    _add_deadly(source)
    flags = ('--splits=train:1', '--num_shards=train:1', '--direct_num_workers=2', f'--direct_running_mode={mode}')
    process = _start(tmp_path, source, *flags, variables=deadly_bmp.environment(tmp_path, how='hang'))
    work = tmp_path / 'out' / 'clothing_parsing' / '16x16' / '.work'
    while not any('0099' in path.read_text() for path in work.glob(f'*{attempts.SUFFIX}')):
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    _, error = process.communicate(timeout=60)
    assert (process.returncode, error.splitlines()[-1]) == (143, f'terminated; {prepare_dataset._KEPT}')
    deadline = time.monotonic() + 30  # workers end a moment after the command
    while left := list(work.glob(f'*{attempts.SUFFIX}')):
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


def test_what_ends_processes_that_only_read_it_is_rejected_unread_after_three(tmp_path):
    """A process of its own decodes it, but its caller reads it. Without workers, the caller is the command."""
    source = tmp_path / 'source'
    fake_data.write_pairs(source, num_pairs=2)
    _add_deadly(source)
    flags = ('--splits=train:1', '--num_shards=train:1', '--direct_num_workers=1')
    runs = [_run(tmp_path, source, *flags, stage='read', how='kill') for _ in range(4)]
    assert [run.returncode for run in runs] == [-signal.SIGKILL] * 3 + [2]
    assert [' ended while it was at image img_0099.bmp' in run.stderr for run in runs] == [False, True, True, True]
    names = 'image img_0099.bmp, mask seg_0099.png'
    assert f'rejected decoder_failed: {names}: 3 processes ended while they were at them; to try' in runs[3].stderr
    for note in (tmp_path / 'out').rglob(f'*{attempts.SUFFIX}'):  # as it says there
        note.unlink()
    assert _run(tmp_path, source, *flags, deadly=False).returncode == 0
