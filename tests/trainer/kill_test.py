"""SIGKILL at seeded moments: predict and export leave nothing half-written, and the next command makes all of it.

KILL_MOMENTS says how many moments of each (4 for the table in docs/reliability.md, which KILL_TABLE names).
"""

import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import cv2
import pytest

from tests.trainer import fake_run
from trainer.inference import exporters

pytestmark = pytest.mark.slow

MOMENTS = int(os.environ.get('KILL_MOMENTS', '2'))
_NUM_PHOTOS = 24


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp('model') / 'run'
    fake_run.make(str(path))
    return path


def _start(*arguments):
    pipes = {'stdout': subprocess.DEVNULL, 'stderr': subprocess.PIPE, 'text': True}
    return subprocess.Popen([sys.executable, '-m', *map(str, arguments)], **pipes)


def _finish(process):
    _, error = process.communicate(timeout=300)
    return process.returncode, error


def _kill(process, is_time, delay):
    """Kills a command; returns whether it was still running."""
    while process.poll() is None and not is_time():
        time.sleep(0.002)
    time.sleep(delay)
    process.kill()
    return _finish(process)[0] == -signal.SIGKILL


def _digests(directory):
    found = (path for path in directory.rglob('*') if path.is_file() and path.suffix != '.tmp')
    return {str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


def _age(paths):
    """As if an hour had passed: temporary files that are young are left alone."""
    for path in paths:
        os.utime(path, (time.time() - 3600,) * 2)
    return len(paths)


def _note(*cells):
    if path := os.environ.get('KILL_TABLE'):
        with open(path, 'a', encoding='utf-8') as file:
            file.write(f'| {" | ".join(map(str, cells))} |\n')


def _predict(run, photos, out):
    return _start(
        'trainer.predict', f'--model_dir={run}', f'--images={photos}', f'--output_dir={out}', '--batch_size=4'
    )


@pytest.fixture(scope='module')
def predicted(run, tmp_path_factory):
    """Photos; pictures of other photos of the same names, which are there before; and those of an undisturbed run."""
    root, digests = tmp_path_factory.mktemp('predicted'), {}
    for name, seed in (('old', 100), ('new', 0)):
        (root / name).mkdir()
        for i in range(_NUM_PHOTOS):
            cv2.imwrite(str(root / name / f'{i:02d}.png'), fake_run.image(300, 200, seed + i))
        assert _finish(_predict(run, root / name, root / f'{name}_out'))[0] == 0
        digests[name] = _digests(root / f'{name}_out')
    return root, digests


@pytest.mark.parametrize('moment', range(MOMENTS))
def test_predict(run, predicted, tmp_path, moment):
    root, digests = predicted
    rng = random.Random(f'predict {moment}')
    has_old, done, delay = moment % 2 == 1, rng.randrange(1, _NUM_PHOTOS), rng.uniform(0, 0.05)
    out = tmp_path / 'out'
    if has_old:
        shutil.copytree(root / 'old_out', out)
    else:
        out.mkdir()

    def made():
        return sum(path.stat().st_ino not in before for path in out.glob('masks/*.png'))

    before = {path.stat().st_ino for path in out.glob('masks/*.png')}
    killed = _kill(_predict(run, root / 'new', out), lambda: made() >= done, delay)
    left = _digests(out)
    assert all(digest in (digests['new'][name], has_old and digests['old'][name]) for name, digest in left.items())
    assert len(left) == len(digests['old']) or not has_old
    of_new = sum(left.get(name) == digest for name, digest in digests['new'].items())
    unfinished = _age(list(out.rglob('*.tmp')))
    assert _finish(_predict(run, root / 'new', out))[0] == 0
    assert _digests(out) == digests['new']
    assert not list(out.rglob('*.tmp'))
    _note('predict', f'{of_new} of {len(left)}', len(left) - of_new, unfinished, 'killed' if killed else 'done', 'yes')


@pytest.mark.parametrize('moment', range(MOMENTS))
def test_export(run, tmp_path, moment):
    rng = random.Random(f'export {moment}')
    out, delay = tmp_path / 'out', rng.uniform(0, 1.5)
    command = ('trainer.export', f'--model_dir={run}', f'--output_dir={out}')
    killed = _kill(_start(*command), lambda: list(tmp_path.glob('out.*.tmp')) or out.exists(), delay)
    was_there, unfinished = out.exists(), _age(list(tmp_path.glob('out.*.tmp')))
    code, error = _finish(_start(*command))
    assert code == (2 if was_there else 0)
    assert ('exists; remove it' in error) == was_there
    assert {path.name for path in out.iterdir()} >= {'saved_model.pb', 'variables', 'label_map.json'}
    assert was_there or not list(tmp_path.glob('*.tmp'))
    _note('export', int(was_there), 0, unfinished, 'killed' if killed else 'done', 'yes')


def test_an_export_leaves_what_another_one_is_writing(tmp_path):
    path = str(tmp_path / 'out')
    names = {kind: f'{path}.{digit * 32}.tmp' for kind, digit in (('in use', '1'), ('abandoned', '2'), ('young', '3'))}
    for name in (*names.values(), f'{path}.mine.tmp'):
        os.mkdir(name)
    _age([*names.values(), f'{path}.mine.tmp'])
    os.utime(names['young'])
    with exporters._locked(names['in use']), exporters._appearing(path) as made:
        assert sorted(os.listdir(tmp_path)) == sorted(
            os.path.basename(name) for name in (names['in use'], names['young'], made, f'{path}.mine.tmp')
        )
