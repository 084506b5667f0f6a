"""Ctrl-C in the first second of a command, while it imports: it ends, and prints no traceback of its imports."""

import os
import signal
import subprocess
import sys

import pytest

from tests import hostile_flags

# Every command imports absl before it has handlers of its own. The process sends itself the signal, and waits for it.
_SITE_CUSTOMIZE = """
import os, signal, sys, time

class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == 'absl':
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(30)

sys.meta_path.insert(0, Interrupting())
"""
_MODULES = sorted(command.module for command in hostile_flags.COMMANDS.values())


def _run(directory, *arguments):
    (directory / 'sitecustomize.py').write_text(_SITE_CUSTOMIZE)
    environment = {**os.environ, 'PYTHONPATH': os.pathsep.join((str(directory), os.getcwd()))}
    command = [sys.executable, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.parametrize('module', [*_MODULES, 'seg_pipeline.synthetic'])
def test_a_command_that_is_interrupted_while_it_imports_says_nothing(tmp_path, module):
    done = _run(tmp_path, '-m', module)
    # By the signal itself: a shell calls that 130, and ends a script that it runs.
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, '', '')


def test_a_program_of_others_keeps_its_interrupts(tmp_path):
    package = tmp_path / 'someones'
    package.mkdir()
    (package / '__init__.py').write_text('import seg_pipeline, trainer\n')
    code = 'import signal\nprint(signal.getsignal(signal.SIGINT) is signal.default_int_handler)\n'
    (package / 'program.py').write_text(code)
    for arguments in (['-m', 'someones.program'], ['-c', f'import seg_pipeline\n{code}']):
        done = _run(tmp_path, *arguments)
        assert (done.returncode, done.stdout, done.stderr) == (0, 'True\n', '')
