"""Starts and ends every command: parses its flags, and turns errors into one line on stderr and an exit code."""

import re
import sys
from collections.abc import Callable
from typing import NoReturn

from absl import app, flags

from seg_pipeline import errors

EXIT_OUTSIDE_FAULT = 1
EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130  # 128 + SIGINT, the convention of shells
# What absl says of a required flag that was not given.
_MISSING = re.compile(r'(--\w+)=None: Flag --\w+ must have a value other than None')


def run(main: Callable[[list[str]], int | None], *, known_only: bool = False) -> NoReturn:
    """Parses the command line, calls `main` and ends the process.

    Args:
        main: takes the arguments that are left after the flags (program name first) and returns an exit code, or None
            for 0.
        known_only: leave unknown flags in `main`'s arguments, for Beam, instead of rejecting them.

    Raises:
        SystemExit: always, with what `main` returned; 2 and one line on stderr for a wrong flag or a `UserError`; 1 and
            one line for an `OutsideError`, and for an `OSError` of that kind; 130 after an interrupt. Any other
            exception is an error of the program, and its traceback is printed.
    """

    # Replaces absl's own parser, which accepts no unknown flags, writes two lines and exits with 1.
    def parse(argv: list[str]) -> list[str]:
        try:
            arguments: list[str] = flags.FLAGS(argv, known_only=known_only)
            return arguments
        except flags.Error as error:
            fail(f'{_shortened(str(error))}; see --help')

    def guarded(argv: list[str]) -> int | None:
        try:
            return main(argv)
        except errors.UserError as error:
            fail(str(error))
        except errors.OutsideError as error:
            fail(str(error), EXIT_OUTSIDE_FAULT)
        except OSError as error:
            if not errors.is_outside(error):
                raise
            fail(f'{error.filename or "the system"}: {error.strerror}', EXIT_OUTSIDE_FAULT)
        except KeyboardInterrupt:
            print('interrupted', file=sys.stderr)
            sys.exit(EXIT_INTERRUPTED)

    app.run(guarded, flags_parser=parse)


def _shortened(message: str) -> str:
    """An error message of absl about flags, shorter if it is about a flag that must be given."""
    missing = _MISSING.findall(message)
    return f'{", ".join(missing)} must be given' if missing else message.rstrip('.')


def fail(message: str, exit_code: int = EXIT_USER_ERROR) -> NoReturn:
    """Prints a message for the user on one line of stderr and exits.

    Args:
        message: what is wrong; line breaks become spaces.
        exit_code: of the process.
    """
    print('error: ' + ' '.join(message.split()), file=sys.stderr)
    sys.exit(exit_code)
