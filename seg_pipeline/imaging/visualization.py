"""Draws masks: in the colours of their classes, over their images, and in panels beside the ground truth and a legend.

Everything takes and returns arrays, and is drawn with numpy and Pillow: the same arguments give the same pixels.
"""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from seg_pipeline.imaging import resizing
from seg_pipeline.labels.label_map import BACKGROUND_ID, Color, LabelMap

# In pixels.
_CELL = 360  # the longer side of a picture in a panel
_GAP = 16
_LEGEND_WIDTH = 190
_SWATCH = 14
_LINE = 22
_FONT_SIZE = 15
_BAND = 2**18  # of pixels that are blended or counted at a time

_PAPER: Color = (255, 255, 255)
_INK: Color = (32, 32, 32)
_FAINT_INK: Color = (128, 128, 128)


@dataclasses.dataclass(frozen=True)
class PanelRow:
    """One image of a panel, with its masks.

    Attributes:
        title: the line above the row.
        image: (H, W, 3) uint8 RGB.
        prediction: (H, W) uint8 ids.
        ground_truth: (H, W) uint8 ids, if there is a ground truth.
        classes: the ids of both masks, those with the most pixels first; None to count them.
    """

    title: str
    image: NDArray[np.uint8]
    prediction: NDArray[np.uint8]
    ground_truth: NDArray[np.uint8] | None = None
    classes: tuple[int, ...] | None = None

    def reduced(self) -> 'PanelRow':
        """The same row of a panel, without arrays of the image's own size."""
        size = _panel_size(self.image)
        truth = None if self.ground_truth is None else resizing.resize_mask(self.ground_truth, size)
        image, prediction = resizing.resize_image(self.image, size), resizing.resize_mask(self.prediction, size)
        return PanelRow(self.title, image, prediction, truth, tuple(_classes(self)))


def color_mask(mask: NDArray[np.uint8], label_map: LabelMap) -> NDArray[np.uint8]:
    """Gives each pixel the colour of its class.

    Args:
        mask: (H, W) uint8 ids.
        label_map: the classes.

    Returns:
        (H, W, 3) uint8 RGB; ids without a class have the colour of the ignored id.
    """
    colored: NDArray[np.uint8] = label_map.palette()[mask]
    return colored


def overlay(
    image: NDArray[np.uint8], mask: NDArray[np.uint8], label_map: LabelMap, alpha: float = 0.5
) -> NDArray[np.uint8]:
    """Blends an image with the colours of its classes; outlines are opaque. Background and ignored pixels stay.

    Args:
        image: (H, W, 3) uint8 RGB.
        mask: (H, W) uint8 ids.
        label_map: the classes.
        alpha: the weight of the class colour, 0 to 1.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        ValueError: if image and mask differ in height or width.
    """
    if image.shape[:2] != mask.shape:
        raise ValueError(f'the image is {image.shape[:2]} and its mask {mask.shape}')
    # Alpha compositing over an opaque image ("over" of Porter and Duff, "Compositing Digital Images", 1984), with an
    # alpha for each pixel: image + alpha * (color - image). In float32, because the difference of two uint8 arrays
    # wraps around, and rounded at the end, because a cast alone would darken every pixel by half a level on average.
    outlines, blended = _outlines(mask), np.empty_like(image)
    for rows in _bands(mask):  # float32 arrays of a large photo would be many times its own size
        weight = np.where(outlines[rows], 1.0, alpha).astype(np.float32)
        weight[(mask[rows] == BACKGROUND_ID) | (mask[rows] == label_map.ignore_id)] = 0.0
        difference = color_mask(mask[rows], label_map).astype(np.float32) - image[rows]
        blended[rows] = np.rint(image[rows] + weight[..., np.newaxis] * difference).astype(np.uint8)
    return blended


def _bands(mask: NDArray[np.uint8]) -> Iterator[slice]:
    """The rows of a mask, some at a time."""
    height, width = mask.shape
    count = max(1, _BAND // max(1, width))
    for top in range(0, height, count):
        yield slice(top, top + count)


def _outlines(mask: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which pixels have a neighbour of another class above, below or beside them: (H, W) bool."""
    result = np.zeros(mask.shape, bool)
    # Each pair of neighbours is compared once and marks both, so that an outline is two pixels wide, one in each class.
    for a, b in ((np.s_[1:, :], np.s_[:-1, :]), (np.s_[:, 1:], np.s_[:, :-1])):
        differs = mask[a] != mask[b]
        result[a] |= differs
        result[b] |= differs
    return result


def panels(rows: Sequence[PanelRow], label_map: LabelMap) -> NDArray[np.uint8]:
    """Draws one row for each image: prediction, ground truth (if any row has one), image, and a legend.

    Pictures are scaled to the same longer side and keep their aspect ratio. Images are averaged; of masks, the nearest
    pixel is taken, so that only colours of classes appear.

    Args:
        rows: at least one image.
        label_map: the classes.

    Returns:
        (height, width, 3) uint8 RGB.
    """
    has_truth = any(row.ground_truth is not None for row in rows)
    headings = ('prediction', 'ground truth', 'image') if has_truth else ('prediction', 'image')
    pictures = [_pictures(row, label_map, has_truth) for row in rows]
    column_width = max(picture.shape[1] for row in pictures for picture in row if picture is not None)
    heights = [max(picture.shape[0] for picture in row if picture is not None) for row in pictures]

    # Left edges of the columns, the legend's the last.
    left = [_GAP + i * (column_width + _GAP) for i in range(len(headings) + 1)]
    page_height = _GAP + _LINE + sum(heights) + len(rows) * (_LINE + _GAP)
    page = Image.new('RGB', (left[-1] + _LEGEND_WIDTH, page_height), _PAPER)
    pen = _Pen(page)
    for x, heading in zip(left, (*headings, 'classes'), strict=True):
        pen.text(x, _GAP // 2, heading, _FAINT_INK)
    top = _GAP + _LINE
    for row, row_pictures, height in zip(rows, pictures, heights, strict=True):
        pen.row(top, left, row, row_pictures, height, label_map)
        top += _LINE + height + _GAP
    return np.asarray(page)


def _pictures(row: PanelRow, label_map: LabelMap, has_truth: bool) -> list[NDArray[np.uint8] | None]:
    """The pictures of a row from left to right; None for a ground truth that only this row lacks."""
    size = _panel_size(row.image)
    masks = [row.prediction, row.ground_truth] if has_truth else [row.prediction]
    colored = [None if mask is None else color_mask(resizing.resize_mask(mask, size), label_map) for mask in masks]
    return [*colored, resizing.resize_image(row.image, size)]


def _panel_size(image: NDArray[np.uint8]) -> tuple[int, int]:
    height, width = image.shape[:2]
    scale = _CELL / max(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def _classes(row: PanelRow) -> Sequence[int]:
    """The ids in the masks of a row, those with the most pixels first, equally frequent ones ascending."""
    if row.classes is not None:
        return row.classes
    counts = np.zeros(256, np.int64)
    for mask in (mask for mask in (row.prediction, row.ground_truth) if mask is not None):
        for rows in _bands(mask):  # numpy counts in arrays of int64
            counts += np.bincount(mask[rows].ravel(), minlength=256)
    # A stable sort keeps the order of equal counts, so that a legend is the same on every machine.
    return [int(i) for i in np.argsort(-counts, kind='stable') if counts[i]]


class _Pen:
    """Draws on a page; all positions are in pixels from its top left corner."""

    def __init__(self, page: Image.Image) -> None:
        self._page = page
        self._draw = ImageDraw.Draw(page)
        self._font = ImageFont.load_default(_FONT_SIZE)  # part of Pillow, so the same on every machine

    def row(
        self,
        top: int,
        left: Sequence[int],
        row: PanelRow,
        pictures: Sequence[NDArray[np.uint8] | None],
        height: int,
        label_map: LabelMap,
    ) -> None:
        """Draws the title of a row, its pictures and its legend.

        Args:
            top: the upper edge of the title.
            left: the left edges of the pictures, then that of the legend.
            row: what to draw.
            pictures: its pictures from left to right.
            height: of the tallest picture.
            label_map: the classes.
        """
        self.text(_GAP, top, row.title, width=left[-1] - 2 * _GAP)
        top += _LINE
        for x, picture in zip(left[:-1], pictures, strict=True):
            self.picture(x, top, picture)
        self.legend(left[-1], top, height, _classes(row), label_map)

    def text(self, x: int, y: int, text: str, ink: Color = _INK, width: int | None = None) -> None:
        """Writes one line, cut off with an ellipsis if it is wider than `width` pixels."""
        if width is not None and self._draw.textlength(text, self._font) > width:
            while text and self._draw.textlength(text + '...', self._font) > width:
                text = text[:-1]
            text += '...'
        self._draw.text((x, y), text, ink, self._font)

    def picture(self, x: int, y: int, picture: NDArray[np.uint8] | None) -> None:
        """Draws a picture, or the word `none` in place of a missing one."""
        if picture is None:
            self.text(x, y, 'none', _FAINT_INK)
        else:
            self._page.paste(Image.fromarray(picture), (x, y))

    def legend(self, x: int, y: int, height: int, ids: Sequence[int], label_map: LabelMap) -> None:
        """Names classes from top to bottom, as many as fit; the last line gives the number of the others."""
        capacity = max(1, height // _LINE)
        shown = ids if len(ids) <= capacity else ids[: capacity - 1]
        palette = label_map.palette()
        for line, class_id in enumerate(shown):
            top = y + line * _LINE
            swatch = (x, top, x + _SWATCH, top + _SWATCH)
            self._draw.rectangle(swatch, fill=tuple(palette[class_id].tolist()), outline=_FAINT_INK)
            name = label_map.names[class_id] if class_id < label_map.num_classes else 'ignored'
            self.text(x + _SWATCH + 8, top - 2, name, width=_LEGEND_WIDTH - _SWATCH - 8 - _GAP)
        if len(shown) < len(ids):
            self.text(x, y + len(shown) * _LINE - 2, f'and {len(ids) - len(shown)} smaller', _FAINT_INK)
