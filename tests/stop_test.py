"""SIGTERM, SIGINT and SIGHUP end every command with one line; nothing temporary and no process is left.

Real processes, each in a session of its own and with an empty directory for temporary files. A signal goes to the
command alone, as from `kill`, or to its group, as from a terminal.
"""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from tests import fake_data
from tests.signalled import WORDS, Ended, Place

_KEPT = 'finished shards are kept: the same command continues'


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


def _prepare(source, out, *flags):
    inputs = (f'--images={source}/images', f'--masks={source}/masks', f'--labels={source}/labels.csv')
    return ('beam_jobs.prepare_dataset', *inputs, f'--output_dir={out}', '--image_size=64,64', *flags)


def _digests(out):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in out.rglob('*.tfrecord-*')}


@pytest.fixture(scope='module')
def source(tmp_path_factory):
    root = tmp_path_factory.mktemp('source')
    fake_data.write_pairs(root / 'source', num_pairs=60, size=(700, 600))
    return root / 'source'


_WORKING, _PUBLISHING = 'out/clothing_parsing/64x64/.work/*.json', 'out/clothing_parsing/64x64/**/publish-*'
_SHARDS = '--num_shards=train:24,validation:6'


@pytest.mark.slow
def test_prepare_dataset_at_every_moment_and_then_to_its_end(place, source):
    command = _prepare(source, place.out, _SHARDS, '--direct_num_workers=2')
    moments = (
        ('temporary/workers-*', signal.SIGTERM, os.killpg),
        ('temporary/workers-*', signal.SIGINT, os.killpg),
        (_WORKING, signal.SIGTERM, os.kill),
        (_WORKING, signal.SIGINT, os.killpg),
        (_PUBLISHING, signal.SIGTERM, os.kill),
        (_PUBLISHING, signal.SIGHUP, os.killpg),
    )
    for pattern, number, kill in moments:
        ended = place.stop(place.start(*command), place.appears(pattern), number, kill)
        assert ended == Ended(128 + number, [f'{WORDS[number]}; {_KEPT}']), (pattern, number, kill)
    assert place.end(place.start(*command)) == Ended(0, [])
    made = _digests(place.out)
    shutil.rmtree(place.out)
    assert place.end(place.start(*_prepare(source, place.out, _SHARDS, '--direct_num_workers=1'))).code == 0
    assert made == _digests(place.out)
    assert len(made) == 30


@pytest.mark.parametrize('kill', [os.kill, os.killpg])
def test_prepare_dataset_without_worker_processes(place, source, kill):
    command = _prepare(source, place.out, _SHARDS, '--direct_num_workers=1')
    ended = place.stop(place.start(*command), place.appears(_WORKING), signal.SIGTERM, kill)
    assert ended == Ended(143, [f'terminated; {_KEPT}'])


def test_a_signal_that_is_sent_twice(place, source):
    """`timeout` signals the command, and then the group that it is in."""

    def twice(pid, number):
        os.kill(pid, number)
        os.killpg(pid, number)

    command = _prepare(source, place.out, _SHARDS, '--direct_num_workers=2')
    ended = place.stop(place.start(*command), place.appears(_WORKING), signal.SIGTERM, twice)
    assert ended == Ended(143, [f'terminated; {_KEPT}'])


def test_what_ignores_a_signal_goes_on(place, source):
    """As `nohup` starts it."""
    command = ['nohup', sys.executable, '-m', *_prepare(source, place.out, _SHARDS, '--direct_num_workers=2')]
    pipes = {'stdout': subprocess.PIPE, 'stderr': subprocess.PIPE, 'stdin': subprocess.DEVNULL, 'text': True}
    working = place.appears(_WORKING)
    process = subprocess.Popen(command, start_new_session=True, **pipes)
    while not working():
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGHUP)
    assert place.end(process).code == 0


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_synthetic(place, number):
    process = place.start('seg_pipeline.synthetic', f'--output_dir={place.out}', '--pairs=2000')
    assert place.stop(process, place.appears('out/png_masks/MASKS/*'), number) == Ended(128 + number, [WORDS[number]])
    assert not (place.out / 'labels.csv').exists()  # an interrupted set has none


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_repair(place, source, number):
    assert place.end(place.start(*_prepare(source, place.out, '--num_shards=train:1,validation:1'))).code == 0
    dataset_dir = place.out / 'clothing_parsing' / '64x64' / '1.0.0'
    before = _digests(place.out)
    damaged = sorted(dataset_dir.glob('*train.tfrecord*'))[0]
    damaged.write_bytes(damaged.read_bytes()[:-1])
    sources = ('--repair', f'--images={source}/images', f'--masks={source}/masks')
    process = place.start('seg_pipeline.verify', str(dataset_dir), *sources)
    ended = place.stop(process, place.appears('out/clothing_parsing/64x64/.repair-*'), number)
    assert ended == Ended(128 + number, [WORDS[number]])
    assert place.end(place.start('seg_pipeline.verify', str(dataset_dir), *sources)).code == 0
    assert _digests(place.out) == before


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_verify(place, source, number):
    # Large records: so many of a small size are read before a signal arrives.
    large = ('--image_size=700,600', '--num_shards=train:1,validation:1')
    assert place.end(place.start(*_prepare(source, place.out, *large))).code == 0
    (dataset_dir,) = place.out.glob('*/*/1.0.0')
    before = _digests(place.out)
    process = place.start('seg_pipeline.verify', str(dataset_dir))
    ended = place.stop(process, place.opens(process, '-train.tfrecord-'), number)
    assert ended == Ended(128 + number, [WORDS[number]])
    assert _digests(place.out) == before


@pytest.mark.parametrize(('number', 'workers'), [(signal.SIGTERM, 2), (signal.SIGINT, 1)])
def test_a_dry_run_that_looks_into_the_pairs(place, source, number, workers):
    more = ('--dry_run', '--near_duplicates=group', '--stratify=rare', f'--direct_num_workers={workers}')
    checking = 'out/clothing_parsing/64x64/.dry_run/'
    for moment in ('*.attempt', '*.json'):  # while the pairs are scanned, and while they are checked
        command = _prepare(source, place.out, _SHARDS, *more)
        ended = place.stop(place.start(*command), place.appears(checking + moment), number, os.killpg)
        assert ended == Ended(128 + number, [f'{WORDS[number]}; {_KEPT}']), moment
    assert not list(place.out.rglob('*.tfrecord-*'))
    assert not list(place.out.rglob('index.html'))  # there is a report of all, or none
    assert place.end(place.start(*command)) == Ended(0, [])
    assert list(place.out.glob('clothing_parsing/64x64/dry_run/**/index.html'))
