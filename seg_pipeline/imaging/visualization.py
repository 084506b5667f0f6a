"""Masks as pictures: coloured, laid over their photos, and side by side with the ground truth and a legend.

Everything takes and returns arrays, and is drawn with OpenCV and Pillow: the same arguments give the same pixels.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from seg_pipeline.imaging import resizing
from seg_pipeline.labels.label_map import BACKGROUND_ID, LabelMap

# In pixels.
_CELL = 360  # the longer side of a picture in a panel
_GAP = 16
_LEGEND_WIDTH = 190
_SWATCH = 14
_LINE = 22
_FONT_SIZE = 15

_PAPER, _INK, _FAINT_INK = (255, 255, 255), (32, 32, 32), (128, 128, 128)


@dataclasses.dataclass(frozen=True)
class Row:
    """One photo of a panel.

    Attributes:
        title: what to call it.
        image: (H, W, 3) uint8 RGB.
        prediction: (H, W) uint8 ids.
        ground_truth: (H, W) uint8 ids, where there is one.
    """

    title: str
    image: np.ndarray
    prediction: np.ndarray
    ground_truth: np.ndarray | None = None


def color_mask(mask: np.ndarray, label_map: LabelMap) -> np.ndarray:
    """Gives every pixel the colour of its class.

    Args:
        mask: (H, W) uint8 ids.
        label_map: the classes.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    return label_map.palette()[mask]


def overlay(image: np.ndarray, mask: np.ndarray, label_map: LabelMap, alpha: float = 0.5) -> np.ndarray:
    """Tints a photo with the colours of its classes; their outlines are solid. Background and ignored pixels stay.

    Args:
        image: (H, W, 3) uint8 RGB.
        mask: (H, W) uint8 ids.
        label_map: the classes.
        alpha: how much of a tinted pixel is the colour of its class, 0 to 1.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        ValueError: the photo and the mask are of different sizes.
    """
    if image.shape[:2] != mask.shape:
        raise ValueError(f'the image is {image.shape[:2]} and its mask {mask.shape}')
    share = np.where(_outlines(mask), 1.0, alpha).astype(np.float32)
    share[(mask == BACKGROUND_ID) | (mask == label_map.ignore_id)] = 0.0
    tint = color_mask(mask, label_map).astype(np.float32) - image
    return np.rint(image + share[..., np.newaxis] * tint).astype(np.uint8)


def _outlines(mask: np.ndarray) -> np.ndarray:
    """Tells which pixels have a neighbour of another class: (H, W) bool."""
    result = np.zeros(mask.shape, bool)
    for a, b in ((np.s_[1:, :], np.s_[:-1, :]), (np.s_[:, 1:], np.s_[:, :-1])):
        differs = mask[a] != mask[b]
        result[a] |= differs
        result[b] |= differs
    return result


def panels(rows: Sequence[Row], label_map: LabelMap) -> np.ndarray:
    """Draws one row for each photo: prediction, ground truth (where any row has one), photo, and its classes.

    Pictures are brought to one size, keeping their proportions: photos are averaged, masks show the ids that they have.

    Args:
        rows: at least one photo.
        label_map: the classes.

    Returns:
        (height, width, 3) uint8 RGB.
    """
    has_truth = any(row.ground_truth is not None for row in rows)
    headings = ('prediction', 'ground truth', 'image') if has_truth else ('prediction', 'image')
    pictures = [_pictures(row, label_map, has_truth) for row in rows]
    column_width = max(picture.shape[1] for row in pictures for picture in row if picture is not None)
    heights = [max(picture.shape[0] for picture in row if picture is not None) for row in pictures]

    left = [_GAP + i * (column_width + _GAP) for i in range(len(headings) + 1)]
    page = Image.new(
        'RGB', (left[-1] + _LEGEND_WIDTH, _GAP + _LINE + sum(heights) + len(rows) * (_LINE + _GAP)), _PAPER
    )
    draw = _Pen(page)
    for x, heading in zip(left, (*headings, 'classes'), strict=True):
        draw.text(x, _GAP // 2, heading, _FAINT_INK)
    top = _GAP + _LINE
    for row, row_pictures, height in zip(rows, pictures, heights, strict=True):
        draw.text(_GAP, top, row.title, width=left[-1] - 2 * _GAP)
        top += _LINE
        for x, picture in zip(left, row_pictures, strict=False):
            draw.picture(x, top, picture)
        draw.legend(left[-1], top, height, _classes(row), label_map)
        top += height + _GAP
    return np.asarray(page)


def _pictures(row: Row, label_map: LabelMap, has_truth: bool) -> list[np.ndarray | None]:
    """Returns the cells of a row from left to right; None for a ground truth that this one row lacks."""
    height, width = row.image.shape[:2]
    scale = _CELL / max(height, width)
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    masks = [row.prediction, row.ground_truth] if has_truth else [row.prediction]
    colored = [None if mask is None else color_mask(resizing.resize_mask(mask, size), label_map) for mask in masks]
    return [*colored, resizing.resize_image(row.image, size)]


def _classes(row: Row) -> list[int]:
    """Returns the ids in the masks of a row, those with the most pixels first."""
    masks = [mask for mask in (row.prediction, row.ground_truth) if mask is not None]
    counts = np.bincount(np.concatenate([mask.ravel() for mask in masks]), minlength=256)
    return [int(i) for i in np.argsort(-counts, kind='stable') if counts[i]]


class _Pen:
    """Draws on a page."""

    def __init__(self, page: Image.Image) -> None:
        self._page = page
        self._draw = ImageDraw.Draw(page)
        self._font = ImageFont.load_default(_FONT_SIZE)

    def text(self, x: int, y: int, text: str, ink: tuple[int, int, int] = _INK, width: int | None = None) -> None:
        """Writes one line, cut off with an ellipsis where it is wider than `width` pixels."""
        if width is not None and self._draw.textlength(text, self._font) > width:
            while text and self._draw.textlength(text + '...', self._font) > width:
                text = text[:-1]
            text += '...'
        self._draw.text((x, y), text, ink, self._font)

    def picture(self, x: int, y: int, picture: np.ndarray | None) -> None:
        if picture is None:
            self.text(x, y, 'none', _FAINT_INK)
        else:
            self._page.paste(Image.fromarray(picture), (x, y))

    def legend(self, x: int, y: int, height: int, ids: Sequence[int], label_map: LabelMap) -> None:
        """Names classes from top to bottom, as many as there is room for."""
        room = max(1, height // _LINE)
        shown = ids if len(ids) <= room else ids[: room - 1]
        palette = label_map.palette()
        for line, class_id in enumerate(shown):
            top = y + line * _LINE
            swatch = (x, top, x + _SWATCH, top + _SWATCH)
            self._draw.rectangle(swatch, fill=tuple(palette[class_id].tolist()), outline=_FAINT_INK)
            name = label_map.names[class_id] if class_id < label_map.num_classes else 'ignored'
            self.text(x + _SWATCH + 8, top - 2, name, width=_LEGEND_WIDTH - _SWATCH - 8 - _GAP)
        if len(shown) < len(ids):
            self.text(x, y + len(shown) * _LINE - 2, f'and {len(ids) - len(shown)} smaller', _FAINT_INK)
