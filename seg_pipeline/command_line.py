"""Starts and ends every command: parses its flags, and turns errors into one line on stderr and an exit code."""

import atexit
import contextlib
import io
import math
import os
import re
import signal
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from absl import app, flags

from seg_pipeline import errors, progress, stop_signals
from seg_pipeline.stop_signals import StoppedBySignal

EXIT_OUTSIDE_FAULT = 1
EXIT_USER_ERROR = 2
_LONGEST_VALUE = 4096  # characters of a flag: the longest path of Linux, in bytes
_LONGEST_MESSAGE = 2000
# What absl says of a required flag that was not given.
_MISSING = re.compile(r'(--\w+)=None: Flag --\w+ must have a value other than None')


def run(main: Callable[[list[str]], int | None], *, known_only: bool = False, kept: str = '') -> NoReturn:
    """Parses the command line, calls `main` and ends the process.

    Where Python takes file names for another encoding than UTF-8, as its locale says (`LC_ALL=C` with
    `PYTHONUTF8=0`), the command starts itself again in Python's UTF-8 mode: what is stored of a name must not depend
    on the locale. Whatever a name holds, it can be printed.

    Args:
        main: takes the arguments that are left after the flags (program name first) and returns an exit code, or None
            for 0.
        known_only: leave unknown flags in `main`'s arguments, for Beam, instead of rejecting them.
        kept: what a signal that ends the command says of its work.

    Raises:
        SystemExit: always, with what `main` returned; 2 and one line on stderr for a wrong flag or a `UserError`; 1 and
            one line for an `OutsideError`, and for an `OSError` of that kind. Any other exception is an error of the
            program, and its traceback is printed. After SIGINT, SIGTERM or SIGHUP the process ends with one line and
            128 + the number of the signal.
    """

    _read_names_as_utf8()
    _print_every_name()

    # Replaces absl's own parser, which accepts no unknown flags, writes two lines and exits with 1.
    def parse(argv: list[str]) -> list[str]:
        for name in flags.FLAGS:
            _check_strictly(flags.FLAGS[name])
        try:
            arguments: list[str] = flags.FLAGS(argv, known_only=known_only)
            for argument in arguments[1:]:
                _check_argument(argument)
            return arguments
        except (flags.Error, ValueError) as error:  # absl's own ValueError: --noNAME=1, a flag file that is no text
            fail(f'{_shortened(str(error))}; see --help')

    def guarded(argv: list[str]) -> int | None:
        try:
            code = main(argv)
            stop_signals.unwatch()
            return code
        except KeyboardInterrupt:
            _end_by_signal(StoppedBySignal.received or signal.SIGINT, kept)
        except Exception as error:
            # Raised in Python that C++ has called, as TensorFlow does, the stop comes back as some other error.
            if StoppedBySignal.received is not None:
                _end_by_signal(StoppedBySignal.received, kept)
            _fail_known(error)
            raise

    stop_signals.handle()
    app.run(guarded, flags_parser=parse)


def _read_names_as_utf8() -> None:
    """Starts the process again in UTF-8 mode if it is not in it and the file system's encoding is another one.

    The environment tells the workers, which are processes of their own. The option is for a process that was started
    with `-E` or `-I`, which ignores it. A process that was told so before and still is not in that mode goes on.
    """
    if sys.getfilesystemencoding() == 'utf-8' or os.environ.get('PYTHONUTF8') == '1' or not sys.executable:
        return
    os.environ['PYTHONUTF8'] = '1'
    os.execv(sys.executable, [sys.executable, '-X', 'utf8', *sys.orig_argv[1:]])


def _print_every_name() -> None:
    """Lets stdout print names that its encoding does not have, as escapes; stderr does so anyway."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors='backslashreplace')


def _end_by_signal(number: signal.Signals, kept: str) -> NoReturn:
    stop_signals.unwatch()
    with contextlib.suppress(OSError, ValueError):  # a terminal that has hung up
        progress.end_lines()
        print('; '.join(filter(None, (stop_signals.SIGNALS[number], kept))), file=sys.stderr)
        sys.stderr.flush()
        sys.stdout.flush()
    # Not by `sys.exit`, which waits for threads that go on working, and crashes if one prints meanwhile. What libraries
    # remove at the end, such as TensorFlow the code that it has generated, is removed all the same.
    atexit._run_exitfuncs()
    os._exit(128 + number)


def _fail_known(error: Exception) -> None:
    """Ends the process if the error is one that a line explains."""
    if isinstance(error, errors.UserError):
        fail(str(error))
    if isinstance(error, errors.OutsideError):
        fail(str(error), EXIT_OUTSIDE_FAULT)
    if isinstance(error, OSError) and errors.is_outside(error):
        fail(f'{error.filename or "the system"}: {error.strerror}', EXIT_OUTSIDE_FAULT)


class _StrictParser(flags.ArgumentParser[Any]):
    """A parser of a flag that refuses what absl accepts and no flag means.

    Python's `int` and `float` take digits of every script, `nan` and `inf`; a path can be empty, or have a line break
    that makes two lines of one.
    """

    def __init__(self, parser: flags.ArgumentParser[Any]) -> None:
        self._parser = parser
        self.syntactic_help = parser.syntactic_help

    def parse(self, argument: Any) -> Any:
        """Parses as the flag's own parser does. Raises `ValueError`, which absl reports with the flag's name."""
        if isinstance(argument, str):
            _check_text(argument)
        value = self._parser.parse(argument)
        if isinstance(value, int | float) and isinstance(argument, str) and not argument.isascii():
            raise ValueError('not written in the digits 0 to 9')
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError('not a finite number')
        return value

    def flag_type(self) -> str:
        """What absl's help says of the value."""
        return str(self._parser.flag_type())


def _check_text(text: str) -> None:
    if len(text) > _LONGEST_VALUE:
        raise ValueError(f'{len(text)} characters, more than {_LONGEST_VALUE}')
    if not text.strip():
        raise ValueError('an empty value; give one, or leave the flag out')
    try:
        os.fsencode(text).decode()
    except UnicodeError as error:  # neither a report nor a manifest could name such a file
        raise ValueError('not UTF-8') from error
    if control := next((character for character in text if ord(character) < 32 or ord(character) == 127), None):
        raise ValueError(f'the control character {control!r} in it')


def _check_strictly(flag: flags.Flag[Any]) -> None:
    if not isinstance(flag.parser, _StrictParser):
        flag.parser = _StrictParser(flag.parser)


def _check_argument(argument: str) -> None:
    """Checks an argument that is no flag of this command: a path, or a flag of Beam's."""
    flag, equals, value = argument.partition('=') if argument.startswith('-') else ('', '', argument)
    if equals or not flag:
        try:
            _check_text(value)
        except ValueError as error:
            raise ValueError(f'{f"flag {argument}" if flag else f"argument {argument!r}"}: {error}') from error


def _shortened(message: str) -> str:
    """An error message of absl about flags, shorter if it is about a flag that must be given."""
    missing = _MISSING.findall(message)
    return f'{", ".join(missing)} must be given' if missing else message.rstrip('.')


def fail(message: str, exit_code: int = EXIT_USER_ERROR) -> NoReturn:
    """Prints a message for the user on one line of stderr and exits.

    Args:
        message: what is wrong; line breaks become spaces, other control characters are spelled out, and the middle of
            a very long one is left out.
        exit_code: of the process.
    """
    _print_error(message)
    sys.exit(exit_code)


def fail_at_once(message: str) -> NoReturn:
    """As `fail` for an outside fault, from any thread, while the main thread is at something that does not end.

    Nothing is cleaned up: what is left is that of a process that was killed.
    """
    with contextlib.suppress(OSError, ValueError):
        _print_error(message)
        sys.stdout.flush()
    os._exit(EXIT_OUTSIDE_FAULT)


def _print_error(message: str) -> None:
    line = ''.join(map(_printable, ' '.join(message.split())))
    if len(line) > _LONGEST_MESSAGE:
        line = f'{line[: _LONGEST_MESSAGE // 2]} [...] {line[-_LONGEST_MESSAGE // 2 :]}'
    progress.end_lines()
    print(f'error: {line}', file=sys.stderr, flush=True)


def _printable(character: str) -> str:
    return character if character.isprintable() else ascii(character)[1:-1]
