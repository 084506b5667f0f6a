"""How every command starts and ends: flags in, one line on stderr and an exit code out."""

import re
import sys
from collections.abc import Callable
from typing import NoReturn

from absl import app, flags

from seg_pipeline import errors

EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells count it
_MISSING = re.compile(r'(--\w+)=None: Flag --\w+ must have a value other than None')


def run(main: Callable[[list[str]], int | None], *, known_only: bool = False) -> NoReturn:
    """Parses the command line, calls `main` and ends the process.

    Args:
        main: takes the arguments that are left after the flags (program name first) and returns an exit code or None.
        known_only: leave unknown flags in `main`'s arguments (for Beam) instead of refusing them.

    Raises:
        SystemExit: always: what `main` returned; 2 with one line on stderr for a wrong flag or a `UserError`; 130 after
            an interrupt. Any other exception is a fault of the program and keeps its traceback.
    """

    def parse(argv: list[str]) -> list[str]:
        try:
            return flags.FLAGS(argv, known_only=known_only)
        except flags.Error as error:
            fail(f'{_plainly(str(error))}; see --help')

    def guarded(argv: list[str]) -> int | None:
        try:
            return main(argv)
        except errors.UserError as error:
            fail(str(error))
        except KeyboardInterrupt:
            print('interrupted', file=sys.stderr)
            sys.exit(EXIT_INTERRUPTED)

    app.run(guarded, flags_parser=parse)


def _plainly(message: str) -> str:
    """What absl says of flags, in the words of someone who forgot one."""
    missing = _MISSING.findall(message)
    return f'{", ".join(missing)} must be given' if missing else message.rstrip('.')


def fail(message: str) -> NoReturn:
    """Prints a user's mistake on one line of stderr and exits with code 2."""
    print('error: ' + ' '.join(message.split()), file=sys.stderr)
    sys.exit(EXIT_USER_ERROR)
