"""Resizes images and masks of any size to one size, and maps a prediction back to the original size of its image.

Three modes say which part of the original becomes which part of the result (`geometry`):

- `squash`: all becomes all; the aspect ratio changes.
- `letterbox`: all becomes the largest centred rectangle of the original's aspect ratio. The border is black in the
  image and the ignored id in the mask, like the area that an augmentation uncovers.
- `crop`: the largest centred rectangle of the result's aspect ratio becomes all; the rest is lost.

A resized mask has no id that the original does not have, except the ignored id in the border of a letterbox.
"""

import dataclasses

import cv2
import numpy as np
from numpy.typing import NDArray

from seg_pipeline.labels.label_map import DEFAULT_IGNORE_ID

MODES = ('squash', 'letterbox', 'crop')
DEFAULT_MODE = 'squash'
MASK_MODES = ('nearest', 'majority')
DEFAULT_MASK_MODE = 'nearest'

Size = tuple[int, int]  # (height, width) in pixels

_Indices = NDArray[np.intp]


@dataclasses.dataclass(frozen=True)
class Box:
    """A rectangle of pixels: `top` and `left` are its first row and column, all four are in pixels."""

    top: int
    left: int
    height: int
    width: int

    @property
    def size(self) -> Size:
        """(height, width)."""
        return self.height, self.width

    @property
    def slices(self) -> tuple[slice, slice]:
        """The part of an array that it covers: `array[box.slices]`."""
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)


@dataclasses.dataclass(frozen=True)
class Geometry:
    """Which part of an original became which part of the resized image.

    Attributes:
        original_size: (height, width) of the original.
        size: (height, width) of the resized image.
        source: the part of the original that the resized image shows.
        target: the part of the resized image that shows it.
    """

    original_size: Size
    size: Size
    source: Box
    target: Box

    def restore(self, part: NDArray[np.uint8], fill: int) -> NDArray[np.uint8]:
        """Extends a mask of the visible part of the original to all of the original.

        Args:
            part: (*source.size) uint8 ids.
            fill: the id of what the resized image does not show.

        Returns:
            (*original_size) uint8.
        """
        if self.source.size == self.original_size:
            return part
        restored = np.full(self.original_size, fill, part.dtype)
        restored[self.source.slices] = part
        return restored


def geometry(original_size: Size, size: Size, mode: str = DEFAULT_MODE) -> Geometry:
    """Computes which part of an original becomes which part of the resized image.

    Images, masks and predictions all take their boxes from here, so that they stay aligned.

    Args:
        original_size: (height, width) of the original.
        size: (height, width) wanted.
        mode: one of `MODES`.

    Raises:
        ValueError: for another mode.
    """
    source, target = Box(0, 0, *original_size), Box(0, 0, *size)
    if mode == 'letterbox':
        target = _centred(original_size, size)
    elif mode == 'crop':
        source = _centred(size, original_size)
    elif mode != 'squash':
        raise ValueError(f'{mode!r} is none of {", ".join(MODES)}')
    return Geometry(original_size, size, source, target)


def _centred(shape: Size, inside: Size) -> Box:
    """The largest rectangle of the aspect ratio of `shape` that fits into `inside`, centred."""
    # The ratios shape[0] / shape[1] and height / width are compared by cross-multiplication, because a quotient in
    # floating point may be rounded to the wrong side. The side that is not limited is at least 1, also for 1000 to 1.
    height, width = inside
    if shape[0] * width <= shape[1] * height:  # `shape` is wider: the width is the limit
        height = min(height, max(1, _rounded(shape[0] * width, shape[1])))
    else:
        width = min(width, max(1, _rounded(shape[1] * height, shape[0])))
    # An odd remainder gives the bottom or right border one pixel more.
    return Box((inside[0] - height) // 2, (inside[1] - width) // 2, height, width)


def _rounded(numerator: int, denominator: int) -> int:
    """The quotient rounded to the nearest integer, halves up: floor(numerator / denominator + 1 / 2)."""
    return (2 * numerator + denominator) // (2 * denominator)


def resize_image(image: NDArray[np.uint8], size: Size, mode: str = DEFAULT_MODE) -> NDArray[np.uint8]:
    """Resizes an image: each new pixel is the mean of the area that it covers, or linear if a side grows.

    Args:
        image: (H, W, 3) uint8.
        size: (height, width) wanted.
        mode: one of `MODES`.

    Returns:
        (height, width, 3) uint8; the border of a letterbox is 0.

    Raises:
        ValueError: for another mode.
    """
    found = geometry((image.shape[0], image.shape[1]), size, mode)
    part = _resize_image(image[found.source.slices], found.target.size)
    if found.target.size == size:
        return part
    result = np.zeros((*size, 3), np.uint8)
    result[found.target.slices] = part
    return result


def _resize_image(image: NDArray[np.uint8], size: Size) -> NDArray[np.uint8]:
    height, width = size
    if image.shape[:2] == size:
        return image
    # The mean of the area avoids aliasing: linear interpolation reads 4 pixels of the many that become one, so that
    # thin structures appear or vanish by chance. If a side grows, INTER_AREA repeats pixels.
    shrinks = height <= image.shape[0] and width <= image.shape[1]
    resized: NDArray[np.uint8] = cv2.resize(
        image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    )
    return resized


def resize_mask(
    mask: NDArray[np.uint8],
    size: Size,
    mode: str = DEFAULT_MODE,
    mask_mode: str = DEFAULT_MASK_MODE,
    border: int = DEFAULT_IGNORE_ID,
) -> NDArray[np.uint8]:
    """Resizes a mask; the result has no id that `mask` does not have, except `border` around a letterbox.

    Args:
        mask: (H, W) uint8 ids.
        size: (height, width) wanted.
        mode: one of `MODES`.
        mask_mode: `nearest` takes the id under each new pixel's centre; `majority` the most frequent id of the pixels
            whose centres are in the new pixel. The ignored id is counted like any other.
        border: the id around a letterbox.

    Returns:
        (height, width) uint8.

    Raises:
        ValueError: for another mode or mask_mode.
    """
    if mask_mode not in MASK_MODES:
        raise ValueError(f'{mask_mode!r} is none of {", ".join(MASK_MODES)}')
    found = geometry((mask.shape[0], mask.shape[1]), size, mode)
    resize = _nearest if mask_mode == 'nearest' else _majority
    part = resize(mask[found.source.slices], found.target.size)
    if found.target.size == size:
        return part
    result = np.full(size, border, np.uint8)
    result[found.target.slices] = part
    return result


def restore_mask(
    mask: NDArray[np.uint8], original_size: Size, mode: str = DEFAULT_MODE, fill: int = DEFAULT_IGNORE_ID
) -> NDArray[np.uint8]:
    """Maps a mask of a resized image, such as a prediction, back to the size of the original.

    Args:
        mask: (height, width) uint8 ids.
        original_size: (H, W) of the original, as each record stores it.
        mode: how the image was resized, one of `MODES`.
        fill: the id of what a crop does not show.

    Returns:
        (H, W) uint8: the id of the mask's pixel that contains each pixel's centre.

    Raises:
        ValueError: for another mode.
    """
    found = geometry(original_size, (mask.shape[0], mask.shape[1]), mode)
    return found.restore(_nearest(mask[found.target.slices], found.source.size), fill)


def _nearest(mask: NDArray[np.uint8], size: Size) -> NDArray[np.uint8]:
    """Takes for row r of `height` the row floor((r + 0.5) * H / height) of H, and columns alike."""
    if mask.shape == size:
        return mask
    # Not OpenCV's INTER_NEAREST, which takes floor(r * H / height): the corner of the new pixel, not its centre, so
    # that the mask would be shifted against the image by up to half of a new pixel. INTER_NEAREST_EXACT means the
    # centre, but OpenCV 4 computes it with 16 fractional bits and takes the pixel before it for some sizes (from 128 to
    # 96, a third of them; opencv/opencv issues 27191 and 28429): records would depend on the version.
    rows, columns = (_under_centres(wanted, present) for wanted, present in zip(size, mask.shape, strict=True))
    return mask[rows[:, None], columns]


def _under_centres(wanted: int, present: int) -> _Indices:
    """For each of `wanted` pixels in a row, which of the `present` ones is under its centre."""
    # floor((i + 1/2) * present / wanted), with numerator and denominator doubled: exact in integers.
    return (2 * np.arange(wanted) + 1) * present // (2 * wanted)


def _majority(mask: NDArray[np.uint8], size: Size) -> NDArray[np.uint8]:
    """The most frequent id of each cell; of equally frequent ones that of `_nearest` if it is one, else the lowest.

    A cell is the set of pixels whose centres are in one new pixel. Most cells of a mask hold one id only, and for them
    `_nearest` is right already; counting is done for the others alone. That is what makes it fast: an id-by-id resize
    of 0/1 masks takes as many passes over the mask as there are classes.
    """
    # A side that grows is first brought to its new length by `_nearest`: its cells have one pixel each, the nearest.
    height, width = (max(wanted, present) for wanted, present in zip(size, mask.shape, strict=True))
    mask = _nearest(mask, (height, width))
    result = _nearest(mask, size).copy()
    # The cell of each pixel: the same arithmetic with the sizes exchanged.
    row_of, column_of = _under_centres(height, size[0]), _under_centres(width, size[1])
    cells = _mixed_cells(mask, row_of, column_of, size)
    if cells[0].size:
        result[cells] = _vote(mask, cells, row_of, column_of, result[cells])
    return result


def _mixed_cells(mask: NDArray[np.uint8], row_of: _Indices, column_of: _Indices, size: Size) -> tuple[_Indices, ...]:
    """Rows and columns of the cells that hold more than one id."""
    # Those in which two neighbouring pixels differ. `divmod` of flat indices is several times faster than `nonzero`.
    mixed = np.zeros(size, bool)
    changes = (mask[:, 1:] != mask[:, :-1]) & (column_of[1:] == column_of[:-1])
    rows, columns = np.divmod(np.flatnonzero(changes), changes.shape[1] or 1)  # or 1: a mask of one column
    mixed[row_of[rows], column_of[columns]] = True
    changes = (mask[1:] != mask[:-1]) & (row_of[1:] == row_of[:-1])[:, None]
    rows, columns = np.divmod(np.flatnonzero(changes), changes.shape[1])
    mixed[row_of[rows], column_of[columns]] = True
    return np.nonzero(mixed)


def _vote(
    mask: NDArray[np.uint8],
    cells: tuple[_Indices, ...],
    row_of: _Indices,
    column_of: _Indices,
    nearest: NDArray[np.uint8],
) -> NDArray[np.uint8]:
    """Finds the most frequent id of some cells.

    All cells are counted at once, by one histogram over pairs of a cell and an id. Where the sizes do not divide, cells
    differ by a row or a column: all are padded to the largest, and a weight of 0 excludes the padding.

    Args:
        mask: (H, W) uint8.
        cells: rows and columns of the n cells.
        row_of: (H,) the cell of each row of `mask`, ascending.
        column_of: (W,) the cell of each column.
        nearest: (n,) uint8, the id under the centre of each cell.

    Returns:
        (n,) uint8.
    """
    rows, row_counts = _span(row_of, cells[0])
    columns, column_counts = _span(column_of, cells[1])
    pixels = mask[rows[:, :, None], columns[:, None, :]]  # (n, rows of a cell, columns of a cell)
    # Only ids that are present get a bin: 256 bins for each cell would take far more memory than the pixels.
    present = np.bincount(pixels.ravel(), minlength=256) > 0
    ids, ballot_of = np.flatnonzero(present).astype(np.uint8), np.cumsum(present) - 1
    # Each pixel counts 2 and the nearest one 1 more, which decides between equally frequent ids and nothing else: other
    # counts differ by at least 2. Of ids that are still equal, `argmax` returns the first, and so the lowest.
    weights = 2 * (row_counts[:, :, None] & column_counts[:, None, :])
    cell = np.arange(len(nearest))
    places = ballot_of[pixels] + len(ids) * cell[:, None, None]
    ballots = np.bincount(places.ravel(), weights.ravel(), minlength=len(nearest) * len(ids)).reshape(-1, len(ids))
    ballots[cell, ballot_of[nearest]] += 1
    winners: NDArray[np.uint8] = ids[ballots.argmax(axis=1)]
    return winners


def _span(cell_of: _Indices, cells: _Indices) -> tuple[_Indices, NDArray[np.bool_]]:
    """The pixels of some cells along one axis, padded to the length of the longest.

    Args:
        cell_of: (N,) the cell of each pixel, ascending.
        cells: (n,) which cells.

    Returns:
        (n, longest) indices of pixels, and which of them belong to the cell.
    """
    first = np.searchsorted(cell_of, cells)
    length = np.searchsorted(cell_of, cells, side='right') - first
    offsets = np.arange(length.max())
    return np.minimum(first[:, None] + offsets, len(cell_of) - 1), offsets < length[:, None]
