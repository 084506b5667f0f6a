"""Which pixels of a source decide a stored mask: the modes of `--resize` and `--mask_resize`, computed once more.

In fractions, by the definition: where the centre of each new pixel is in the source, and which pixels of the source
have their centre in one new pixel.
"""

import dataclasses
import math
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

_Values = NDArray[np.integer[Any]]


@dataclasses.dataclass(frozen=True)
class Placed:
    """The values of the source at the pixels of a stored mask.

    Attributes:
        values: of the part of the stored mask that shows the source.
        is_certain: where all pixels of the source that are in the new pixel have one value; all True for nearest.
        inside: that part of the stored mask; the rest is border.
        places: row and column in the source of each row and column of the part.
    """

    values: _Values
    is_certain: NDArray[np.bool_]
    inside: tuple[slice, slice]
    places: tuple[NDArray[np.intp], NDArray[np.intp]]


def place(values: _Values, size: tuple[int, int], resize: str, mask_resize: str) -> Placed:
    """Finds the values of a source that a stored mask of some size must show.

    Args:
        values: (H, W) of the source.
        size: (height, width) of the stored mask.
        resize: `squash`, `letterbox` or `crop`.
        mask_resize: `nearest` or `majority`.
    """
    source, target = (0, 0, *values.shape), (0, 0, *size)
    if resize == 'letterbox':
        target = _largest_inside(size, Fraction(values.shape[1], values.shape[0]))
    elif resize == 'crop':
        source = _largest_inside((values.shape[0], values.shape[1]), Fraction(size[1], size[0]))
    rows = source[0] + _centres(source[2], target[2])
    columns = source[1] + _centres(source[3], target[3])
    found = values[rows[:, None], columns]
    certain = np.ones(found.shape, bool)
    if mask_resize == 'majority':
        part = values[source[0] : source[0] + source[2], source[1] : source[1] + source[3]]
        certain = _extreme(np.minimum, part, target[2:]) == _extreme(np.maximum, part, target[2:])
    inside = (slice(target[0], target[0] + target[2]), slice(target[1], target[1] + target[3]))
    return Placed(found, certain, inside, (rows, columns))


def _largest_inside(outer: tuple[int, int], aspect: Fraction) -> tuple[int, int, int, int]:
    """Top, left, height and width of the largest centred rectangle of an aspect ratio (width to height)."""
    height, width = outer
    if aspect >= Fraction(width, height):
        height = min(height, max(1, math.floor(width / aspect + Fraction(1, 2))))
    else:
        width = min(width, max(1, math.floor(height * aspect + Fraction(1, 2))))
    return (outer[0] - height) // 2, (outer[1] - width) // 2, height, width


def _centres(present: int, wanted: int) -> NDArray[np.intp]:
    """For each of `wanted` pixels in a row, the one of `present` under its centre."""
    # The quotient of two floats is rounded correctly, so that it is an integer only where the true one is.
    return np.floor((np.arange(wanted) + 0.5) * present / wanted).astype(np.intp)


def _extreme(function: np.ufunc, values: _Values, size: tuple[int, ...]) -> _Values:
    """The least or greatest value of the pixels whose centres are in each new pixel."""
    for axis, wanted in enumerate(size):
        present = values.shape[axis]
        if wanted >= present:  # a side that grows repeats pixels
            values = values.take(_centres(present, wanted), axis)
        else:
            starts = np.searchsorted(_centres(wanted, present), np.arange(wanted))
            values = function.reduceat(values, starts, axis)
    return values
