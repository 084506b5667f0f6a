"""From photos and masks of any size to those of one size, and from a prediction back to its photo. No TensorFlow.

Three modes say which part of the photo goes to which part of the new image (`geometry`):

- `squash`: all to all; the aspect ratio changes.
- `letterbox`: all to the largest centred rectangle of the photo's aspect ratio. The border is black in the image and
  the ignored id in the mask, as the area that an augmentation uncovers.
- `crop`: the largest centred rectangle of the new aspect ratio to all; what is outside of it is lost.

No id comes out of a resized mask that did not go in, but for the ignored id of a letterbox's border.
"""

import dataclasses

import cv2
import numpy as np

MODES = ('squash', 'letterbox', 'crop')
DEFAULT_MODE = 'squash'
MASK_MODES = ('nearest', 'majority')
DEFAULT_MASK_MODE = 'nearest'

Size = tuple[int, int]  # (height, width) in pixels


@dataclasses.dataclass(frozen=True)
class Box:
    """A rectangle of whole pixels."""

    top: int
    left: int
    height: int
    width: int

    @property
    def size(self) -> Size:
        return self.height, self.width

    @property
    def slices(self) -> tuple[slice, slice]:
        """What it cuts out of an array: `array[box.slices]`."""
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)


@dataclasses.dataclass(frozen=True)
class Geometry:
    """Which part of a photo became which part of an image.

    Attributes:
        original_size: of the photo.
        size: of the image.
        source: the part of the photo that the image shows.
        target: the part of the image that shows it.
    """

    original_size: Size
    size: Size
    source: Box
    target: Box

    def restore(self, part: np.ndarray, fill: int) -> np.ndarray:
        """Puts a mask of the photo's visible part into one of the whole photo.

        Args:
            part: (*source.size) uint8 ids.
            fill: the id of what the image does not show.

        Returns:
            (*original_size) uint8.
        """
        if self.source.size == self.original_size:
            return part
        whole = np.full(self.original_size, fill, part.dtype)
        whole[self.source.slices] = part
        return whole


def geometry(original_size: Size, size: Size, mode: str = DEFAULT_MODE) -> Geometry:
    """Decides which part of a photo goes where.

    Args:
        original_size: of the photo.
        size: of the image wanted.
        mode: one of `MODES`.
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
    """The largest rectangle of the aspect ratio of `shape` that fits into `inside`, in its middle."""
    height, width = inside
    if shape[0] * width <= shape[1] * height:  # as wide as there is room
        height = min(height, max(1, _rounded(shape[0] * width, shape[1])))
    else:
        width = min(width, max(1, _rounded(shape[1] * height, shape[0])))
    return Box((inside[0] - height) // 2, (inside[1] - width) // 2, height, width)


def _rounded(numerator: int, denominator: int) -> int:
    return (2 * numerator + denominator) // (2 * denominator)


def resize_image(image: np.ndarray, size: Size, mode: str = DEFAULT_MODE) -> np.ndarray:
    """Resizes a photo: each new pixel is the mean of the area that it covers; linear where a side grows.

    Args:
        image: (H, W, 3) uint8.
        size: (height, width) wanted.
        mode: one of `MODES`.

    Returns:
        (height, width, 3) uint8.
    """
    found = geometry((image.shape[0], image.shape[1]), size, mode)
    part = _resize_image(image[found.source.slices], found.target.size)
    if found.target.size == size:
        return part
    result = np.zeros((*size, 3), np.uint8)
    result[found.target.slices] = part
    return result


def _resize_image(image: np.ndarray, size: Size) -> np.ndarray:
    height, width = size
    if image.shape[:2] == size:
        return image
    shrinks = height <= image.shape[0] and width <= image.shape[1]
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def resize_mask(
    mask: np.ndarray, size: Size, mode: str = DEFAULT_MODE, mask_mode: str = DEFAULT_MASK_MODE, border: int = 255
) -> np.ndarray:
    """Resizes a mask; no id appears that was not there, but for `border` around a letterbox.

    Args:
        mask: (H, W) uint8.
        size: (height, width) wanted.
        mode: one of `MODES`.
        mask_mode: `nearest` takes the pixel under each new pixel's centre, `majority` the id that most of the pixels
            have whose centres lie in the new pixel. The ignored id has a vote as any other.
        border: the id around a letterbox.

    Returns:
        (height, width) uint8.
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


def restore_mask(mask: np.ndarray, original_size: Size, mode: str = DEFAULT_MODE, fill: int = 255) -> np.ndarray:
    """Brings a mask of a resized image, such as a prediction, back to its photo's geometry.

    Args:
        mask: (height, width) uint8 ids.
        original_size: (H, W) of the photo, as each record keeps it.
        mode: how the image was resized, one of `MODES`.
        fill: the id of what a crop does not show.

    Returns:
        (H, W) uint8: each pixel the id of the image's pixel that it lies in.
    """
    found = geometry(original_size, (mask.shape[0], mask.shape[1]), mode)
    return found.restore(_nearest(mask[found.target.slices], found.source.size), fill)


def _nearest(mask: np.ndarray, size: Size) -> np.ndarray:
    """Row r of `height` comes from row floor((r + 0.5) * H / height)."""
    if mask.shape == size:
        return mask
    # In whole numbers: OpenCV's INTER_NEAREST_EXACT takes a neighbour where a centre lies on a border between pixels.
    rows, columns = (_under_centres(wanted, present) for wanted, present in zip(size, mask.shape, strict=True))
    return mask[rows[:, None], columns]


def _under_centres(wanted: int, present: int) -> np.ndarray:
    """For each of `wanted` pixels in a row, which of the `present` ones lies under its centre."""
    return (2 * np.arange(wanted) + 1) * present // (2 * wanted)


def _majority(mask: np.ndarray, size: Size) -> np.ndarray:
    """The most frequent id of each cell; of equally frequent ones the nearest one's, else the lowest."""
    height, width = (max(wanted, present) for wanted, present in zip(size, mask.shape, strict=True))
    mask = _nearest(mask, (height, width))  # a side that grows has one pixel in each cell, the nearest one
    result = _nearest(mask, size).copy()
    row_of, column_of = _under_centres(height, size[0]), _under_centres(width, size[1])  # the cell of each pixel
    cells = _mixed_cells(mask, row_of, column_of, size)
    if cells[0].size:
        result[cells] = _vote(mask, cells, row_of, column_of, result[cells])
    return result


def _mixed_cells(mask: np.ndarray, row_of: np.ndarray, column_of: np.ndarray, size: Size) -> tuple[np.ndarray, ...]:
    """Rows and columns of the cells that hold more than one id: few, and only those need a count."""
    mixed = np.zeros(size, bool)
    changes = (mask[:, 1:] != mask[:, :-1]) & (column_of[1:] == column_of[:-1])
    rows, columns = np.divmod(np.flatnonzero(changes), changes.shape[1] or 1)  # faster than nonzero by far
    mixed[row_of[rows], column_of[columns]] = True
    changes = (mask[1:] != mask[:-1]) & (row_of[1:] == row_of[:-1])[:, None]
    rows, columns = np.divmod(np.flatnonzero(changes), changes.shape[1])
    mixed[row_of[rows], column_of[columns]] = True
    return np.nonzero(mixed)


def _vote(
    mask: np.ndarray, cells: tuple[np.ndarray, ...], row_of: np.ndarray, column_of: np.ndarray, nearest: np.ndarray
) -> np.ndarray:
    """The winner in each of some cells: (number of cells,) uint8."""
    rows, row_counts = _span(row_of, cells[0])
    columns, column_counts = _span(column_of, cells[1])
    pixels = mask[rows[:, :, None], columns[:, None, :]]
    present = np.bincount(pixels.ravel(), minlength=256) > 0
    ids, ballot_of = np.flatnonzero(present).astype(np.uint8), np.cumsum(present) - 1
    # Two for each pixel, one more for the nearest: it decides where two ids are equal.
    counted = 2 * (row_counts[:, :, None] & column_counts[:, None, :])
    cell = np.arange(len(nearest))
    places = ballot_of[pixels] + len(ids) * cell[:, None, None]
    ballots = np.bincount(places.ravel(), counted.ravel(), minlength=len(nearest) * len(ids)).reshape(-1, len(ids))
    ballots[cell, ballot_of[nearest]] += 1
    return ids[ballots.argmax(axis=1)]


def _span(cell_of: np.ndarray, cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The pixels of each cell along one axis, as many for each as the longest has, and which of them are its own."""
    first = np.searchsorted(cell_of, cells)
    length = np.searchsorted(cell_of, cells, side='right') - first
    offsets = np.arange(length.max())
    return np.minimum(first[:, None] + offsets, len(cell_of) - 1), offsets < length[:, None]
