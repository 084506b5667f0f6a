"""A pair whose files crash a decoder, by the real command: it costs one run, and is then a reject with a name."""

import json
import os
import subprocess
import sys

import pytest

from tests import deadly_bmp, fake_data


@pytest.fixture
def source(tmp_path):
    root = tmp_path / 'source'
    fake_data.write_pairs(root, num_pairs=20)
    (root / 'images' / 'img_0099.bmp').write_bytes(deadly_bmp.bmp())
    (root / 'masks' / 'seg_0099.png').write_bytes(deadly_bmp.png())
    return root


def _run(tmp_path, source, *flags, deadly=True):
    variables = deadly_bmp.environment(tmp_path) if deadly else {}
    command = [sys.executable, '-m', 'beam_jobs.prepare_dataset', f'--images={source}/images']
    command += [f'--masks={source}/masks', f'--labels={source}/labels.csv', f'--output_dir={tmp_path}/out']
    command += ['--image_size=16,16', '--num_shards=train:1,validation:1', *flags]
    return subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True, check=False)


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


def test_without_permission_to_reject_the_command_says_so_each_time(tmp_path, source):
    assert _run(tmp_path, source).returncode == 1
    for _ in range(2):
        done = _run(tmp_path, source)
        assert done.returncode == 2
        assert 'rejected decoder_failed: image img_0099.bmp' in done.stderr


def test_a_dry_run_names_it(tmp_path, source):
    assert _run(tmp_path, source, '--dry_run').returncode == 1
    done = _run(tmp_path, source, '--dry_run')
    assert done.returncode == 2
    assert 'rejected decoder_failed: image img_0099.bmp' in done.stderr


def test_a_good_pair_that_a_worker_died_at_is_kept(tmp_path, source):
    """Whatever killed the worker: here, a decoder that was mended since."""
    assert _run(tmp_path, source).returncode == 1
    done = _run(tmp_path, source, deadly=False)
    assert done.returncode == 0, done.stderr
    with open(f'{done.stdout.splitlines()[-1]}/records.jsonl') as file:
        assert len(file.readlines()) == 21
