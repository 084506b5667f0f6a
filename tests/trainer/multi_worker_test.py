"""Training by several processes that find each other over the network: the same run as by one."""

import pathlib
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf

from tests import fake_data
from trainer import config
from trainer.training import history

pytestmark = pytest.mark.slow

# As in train_test, a network and a seed in which rounding is not amplified.
_FLAGS = (
    *('--encoder=tiny', '--encoder_weights=none', '--augmentation=light', '--batch_size=12', '--seed=1'),
    *('--steps_per_epoch=3', '--optimizer=sgd', '--learning_rate=0.01', '--clip_norm=1', '--frozen_epochs=1'),
    *('--ema_decay=0.9', '--checkpoint_every_steps=1'),
)


@pytest.fixture(scope='module')
def data_dir(tmp_path_factory):
    return fake_data.make_dataset(tmp_path_factory.mktemp('data'), num_pairs=24)


@pytest.fixture(scope='module')
def train(data_dir):
    """Starts the processes of a run; the run itself, where it is to be by one that has no workers."""

    def start(model_dir, num_workers, *flags, each=lambda index: (), indices=None):
        command = [sys.executable, '-m', 'trainer.train', f'--data_dir={data_dir}', f'--model_dir={model_dir}']
        if num_workers == 0:
            return [_start([*command, *_FLAGS, *flags])]
        servers = [socket.create_server(('localhost', 0)) for _ in range(num_workers)]
        addresses = ','.join(f'localhost:{server.getsockname()[1]}' for server in servers)
        for server in servers:
            server.close()
        together = ('--strategy=multi_worker', f'--workers={addresses}')
        return [
            _start([*command, *_FLAGS, *flags, *together, f'--worker_index={index}', *each(index)])
            for index in (range(num_workers) if indices is None else indices)
        ]

    return start


def _start(command):
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _finish(processes, code=0):
    """Waits for processes; returns what each has printed, stdout and stderr."""
    said = [process.communicate(timeout=240) for process in processes]
    for process, (stdout, stderr) in zip(processes, said, strict=True):
        assert process.returncode == code, stdout + stderr
    return said


def _weights(model_dir, step=None):
    latest = pathlib.Path(model_dir) / config.LATEST_DIR
    path = tf.train.latest_checkpoint(str(latest)) if step is None else str(latest / f'ckpt-{step}')
    reader = tf.train.load_checkpoint(path)
    names = [name for name in reader.get_variable_to_shape_map() if name.startswith('state/')]
    return {name: reader.get_tensor(name) for name in names if reader.get_tensor(name).dtype.kind in 'fiu'}


def _largest_difference(found, expected):
    assert found.keys() == expected.keys()
    return max(float(np.max(np.abs(value - expected[name]), initial=0.0)) for name, value in found.items())


def _wait_for_step(model_dir, step, processes):
    deadline = time.monotonic() + 120
    while max(config.saved_steps(str(pathlib.Path(model_dir) / config.LATEST_DIR)), default=0) < step:
        assert all(process.poll() is None for process in processes)
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture(scope='module')
def alone(train, tmp_path_factory):
    """A run by one process."""
    model_dir = tmp_path_factory.mktemp('alone') / 'run'
    _finish(train(model_dir, 0, '--epochs=3'))
    return model_dir


@pytest.fixture(scope='module')
def by_two(train, tmp_path_factory):
    """The same run by two workers, and what they printed."""
    model_dir = tmp_path_factory.mktemp('by_two') / 'run'
    return model_dir, _finish(train(model_dir, 2, '--epochs=3'))


def test_two_workers_learn_the_weights_of_one_process(alone, by_two):
    assert _largest_difference(_weights(by_two[0]), _weights(alone)) < 1e-6
    for one, two in zip(history.read(str(alone)), history.read(str(by_two[0])), strict=True):
        for name in ('loss', 'accuracy', 'val_loss', 'val_accuracy', 'val_mean_iou'):
            assert float(one[name]) == pytest.approx(float(two[name]), abs=2e-6)


def test_two_workers_do_bit_for_bit_what_two_devices_of_one_process_do(train, by_two, tmp_path):
    _finish(train(tmp_path / 'run', 0, '--epochs=3', '--virtual_devices=2'))
    assert _largest_difference(_weights(tmp_path / 'run'), _weights(by_two[0])) == 0


def test_only_the_chief_writes_and_tells(by_two):
    model_dir, ((chief, _), (other, errors_of_other)) = by_two
    assert 'worker 0 of 2' in chief
    assert 'validation  loss' in chief
    assert str(model_dir / 'best') not in other
    assert len(other.splitlines()) == 2  # what it is, and the augmentation
    assert 'error' not in errors_of_other
    assert len(list((model_dir / config.TENSORBOARD_DIR).glob('events*'))) == 1


def test_a_run_goes_on_with_another_number_of_workers(train, alone, tmp_path):
    for number, num_workers in enumerate((3, 2, 0), start=1):
        _finish(train(tmp_path / 'run', num_workers, f'--epochs={number}'))
    assert _largest_difference(_weights(tmp_path / 'run'), _weights(alone)) < 1e-5


@pytest.mark.parametrize('victim', [0, 1])
def test_a_worker_that_dies_ends_the_others_and_nothing_is_lost(train, by_two, tmp_path, victim):
    processes = train(tmp_path / 'run', 2, '--epochs=3')
    _wait_for_step(tmp_path / 'run', 4, processes)
    processes[victim].kill()
    survivor = processes[1 - victim]
    (_, said) = survivor.communicate(timeout=60)
    assert survivor.returncode == 1
    assert 'Traceback' not in said
    last = said.splitlines()[-1]
    assert last.startswith(f'error: worker {1 - victim} of 2 (localhost:')
    assert f'lost worker {victim} (localhost:' in last
    processes[victim].communicate()
    _finish(train(tmp_path / 'run', 2, '--epochs=3'))
    assert _largest_difference(_weights(tmp_path / 'run'), _weights(by_two[0])) == 0


def test_a_signal_to_one_worker_stops_all_after_the_same_step(train, by_two, tmp_path):
    processes = train(tmp_path / 'run', 2, '--epochs=3')
    _wait_for_step(tmp_path / 'run', 2, processes)
    processes[1].send_signal(signal.SIGTERM)
    said = _finish(processes, code=128 + signal.SIGTERM)
    (step,) = {stdout.splitlines()[-1] for stdout, _ in said}
    assert step.startswith('stopped after step ')
    _finish(train(tmp_path / 'run', 2, '--epochs=3'))
    assert _largest_difference(_weights(tmp_path / 'run'), _weights(by_two[0])) == 0


@pytest.mark.parametrize('there', [0, 1])
def test_a_worker_whose_peers_never_come_says_who_is_missing(train, tmp_path, there):
    (process,) = train(tmp_path / 'run', 2, '--epochs=1', '--join_timeout=3', indices=[there])
    ((_, stderr),) = _finish([process], code=1)
    last = stderr.splitlines()[-1]
    assert 'after --join_timeout=3 seconds not all workers are there; ' in last
    assert f'missing: worker {1 - there} (localhost:' in last
    assert not (tmp_path / 'run').exists()


def test_sigterm_is_heard_while_a_worker_waits_for_the_others(train, tmp_path):
    (process,) = train(tmp_path / 'run', 2, '--epochs=1', indices=[0])
    time.sleep(12)  # until it waits
    process.terminate()
    process.communicate(timeout=20)
    assert process.returncode == 128 + signal.SIGTERM


def test_workers_with_different_flags_are_refused(train, tmp_path):
    processes = train(tmp_path / 'run', 2, '--epochs=1', each=lambda index: [f'--weight_decay=0.0{index + 1}'])
    for _, stderr in _finish(processes, code=2):
        assert stderr.splitlines()[-1].endswith('the workers were started with different flags or data')


def test_workers_that_share_no_directory_are_refused(train, by_two, tmp_path):
    elsewhere = (tmp_path / 'link', tmp_path / 'empty')
    elsewhere[0].symlink_to(by_two[0])
    processes = train(elsewhere[0], 2, '--epochs=4', each=lambda index: [f'--model_dir={elsewhere[index]}'])
    for _, stderr in _finish(processes, code=2):
        assert 'the workers find checkpoints of the steps [9, 0] there' in stderr.splitlines()[-1]
    assert not elsewhere[1].exists()
