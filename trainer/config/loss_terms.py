"""The terms of a loss as a recipe writes them: `cross_entropy:1,dice:0.5`."""

import math

from seg_pipeline import errors

PIXEL_LOSSES = ('cross_entropy', 'focal')  # Means over pixels.
REGION_LOSSES = ('dice', 'tversky')  # Means over classes, of the overlap of all their pixels.
LOSSES = (*PIXEL_LOSSES, *REGION_LOSSES)
NO_CLASS_WEIGHTS = 'none'
CLASS_WEIGHTS = (NO_CLASS_WEIGHTS, 'inverse', 'median')


def parse_loss(text: str) -> dict[str, float]:
    """Returns the weight of each term.

    Example:
        >>> parse_loss('cross_entropy,dice:0.5')
        {'cross_entropy': 1.0, 'dice': 0.5}

    Args:
        text: names of `LOSSES`, separated by commas, each with a weight after a colon; without one it is 1.

    Raises:
        UserError: a name that is unknown or appears twice, or a weight that is no positive number.
    """
    weights: dict[str, float] = {}
    for term in text.split(','):
        name, colon, number = term.partition(':')
        if name not in LOSSES:
            raise errors.UserError(f'--loss={text}: {name!r} is none of {", ".join(LOSSES)}')
        if name in weights:
            raise errors.UserError(f'--loss={text}: {name} appears twice')
        weights[name] = _weight(text, number) if colon else 1.0
    return weights


def _weight(text: str, number: str) -> float:
    try:
        weight = float(number) if number.isascii() else math.nan
    except ValueError:
        weight = math.nan
    if not 0 < weight <= 1e6:  # so put, nan is refused too
        raise errors.UserError(f'--loss={text}: {number!r} is no weight; wanted a number above 0, at most 1e6')
    return weight


def check_loss(text: str, *, class_weights: str, label_smoothing: float, hard_pixel_share: float) -> None:
    """Raises `UserError` for a loss that is none, and for an option that has nothing to change in it."""
    terms = parse_loss(text)
    of_pixels = not terms.keys().isdisjoint(PIXEL_LOSSES)
    needed = {
        f'--class_weights={class_weights}': class_weights == NO_CLASS_WEIGHTS or of_pixels,
        f'--hard_pixel_share={hard_pixel_share}': hard_pixel_share == 1 or of_pixels,
        f'--label_smoothing={label_smoothing}': label_smoothing == 0 or 'cross_entropy' in terms,
    }
    for option, is_used in needed.items():
        if not is_used:
            raise errors.UserError(f'{option} changes nothing in --loss={text}; add cross_entropy to it')
