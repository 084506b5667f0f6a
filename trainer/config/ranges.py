"""Checks that numbers of options lie in their ranges, and that the others are known."""

from collections.abc import Mapping
from typing import Any

from seg_pipeline import errors

BATCH_SIZES = (1, 2**20)
MOST = 2**31 - 1  # of what is counted: it fits into every integer that TensorFlow counts with


def check_ranges(options: Any, ranges: Mapping[str, tuple[float, float]]) -> None:
    """Checks numbers, which come from flags or from a program that calls the package.

    Args:
        options: a dataclass; None is no number and passes.
        ranges: by the name of an attribute, which is that of its flag: the least and the largest number.

    Raises:
        UserError: if one is outside, or is nan; it names the flag, the value and the range.
    """
    for name, (least, most) in ranges.items():
        value = getattr(options, name)
        if value is not None and not least <= value <= most:  # so put, nan is in no range
            raise errors.UserError(f'--{name}={value}: wanted a number from {least} to {most}')


def check_choices(options: Any, choices: Mapping[str, tuple[str, ...]]) -> None:
    """Checks words, likewise.

    Args:
        options: a dataclass.
        choices: by the name of an attribute, which is that of its flag: what it may be.

    Raises:
        UserError: if one is none of them; it names the flag, the value and the choices.
    """
    for name, known in choices.items():
        if (value := getattr(options, name)) not in known:
            raise errors.UserError(f'unknown --{name}={value}; known are {", ".join(known)}')
