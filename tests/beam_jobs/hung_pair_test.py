"""A pair whose decoder does not end, by the real command: it costs one run, and is then a reject with a name."""

import os
import signal
import subprocess
import sys
import time

import pytest

from tests import deadly_bmp, fake_data

_NAMES = 'image img_0099.bmp, mask seg_0099.png'
_COMPARISON = 'the comparison of mask seg_0099.png with its record'
# In seconds, see `deadly_bmp.environment`: what an accepted pair takes is far less, even on a busy machine.
_LIMITS = (4.0, 6.0, 3600.0)
_THEN = 'the same command reads that in a process of its own and, if that ends too or takes too long, goes on without'


@pytest.fixture
def start(tmp_path):
    """Starts the command on six good pairs and one that is not, if `how` says so."""
    source = tmp_path / 'source'
    fake_data.write_pairs(source, num_pairs=6)
    (source / 'images' / 'img_0099.bmp').write_bytes(deadly_bmp.bmp())
    (source / 'masks' / 'seg_0099.png').write_bytes(deadly_bmp.png())
    running = []

    def start(*flags, **how):
        variables = deadly_bmp.environment(tmp_path, **how)
        command = [sys.executable, '-m', 'beam_jobs.prepare_dataset', f'--images={source}/images']
        command += [f'--masks={source}/masks', f'--labels={source}/labels.csv', f'--output_dir={tmp_path}/out']
        command += ['--image_size=16,16', '--splits=train:1', '--num_shards=train:2', '--on_error=reject', *flags]
        pipes = {'stdout': subprocess.PIPE, 'stderr': subprocess.PIPE, 'text': True}
        running.append(subprocess.Popen(command, env={**os.environ, **variables}, **pipes))
        return running[-1]

    yield start
    for process in running:
        process.kill()


def _end(process):
    output, error = process.communicate(timeout=120)
    assert 'Traceback' not in error
    return process.returncode, output.splitlines(), error.splitlines()


_WORKERS, _IN_MEMORY = ('--direct_num_workers=2',), ('--direct_num_workers=1',)
_THREADS = (*_WORKERS, '--direct_running_mode=multi_threading')


@pytest.mark.parametrize(
    ('flags', 'stage', 'how'),
    [
        (_WORKERS, 'decode', 'hang'),
        pytest.param(_WORKERS, 'resize', 'hang with the lock', marks=pytest.mark.slow),
        (_WORKERS, 'compare', 'hang'),
        pytest.param((*_WORKERS, '--stratify=rare'), 'decode', 'hang', marks=pytest.mark.slow),
        ((*_WORKERS, '--dry_run'), 'decode', 'hang'),
        (_IN_MEMORY, 'decode', 'hang'),
        (_THREADS, 'resize', 'hang'),
        (_IN_MEMORY, 'resize', 'hang with the lock'),
    ],
)
def test_the_second_run_rejects_it_by_name(start, flags, stage, how):
    what = _COMPARISON if stage == 'compare' else _NAMES
    code, _, said = _end(start(*flags, stage=stage, how=how, limits=_LIMITS))
    kept = 'finished shards are kept: the same command continues'
    late = 'a worker process was ended because one pair took it more than 4 seconds, while at '
    if flags not in (_IN_MEMORY, _THREADS):
        assert (code, said[-1]) == (1, f'error: {late}{what}: {_THEN}; {kept}')
    elif how == 'hang':
        assert (code, said[-1]) == (1, f'error: {what}: took more than 4 seconds: {_THEN}; {kept}')
    else:  # nothing of Python can run there
        assert (code, said) == (-signal.SIGPROF, [])
    code, output, said = _end(start(*flags, stage=stage, how=how, limits=_LIMITS))
    assert any(line.startswith(f'warning: a process of an earlier run ended while it was at {what}: ') for line in said)
    if stage == 'compare':
        assert (code, 'seg_0099.png (takes more than 6 seconds)' in said[-1]) == (0, True)
    else:
        assert code == (2 if '--dry_run' in flags else 0)
        assert f'rejected decoder_failed: {what}: decoding them takes more than 6 seconds' in said
    if code == 0:
        assert os.listdir(os.path.dirname(output[-1])) == ['1.0.0']


@pytest.mark.parametrize(('flags', 'how'), [(_WORKERS, 'hang'), (_WORKERS, 'hang with the lock'), (_IN_MEMORY, 'hang')])
def test_who_stops_a_run_that_hangs_has_the_pair_named_by_the_next(start, tmp_path, flags, how):
    process = start(*flags, how=how, limits=(3600.0, 6.0, 1.0))
    work = tmp_path / 'out' / 'clothing_parsing' / '16x16' / '.work'
    deadline = time.monotonic() + 60
    while not any('0099' in path.read_text() for path in work.glob('*.attempt')):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(2)  # longer than what is no reason to suspect a pair
    process.send_signal(signal.SIGINT)
    assert _end(process)[0] == 130
    code, _, said = _end(start(*flags, how=how, limits=(3600.0, 6.0, 1.0)))
    assert f'rejected decoder_failed: {_NAMES}: decoding them takes more than 6 seconds' in said
    assert code == 0
