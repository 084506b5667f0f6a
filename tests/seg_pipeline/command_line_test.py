"""How commands end: output and exit code after a wrong flag, an error and an interrupt."""

import subprocess
import sys

import pytest

_COMMAND = """
from absl import flags
from seg_pipeline import command_line, errors
flags.DEFINE_string('here', None, 'A flag.', required=True)
flags.DEFINE_integer('count', 1, 'Another.', 1)
def main(argv):
    if argv[1:] == ['wrong']:
        raise errors.UserError('wrong:\\nsee there')
    if argv[1:] == ['outside']:
        raise errors.OutsideError('the network is down')
    if argv[1:] == ['full']:
        raise OSError(28, 'No space left on device', 'x.json')
    if argv[1:] == ['interrupt']:
        raise KeyboardInterrupt
    return 7
command_line.run(main)
"""


@pytest.mark.parametrize(
    ('arguments', 'code', 'said'),
    [
        (['--here=x'], 7, ''),
        ([], 2, 'error: --here must be given; see --help\n'),
        (['--here=x', '--count=0'], 2, 'error: flag --count=0: 0 is not a positive integer; see --help\n'),
        (
            ['--here=x', '--counts=1'],
            2,
            "error: Unknown command line flag 'counts'. Did you mean: count ?; see --help\n",
        ),
        (['--here=x', 'wrong'], 2, 'error: wrong: see there\n'),
        (['--here=x', 'outside'], 1, 'error: the network is down\n'),
        (['--here=x', 'full'], 1, 'error: x.json: No space left on device\n'),
        (['--here=x', 'interrupt'], 130, 'interrupted\n'),
    ],
)
def test_each_end_has_one_line_and_its_exit_code(arguments, code, said):
    command = [sys.executable, '-c', _COMMAND, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (code, '', said)
