"""Kills the command, its workers and its disk at seeded moments, and looks at what is left.

Every row: the command is disturbed at some moment; whatever a reader could take for a data set must be intact; the same
command again must end well, take over the finished shards and give the bytes of an undisturbed run. KILL_MOMENTS says
how many moments (20 for the table in docs/reliability.md, which KILL_TABLE names).
"""

import hashlib
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest

from seg_pipeline.dataset import integrity
from tests import fake_data, optional

MOMENTS = int(os.environ.get('KILL_MOMENTS', '4'))
_NUM_SHARDS = 12
_FLAGS = ('--image_size=64,64', '--num_shards=train:9,validation:3')
_LOST_WORKER = 'error: a worker process was killed by signal 9'


class Stage:
    """A source, one place for the output (its path is part of the card), and the digests of an undisturbed run."""

    def __init__(self, root):
        self.source, self.out = root / 'source', root / 'out'
        fake_data.write_pairs(self.source, num_pairs=36, size=(500, 400))
        self.work = self.out / 'clothing_parsing' / '64x64' / '.work'
        self.dataset_dir = self.out / 'clothing_parsing' / '64x64' / '1.0.0'
        assert finish(self.start(num_workers=1))[0] == 0
        self.expected = self.digests()
        self.num_bytes = sum(path.stat().st_size for path in self.dataset_dir.rglob('*') if path.is_file())
        self.clear()

    def start(self, num_workers=2):
        arguments = [f'--images={self.source}/images', f'--masks={self.source}/masks']
        arguments += [f'--labels={self.source}/labels.csv', f'--output_dir={self.out}', *_FLAGS]
        arguments += [f'--direct_num_workers={num_workers}']
        command = [sys.executable, '-m', 'beam_jobs.prepare_dataset', *arguments]
        pipes = {'stdout': subprocess.PIPE, 'stderr': subprocess.PIPE, 'text': True}
        return subprocess.Popen(command, start_new_session=True, **pipes)

    def made(self):
        """How many shards are finished."""
        return len(list(self.work.glob('*.json')))

    def wait_for(self, process, shards, delay):
        deadline = time.monotonic() + 120
        while process.poll() is None and self.made() < shards and not self.dataset_dir.exists():
            assert time.monotonic() < deadline
            time.sleep(0.002)
        time.sleep(delay)

    def digests(self):
        files = [path for path in self.dataset_dir.rglob('*') if path.is_file()]
        return {str(p.relative_to(self.dataset_dir)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}

    def clear(self):
        if os.path.ismount(self.out):
            subprocess.run(['umount', self.out], check=True)
        shutil.rmtree(self.out, ignore_errors=True)

    def mount(self, num_bytes):
        self.out.mkdir()
        command = ['mount', '-t', 'tmpfs', '-o', f'size={num_bytes}', 'tmpfs', self.out]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip(optional.MOUNTS.reason)

    def remount(self, options):
        subprocess.run(['mount', '-o', f'remount,{options}', self.out], check=True)


def finish(process):
    output, error = process.communicate(timeout=120)
    return process.returncode, output, [line for line in error.splitlines() if 'pairs/s' not in line]


def workers(process):
    """The worker processes of a command."""
    tasks = pathlib.Path(f'/proc/{process.pid}/task')
    return [int(pid) for path in tasks.glob('*/children') for pid in path.read_text().split()]


# Each disturbs the command at a moment (so many finished shards, and a little later) and returns what it said.


def kill_command(stage, shards, delay):
    process = stage.start()
    stage.wait_for(process, shards, delay)
    process.kill()
    return finish(process)


def kill_worker(stage, shards, delay):
    process = stage.start()
    stage.wait_for(process, shards, delay)
    for pid in workers(process)[:1]:
        os.kill(pid, signal.SIGKILL)
    code, output, error = finish(process)
    assert code == 0 or (code == 1 and len(error) == 1 and error[0].startswith(_LOST_WORKER)), error
    return code, output, error


def kill_everything(stage, shards, delay):
    process = stage.start()
    stage.wait_for(process, shards, delay)
    os.killpg(process.pid, signal.SIGKILL)
    return finish(process)


def fill_disk(stage, shards, delay):
    stage.mount(int(stage.num_bytes * (0.1 + 0.8 * shards / _NUM_SHARDS)))
    code, output, error = finish(stage.start())
    assert code == 1, error
    assert error[-1].startswith('error: '), error
    assert 'cannot be written: No space left on device; finished shards are kept' in error[-1], error
    stage.remount('size=100m')
    return code, output, error[-1:]


def make_read_only(stage, shards, delay):
    stage.mount(100_000_000)
    process = stage.start()
    stage.wait_for(process, shards, delay)
    while process.poll() is None:
        # As long as a file is open for writing, the kernel refuses.
        if not subprocess.run(['mount', '-o', 'remount,ro', stage.out], capture_output=True, check=False).returncode:
            break
    code, output, error = finish(process)
    assert code == 0 or (code == 2 and error[-1].endswith('cannot be written: Read-only file system')), error
    stage.remount('rw')
    return code, output, error[-1:]


def kill_one_of_two(stage, shards, delay):
    process, other = stage.start(), stage.start()
    stage.wait_for(process, shards, delay)
    os.killpg(process.pid, signal.SIGKILL)
    finish(process)
    code, output, error = finish(other)
    assert code == 0, error
    return code, output, error


_DISTURBANCES = (kill_command, kill_worker, fill_disk, make_read_only, kill_everything, kill_one_of_two)


@pytest.fixture(scope='module')
def stage(tmp_path_factory):
    return Stage(tmp_path_factory.mktemp('stage'))


@pytest.fixture(scope='module')
def table():
    rows = []
    yield rows
    lines = ['| # | what | finished shards then | it said | left visible | taken over | same bytes |', '|' + '---|' * 7]
    lines += ['| ' + ' | '.join(map(str, row)) + ' |' for row in rows]
    print('\n' + '\n'.join(lines))
    if path := os.environ.get('KILL_TABLE'):
        pathlib.Path(path).write_text('\n'.join(lines) + '\n')


@pytest.mark.slow
@pytest.mark.parametrize('number', range(MOMENTS))
def test_nothing_half_made_is_ever_visible_and_the_same_command_continues(number, stage, table):
    disturb = _DISTURBANCES[number % len(_DISTURBANCES)]
    draw = random.Random(number)
    shards, delay = draw.randint(0, _NUM_SHARDS), draw.random() * 0.3
    try:
        code, _, said = disturb(stage, shards, delay)
        published = stage.dataset_dir.exists()
        if published:
            assert list(integrity.problems(str(stage.dataset_dir))) == []
        visible = [p for p in stage.out.rglob('dataset_info.json') if '.work' not in p.parts]
        assert visible == ([stage.dataset_dir / 'dataset_info.json'] if published else [])
        made = stage.made()
        again, output, error = finish(stage.start(num_workers=1))
        assert again == 0, error
        assert output.splitlines()[-1] == str(stage.dataset_dir)
        taken = 'nothing to do' if published else f'{made} of {_NUM_SHARDS} shards'
        assert any(taken in line for line in [*error, *output.splitlines()]) or (made == 0 and not published)
        assert stage.digests() == stage.expected
        assert os.listdir(stage.dataset_dir.parent) == ['1.0.0']
    finally:
        stage.clear()
    line = said[-1].replace(str(stage.out), 'OUT') if said else ''
    says = f'exit {code}' + (f': {line}' if line else '')
    name = disturb.__name__.replace('_', ' ')
    table.append((number, name, shards, says, 'all, intact' if published else 'nothing', made, 'yes'))
