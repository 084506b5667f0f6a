"""What a command that is killed or stopped leaves in the directory for temporary files."""

import os
import signal
import subprocess
import sys
import time

import pytest

from beam_jobs import runners, worker_dirs
from beam_jobs.engines import local
from tests.signalled import Place

_JOB = """
import os, sys, time
import apache_beam as beam
from beam_jobs import runners

def work_in(directory):
    def work(_):
        open(os.path.join(directory, str(os.getpid())), 'w').close()
        time.sleep(60)
    return work

options = runners.parse_options(['--direct_num_workers=2', '--direct_running_mode=multi_processing'])
runners.run(lambda p: p | beam.Create(range(8)) | beam.Reshuffle() | beam.Map(work_in(sys.argv[1])), options)
"""


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


def _start(place):
    """A job whose workers are at their first elements, which take a minute."""
    place.out.mkdir()
    environment = {**os.environ, 'TMPDIR': str(place.temporary)}
    command = [sys.executable, '-c', _JOB, str(place.out)]
    process = subprocess.Popen(command, start_new_session=True, env=environment, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not list(place.out.iterdir()):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return process


def test_workers_end_and_clean_up_when_their_command_is_killed(place):
    process = _start(place)
    assert len(place.processes(process.pid)) == 3
    process.kill()
    process.wait()
    deadline = time.monotonic() + 10
    while place.processes(process.pid) or os.listdir(place.temporary):
        assert time.monotonic() < deadline, os.listdir(place.temporary)
        time.sleep(0.05)


def test_the_next_command_removes_what_nobody_uses(place):
    process = _start(place)
    (left,) = os.listdir(place.temporary)
    worker_dirs.remove_abandoned(str(place.temporary))
    assert os.listdir(place.temporary) == [left]  # in use
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    (place.temporary / 'workers-of-someone').write_text('a file')
    os.symlink(place.out, place.temporary / 'workers-link')
    deadline = time.monotonic() + 10
    while left in os.listdir(place.temporary):  # the kernel drops the lock when it has ended
        assert time.monotonic() < deadline
        worker_dirs.remove_abandoned(str(place.temporary))
    assert sorted(os.listdir(place.temporary)) == ['workers-link', 'workers-of-someone']
    assert list(place.out.iterdir())


def test_one_that_is_taken_for_abandoned_before_it_is_locked_is_made_again(tmp_path, monkeypatch):
    path, opened = str(tmp_path / 'workers-x'), []

    def open_late(name, *more, **options):
        if not opened:
            opened.append(name)
            assert worker_dirs.is_gone(name)
        return os_open(name, *more, **options)

    os_open = os.open
    monkeypatch.setattr(worker_dirs.os, 'open', open_late)
    opened_by_owner = worker_dirs.make(path)
    assert os.path.isdir(path)
    assert not worker_dirs.is_gone(path)
    os.close(opened_by_owner)
    assert worker_dirs.is_gone(path)
    assert not os.path.exists(path)


def test_a_pipeline_that_never_ran_leaves_no_directory(tmp_path, monkeypatch):
    """A signal may come when it is made, and its run, which removes its directory, has not begun."""
    monkeypatch.setattr(local.tempfile, 'tempdir', str(tmp_path))

    def stop(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        runners.run(stop, runners.parse_options(['--direct_num_workers=1']))
    assert os.listdir(tmp_path) == []
    assert local.tempfile.tempdir == str(tmp_path)
