"""The exception for mistakes that the user of a command can correct."""


class UserError(Exception):
    """A mistake in what the user gave: a path, a flag, a file.

    The message is one line that names the file, the value found, the value expected and what to do. The commands print
    it without a traceback and exit with `command_line.EXIT_USER_ERROR`.
    """
