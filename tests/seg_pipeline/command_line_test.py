"""How commands end: output and exit code after a wrong flag, an error and an interrupt."""

import subprocess
import sys

import pytest

_COMMAND = """
from absl import flags
from seg_pipeline import command_line, errors
flags.DEFINE_string('here', None, 'A flag.', required=True)
flags.DEFINE_integer('count', 1, 'Another.', 1)
flags.DEFINE_float('rate', 1, 'A float.')
flags.DEFINE_bool('dry', False, 'A switch.')
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
        (['--here='], 2, 'error: flag --here=: an empty value; give one, or leave the flag out; see --help\n'),
        (['--here=x', '--count=١'], 2, 'error: flag --count=١: not written in the digits 0 to 9; see --help\n'),
        (['--here=x', '--rate=nan'], 2, 'error: flag --rate=nan: not a finite number; see --help\n'),
        (['--here=x', '--rate=1e9999'], 2, 'error: flag --rate=1e9999: not a finite number; see --help\n'),
        (['--here=x', '--nodry=1'], 2, 'error: --nodry=1 does not take an argument; see --help\n'),
        (['--here=a\nb'], 2, "error: flag --here=a b: the control character '\\n' in it; see --help\n"),
        (['--here=\x1b[1m'], 2, "error: flag --here=\\x1b[1m: the control character '\\x1b' in it; see --help\n"),
        (['--here=a\udcff'], 2, 'error: flag --here=a\\udcff: not UTF-8; see --help\n'),
        (['--here=x', ''], 2, "error: argument '': an empty value; give one, or leave the flag out; see --help\n"),
        (['--here=x', '--here=y', '--count=2', '--count=3'], 7, ''),  # as with a flag file: the last one counts
        (
            ['--flagfile=no/such'],
            2,
            "error: ERROR:: Unable to open flagfile: [Errno 2] No such file or directory: 'no/such'; see --help\n",
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
