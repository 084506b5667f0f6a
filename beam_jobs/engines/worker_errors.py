"""What a worker raised, found again in what an engine makes of it."""

import re

from seg_pipeline import errors

_KNOWN_ERROR = re.compile(r'(UserError|OutsideError): (.*?)(?: \[while running|\n|$)')


def of_worker(error: BaseException) -> errors.UserError | errors.OutsideError | None:
    """Returns the error of a worker that one line explains; None if the job failed otherwise.

    Engines carry a worker's exception as text, with its traceback, and append the step that it comes from.
    """
    found = _KNOWN_ERROR.findall(f'{type(error).__name__}: {error}')
    if not found:
        return None
    kind, message = found[-1]
    return errors.UserError(message) if kind == 'UserError' else errors.OutsideError(message)
