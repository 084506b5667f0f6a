"""The trainer on two hosts with networks of their own, one of which is cut off."""

import subprocess
import sys
import time

import pytest

from tests import fake_data, optional
from tools.engines import hosts
from trainer import config
from trainer.training import history

optional.CLUSTERS.skip_module()

_FLAGS = (
    *('--encoder=tiny', '--encoder_weights=none', '--batch_size=4', '--frozen_epochs=0'),
    '--checkpoint_every_steps=1',
)


@pytest.fixture
def data_dir(tmp_path):
    return fake_data.make_dataset(tmp_path / 'data')


def _start(network, data_dir, model_dir, *flags):
    addresses = ','.join(f'{host.address}:2222' for host in network)
    command = [sys.executable, '-m', 'trainer.train', f'--data_dir={data_dir}', f'--model_dir={model_dir}', *_FLAGS]
    together = ['--strategy=multi_worker', f'--workers={addresses}', *flags]
    return [
        subprocess.Popen(
            host.command([*command, *together, f'--worker_index={index}']), stderr=subprocess.PIPE, text=True
        )
        for index, host in enumerate(network)
    ]


def test_a_host_that_is_cut_off_ends_both_within_a_minute_and_the_run_goes_on(data_dir, tmp_path):
    model_dir = tmp_path / 'run'
    with hosts.network(2) as network:
        processes = _start(network, data_dir, model_dir, '--epochs=1000')
        while not config.saved_steps(str(model_dir / config.LATEST_DIR)):
            assert all(process.poll() is None for process in processes)
            time.sleep(0.1)
        network[1].cut_off()
        began = time.monotonic()
        for index, process in enumerate(processes):
            _, said = process.communicate(timeout=120)
            assert process.returncode == 1
            assert f'error: worker {index} of 2 ({network[index].address}:2222): lost ' in said.splitlines()[-1]
            print(index, time.monotonic() - began, said.splitlines()[-1])
        assert time.monotonic() - began < 60
        network[1].reconnect()
        done = int(history.read(str(model_dir))[-1]['epoch']) if history.read(str(model_dir)) else 0
        for process in _start(network, data_dir, model_dir, f'--epochs={done + 1}'):
            process.communicate(timeout=120)
            assert process.returncode == 0
