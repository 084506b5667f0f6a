import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import pytest

from seg_pipeline import errors, trial
from seg_pipeline.imaging import rejects

# Functions that a process of its own can import.


def _add(a, b):
    print('what a library prints is no answer', flush=True)
    return a + b


def _end(how):
    if how < 0:
        os.kill(os.getpid(), -how)
    os._exit(how)


def _print_the_last_word():
    os.write(1, b'done')
    os._exit(0)


def _raise(error):
    raise error


def _keep_the_lock(path):
    """For ever, and no other thread of the process gets the interpreter's lock meanwhile."""
    pathlib.Path(path).write_text(str(os.getpid()))
    re.match('(a+)+$', 'a' * 60 + 'b')


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    """Under the name that this module has here."""
    monkeypatch.setenv('PYTHONPATH', str(pathlib.Path(__file__).parents[2]))


def test_the_result_comes_back():
    assert trial.call(_add, [1], [b'x' * 1000000]) == [1, b'x' * 1000000]


def test_errors_come_back_as_they_are():
    with pytest.raises(rejects.RejectError, match=r'^a: is odd$') as caught:
        trial.call(_raise, rejects.RejectError(rejects.DAMAGED, 'a: is odd'))
    assert caught.value.reason == rejects.DAMAGED
    with pytest.raises(errors.OutsideError, match=r'^full$'):
        trial.call(_raise, errors.OutsideError('full'))


@pytest.mark.parametrize(
    ('how', 'said'),
    [
        (-signal.SIGSEGV, 'by SIGSEGV'),
        (-signal.SIGKILL, r'by SIGKILL \(was memory short\?\)'),
        (0, 'with exit code 0'),
        (3, 'with exit code 3'),
    ],
)
def test_the_end_of_the_process_is_told(how, said):
    with pytest.raises(trial.FailedError, match=f'^ends the process, {said}$'):
        trial.call(_end, how)


def test_the_last_word_is_not_what_a_library_prints():
    with pytest.raises(trial.FailedError, match='exit code 0'):
        trial.call(_print_the_last_word)


def test_what_does_not_end_is_ended(tmp_path):
    with pytest.raises(trial.FailedError, match=r'^takes more than 2 seconds$'):
        trial.call(_keep_the_lock, str(tmp_path / 'pid'), time_limit=2)
    assert _has_ended(int((tmp_path / 'pid').read_text()))


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGKILL])
def test_the_process_ends_with_its_caller(tmp_path, number):
    program = f'import sys; from seg_pipeline import trial; from {__name__} import _keep_the_lock as f; '
    caller = subprocess.Popen([sys.executable, '-c', f'{program} trial.call(f, sys.argv[1])', str(tmp_path / 'pid')])
    deadline = time.monotonic() + 30
    while not (tmp_path / 'pid').exists() or not (tmp_path / 'pid').read_text():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    pid = int((tmp_path / 'pid').read_text())
    assert not _has_ended(pid)
    caller.send_signal(number)
    caller.wait()
    while not _has_ended(pid):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _has_ended(pid):
    try:
        return '\nState:\tZ' in pathlib.Path(f'/proc/{pid}/status').read_text()  # maybe nobody reaps it here
    except FileNotFoundError:
        return True


def test_a_process_that_cannot_start_says_nothing_about_its_work(tmp_path, monkeypatch):
    (tmp_path / 'seg_pipeline').mkdir()
    (tmp_path / 'seg_pipeline' / '__init__.py').write_text('raise SystemExit("not here")')
    monkeypatch.setenv('PYTHONPATH', str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(errors.OutsideError, match=r'cannot be started .*not here'):
        trial.call(_add, 1, 2)
