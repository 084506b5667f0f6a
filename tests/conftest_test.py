"""The end of a run: what is said of skipped tests, and that one which may not be skipped fails the run."""

import pathlib
import re
import subprocess
import sys

import pytest

from tests import optional

_ROOT = pathlib.Path(__file__).parents[1]
_TESTS = """
import pytest
from tests import optional

def test_that_runs():
    pass

@pytest.mark.skip(reason=optional.PUBLISHED.reason)
def test_that_may_be_left_out():
    pass

@pytest.mark.parametrize('number', range(3))
def test_that_needs_hdfs(number):
    if {skip}:
        pytest.skip(optional.HDFS.reason)
"""


def _run(tmp_path, skip, *arguments):
    (tmp_path / 'a_test.py').write_text(_TESTS.format(skip=skip))
    command = [sys.executable, '-m', 'pytest', '-q', '-p', 'no:cacheprovider', f'--confcutdir={_ROOT}']
    # The conftest of this project is a plugin here: the test file is in another directory.
    command += ['-p', 'tests.conftest', f'--rootdir={tmp_path}', '-c', '/dev/null', '-o', 'python_files=*_test.py']
    done = subprocess.run([*command, *arguments, str(tmp_path)], cwd=_ROOT, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


@pytest.mark.parametrize('workers', [(), ('--numprocesses=2',)])
def test_one_line_says_what_was_left_out(tmp_path, workers):
    code, output = _run(tmp_path, True, '-ra', *workers)
    assert code == 0, output
    (line,) = re.findall('^left out: .*$', output, re.MULTILINE)
    assert f'1 needs {optional.PUBLISHED.name}' in line
    assert f'3 need {optional.HDFS.name} ({optional.HDFS.how})' in line
    # Behind pytest's own list of skips, right before its closing line.
    assert output.splitlines()[-2] == line


@pytest.mark.parametrize('workers', [(), ('--numprocesses=2',)])
def test_a_skip_that_is_not_allowed_fails_the_run(tmp_path, workers):
    code, output = _run(tmp_path, True, '--fail-on-skips', *workers)
    assert code == 1, output
    assert output.count('not allowed to be skipped') == 1
    assert optional.HDFS.reason in output
    code, output = _run(tmp_path, False, '--fail-on-skips', *workers)
    assert code == 0, output
    assert 'not allowed' not in output


def test_nothing_is_said_where_nothing_was_left_out():
    assert optional.summary([]) == ''
    assert optional.summary(['of another kind']) == ''
    assert optional.not_allowed(['Not a test.', 'of another kind']) == ['of another kind']
