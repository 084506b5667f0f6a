"""A cluster of Flink or Spark that loses a worker, a host or its command in the midst of a job.

The engine finishes the job by its own retries, or the command ends with one line; what is published is whole and the
same as without the fault, and the same command goes on with what was made.
"""

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from tests import optional
from tests.engines import job
from tools.engines import flink, hosts, spark

optional.CLUSTERS.skip_module()

_FLAGS = ('--image_size=64,64', '--num_shards=train:32,validation:8')
_ENGINES = {'flink': flink, 'spark': spark}


@pytest.fixture(scope='module')
def source(tmp_path_factory):
    return job.write_source(tmp_path_factory.mktemp('source') / 'pairs', 200, (900, 700), *_FLAGS)


@pytest.fixture(scope='module')
def expected(source, tmp_path_factory):
    done = job.run(source.command(tmp_path_factory.mktemp('expected')))
    return job.digests(job.directory_of(done))


@pytest.fixture(params=_ENGINES)
def cluster(request, tmp_path):
    logs = tmp_path / 'logs'
    logs.mkdir()
    with hosts.network(3) as network, _ENGINES[request.param].cluster(network, logs) as running:
        yield running


@contextlib.contextmanager
def _in_the_midst(source, cluster, output_dir):
    """Starts the command, and comes back when some of the shards are made, and not all."""
    command = cluster.manager.command(source.command(output_dir, *cluster.arguments))
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | dict(cluster.environment),
    )
    try:
        while not _num_made(output_dir):
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.05)
        yield process
    finally:
        process.kill()
        process.wait()


def _num_made(output_dir):
    return len(list(pathlib.Path(output_dir).rglob('.work/*.json')))


def _finish(process, cluster, output_dir):
    """Waits for the command, and starts it again if it fails; returns the digests of what it publishes."""
    stdout, stderr = process.communicate(timeout=900)
    done = subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)
    if done.returncode:
        last = stderr.splitlines()[-1]
        assert done.returncode == 1
        assert last.startswith('error: ')
        assert 'Traceback' not in stderr
        print(f'ended by the fault: {last}')
        done = job.run(process.args, cluster.environment)
        assert 'continuing: ' in done.stderr
    found = job.digests(job.directory_of(done))
    left = [path for path in pathlib.Path(output_dir).rglob('.*') if path.is_dir()]
    assert left == []  # no work directory
    return found


def _workers(cluster):
    """The Python processes that do the work on one of the hosts; another may have none at a moment."""
    for pool in cluster.pools:
        if found := job.run(['pgrep', '-P', str(pool.pid)]).stdout.split():
            return [int(pid) for pid in found]
    return []


def test_a_worker_process_is_killed(cluster, source, expected, tmp_path):
    with _in_the_midst(source, cluster, tmp_path / 'out') as process:
        killed = _workers(cluster)
        assert killed
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        assert _finish(process, cluster, tmp_path / 'out') == expected


def test_the_engine_on_a_host_is_killed(cluster, source, expected, tmp_path):
    """A task manager of Flink; a worker of Spark with its executor."""
    with _in_the_midst(source, cluster, tmp_path / 'out') as process:
        os.killpg(cluster.workers[0].pid, signal.SIGKILL)
        assert _finish(process, cluster, tmp_path / 'out') == expected


def test_a_host_is_cut_off(cluster, source, expected, tmp_path):
    """What runs there goes on writing to the shared disk, while another host makes the same shards."""
    with _in_the_midst(source, cluster, tmp_path / 'out') as process:
        cluster.hosts[0].cut_off()
        assert _finish(process, cluster, tmp_path / 'out') == expected
        cluster.hosts[0].reconnect()
        time.sleep(5)
    assert job.digests(next(pathlib.Path(tmp_path / 'out').glob('*/64x64/1.0.0'))) == expected


def test_the_command_is_interrupted(cluster, source, expected, tmp_path):
    """It takes the job back from the cluster; the next one goes on with what was made."""
    with _in_the_midst(source, cluster, tmp_path / 'out') as process:
        process.send_signal(signal.SIGINT)
        stderr = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert 'Traceback' not in stderr
    made = _num_made(tmp_path / 'out')
    assert made > 0
    deadline = time.monotonic() + 30
    while cluster.engine == 'flink' and _running_jobs(cluster):
        assert time.monotonic() < deadline
        time.sleep(0.5)
    done = job.run(process.args, cluster.environment)
    assert 'continuing: ' in done.stderr
    assert job.digests(job.directory_of(done)) == expected


def _running_jobs(cluster):
    address = f'http://{cluster.manager.address}:8081/overview'
    program = f'import urllib.request; print(urllib.request.urlopen("{address}").read().decode())'
    said = job.run(cluster.manager.command([sys.executable, '-c', program])).stdout
    return json.loads(said)['jobs-running']
