"""Draws a confusion matrix: what the pixels of each class are taken for."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from seg_pipeline.labels.label_map import LabelMap
from trainer.evaluation.metrics import Metrics

# In pixels.
_CELL = 34
_GAP = 12
_LINE = 22
_FONT_SIZE = 13
_LONGEST_NAME = 150

_PAPER, _INK, _FAINT_INK = (255, 255, 255), (32, 32, 32), (128, 128, 128)
_FULL = np.array([31, 95, 168])  # the colour of a share of 1; paper is that of 0


def draw(metrics: Metrics, label_map: LabelMap) -> NDArray[np.uint8]:
    """Draws the classes that occur, a row for what the pixels are, a column for what they are taken for.

    Each cell has the colour, and as a number the percentage, of its share in the pixels of its row. A row without a
    pixel in the truth is empty.

    Args:
        metrics: of a split.
        label_map: names of its classes.

    Returns:
        (height, width, 3) uint8 RGB.
    """
    ids = np.flatnonzero(metrics.occurs)
    counts = metrics.confusion[np.ix_(ids, ids)]
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    font = ImageFont.load_default(_FONT_SIZE)  # part of Pillow, so the same on every machine
    names = [_shortened(label_map.names[i], font) for i in ids]
    margin = _GAP + max((round(font.getlength(name)) for name in names), default=0) + _GAP
    side = len(ids) * _CELL
    page = Image.new('RGB', (margin + side + _GAP, _LINE + margin + side + _GAP), _PAPER)
    pen = ImageDraw.Draw(page)
    pen.text((_GAP, 4), 'truth: rows, prediction: columns, in % of a row', _FAINT_INK, font)
    top = _LINE + margin
    for i, name in enumerate(names):
        pen.text((_GAP, top + i * _CELL + _CELL // 2), name, _INK, font, anchor='lm')
        page.paste(_upright(name, font, margin - _GAP), (margin + i * _CELL + (_CELL - _LINE) // 2, _LINE))
    for (row, column), share in np.ndenumerate(shares):
        left, upper = margin + column * _CELL, top + row * _CELL
        color = tuple(np.rint(255 + share * (_FULL - 255)).astype(int).tolist())
        pen.rectangle((left, upper, left + _CELL - 1, upper + _CELL - 1), color, _FAINT_INK)
        if counts[row, column]:
            ink = _PAPER if share > 0.5 else _INK
            pen.text((left + _CELL // 2, upper + _CELL // 2), f'{100 * share:.0f}', ink, font, anchor='mm')
    return np.asarray(page)


def _upright(name: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, length: int) -> Image.Image:
    """A name that is read from bottom to top, (length, _LINE) pixels; its beginning is at the bottom."""
    line = Image.new('RGB', (length, _LINE), _PAPER)
    ImageDraw.Draw(line).text((0, _LINE // 2), name, _INK, font, anchor='lm')
    return line.rotate(90, expand=True)


def _shortened(name: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    if font.getlength(name) <= _LONGEST_NAME:
        return name
    while font.getlength(f'{name}...') > _LONGEST_NAME:
        name = name[:-1]
    return f'{name}...'
