"""One process trains a run: real processes, one of them killed."""

import os
import signal
import socket
import subprocess
import sys

import pytest

from seg_pipeline import errors
from trainer.training import run_lock

_HOLD = (
    'import sys; from trainer.training import run_lock\nwith run_lock.held(sys.argv[1]): print(1, flush=True); input()'
)


@pytest.fixture
def holder(tmp_path):
    pipes = {'stdin': subprocess.PIPE, 'stdout': subprocess.PIPE, 'text': True}
    with subprocess.Popen([sys.executable, '-c', _HOLD, str(tmp_path / 'run')], **pipes) as process:
        assert process.stdout.readline() == '1\n'
        yield process
        process.kill()


def test_the_second_process_is_told_who_the_first_is(tmp_path, holder):
    expected = f'--model_dir={tmp_path}/run: process {holder.pid} on {socket.gethostname()} trains this run'
    with pytest.raises(errors.UserError, match=expected), run_lock.held(str(tmp_path / 'run')):
        pytest.fail('two hold the lock')
    with pytest.raises(errors.UserError, match=expected):
        run_lock.check(str(tmp_path / 'run'))


def test_a_killed_process_leaves_the_run_free(tmp_path, holder):
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    run_lock.check(str(tmp_path / 'run'))
    with run_lock.held(str(tmp_path / 'run')), pytest.raises(errors.UserError, match=f'process {os.getpid()} on'):
        run_lock.check(str(tmp_path / 'run'))


def test_a_holder_that_has_not_said_who_it_is(tmp_path, holder):
    (tmp_path / 'run' / 'lock').write_text('')
    with pytest.raises(errors.UserError, match='another process trains this run'):
        run_lock.check(str(tmp_path / 'run'))


def test_a_directory_that_cannot_be_made(tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(errors.UserError, match='cannot be written'), run_lock.held(str(tmp_path / 'file' / 'run')):
        pytest.fail('there is no such directory')


def test_a_directory_without_a_run_is_free(tmp_path):
    run_lock.check(str(tmp_path))
    assert list(tmp_path.iterdir()) == []
