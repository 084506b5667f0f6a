"""The exceptions for what ends a command with one line: the user's mistakes, and faults of what is around it."""

import errno
import unicodedata

# What no flag or file of the user mends: space, quota, limits of the system, a failing disk, the network.
_OUTSIDE = frozenset(
    (
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EFBIG,
        errno.EIO,
        errno.ESTALE,
        errno.ENOMEM,
        errno.EMFILE,
        errno.ENFILE,
        errno.ETIMEDOUT,
        errno.ECONNREFUSED,
        errno.ECONNRESET,
        errno.ECONNABORTED,
        errno.EHOSTUNREACH,
        errno.ENETUNREACH,
        errno.ENETDOWN,
        errno.EHOSTDOWN,
    )
)


class _OneLineError(Exception):
    """An exception whose message is one line, whatever it quotes: values of the user, errors of other packages."""

    def __init__(self, message: str) -> None:
        super().__init__(one_line(' '.join(message.splitlines())))


class UserError(_OneLineError):
    """A mistake in what the user gave: a path, a flag, a file.

    The message is one line that names the file, the value found, the value expected and what to do. The commands print
    it without a traceback and exit with `command_line.EXIT_USER_ERROR`.
    """


class OutsideError(_OneLineError):
    """A fault of what is around the command: a full disk, a lost worker, a network that is down.

    The message is one line that names the file or the server and the fault. The commands print it without a traceback
    and exit with `command_line.EXIT_OUTSIDE_FAULT`: the same command may succeed later.
    """


def is_outside(error: OSError) -> bool:
    """Whether an error of the system is an outside fault. Permissions and wrong paths are mistakes of the user."""
    return error.errno in _OUTSIDE


def one_line(text: str) -> str:
    """The same text with line breaks, other control characters and lone surrogates written as escapes.

    File names may hold any of them, and each reject is one line of a log and of `rejected.jsonl`.
    """
    if text.isprintable():
        return text
    escaped = (char.encode('unicode_escape').decode() if _is_unsafe(char) else char for char in text)
    return ''.join(escaped)


def _is_unsafe(char: str) -> bool:
    # Control characters, surrogates (bytes of a file name that are not UTF-8), line and paragraph separators.
    return unicodedata.category(char) in ('Cc', 'Cs', 'Zl', 'Zp')
