"""The one table of classes: id, name, colour and the ignored id. Everything else is derived from it."""

import colorsys
import csv
import dataclasses
import json
from typing import Any

import numpy as np

from seg_pipeline import errors

BACKGROUND_ID = 0
DEFAULT_IGNORE_ID = 255
IGNORE_COLOR = (224, 224, 224)
# One step of the golden angle apart, neighbouring ids get hues as different as any number of classes allows.
_GOLDEN_RATIO_CONJUGATE = 0.618033988749895
_LIGHTNESS = (0.50, 0.66, 0.38)
_NAME_COLUMNS = ('name', 'label_list', 'label')
_ID_COLUMNS = ('id', 'i')

Color = tuple[int, int, int]


@dataclasses.dataclass(frozen=True)
class LabelMap:
    """The classes of a data set.

    Attributes:
        names: the class names; the index is the id, 0 is the background.
        colors: RGB, 0..255, one for each class.
        ignore_id: the id of pixels that count for nothing: no loss, no metric.
    """

    names: tuple[str, ...]
    colors: tuple[Color, ...]
    ignore_id: int = DEFAULT_IGNORE_ID

    def __post_init__(self) -> None:
        if not 1 <= len(self.names) <= 256:
            raise ValueError(f'{len(self.names)} classes: masks of 8 bits hold 1 to 256')
        if len(self.colors) != len(self.names):
            raise ValueError(f'{len(self.names)} class names but {len(self.colors)} colours')
        if not len(self.names) <= self.ignore_id <= 255:
            raise ValueError(
                f'ignore id {self.ignore_id} must lie between the number of classes, {len(self.names)}, and 255'
            )

    @classmethod
    def default(cls, names: tuple[str, ...], ignore_id: int = DEFAULT_IGNORE_ID) -> 'LabelMap':
        """A table with derived colours: black for id 0, hues a golden angle apart for the rest."""
        return cls(names, tuple(_derived_color(i) for i in range(len(names))), ignore_id)

    @property
    def num_classes(self) -> int:
        """The number of classes, the background included, the ignored id not."""
        return len(self.names)

    def palette(self) -> np.ndarray:
        """The colour of every id: (256, 3) uint8 RGB; ids without a class have the colour of the ignored id."""
        palette = np.full((256, 3), IGNORE_COLOR, np.uint8)
        palette[: self.num_classes] = self.colors
        return palette

    def to_json(self) -> dict[str, Any]:
        """The table as plain JSON values; `from_json` is its inverse."""
        return {'ignore_id': self.ignore_id, 'names': list(self.names), 'colors': [list(c) for c in self.colors]}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> 'LabelMap':
        """The inverse of `to_json`."""
        return cls(tuple(value['names']), tuple((r, g, b) for r, g, b in value['colors']), value['ignore_id'])


def read(path: str, ignore_id: int = DEFAULT_IGNORE_ID) -> LabelMap:
    """Reads a label table.

    Three forms are known by their suffix: `.csv` with a header (`i,label_list` or `id,name`, and optionally `color` as
    `#rrggbb` or `r g b`), `.json` (a list of names, or what `LabelMap.to_json` writes), and `.txt` (one name a line).

    Args:
        path: the file.
        ignore_id: the id of ignored pixels; a `.json` table that has its own keeps it.

    Raises:
        UserError: if the file is missing, is in none of these forms, or its ids are not 0..N-1, each once.
    """
    try:
        with open(path, encoding='utf-8-sig', newline='') as file:
            text = file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise errors.UserError(f'label table {path}: cannot be read: {error}') from error
    try:
        if path.endswith('.json'):
            return _parse_json(text, ignore_id)
        if path.endswith('.txt'):
            return LabelMap.default(tuple(line.strip() for line in text.splitlines() if line.strip()), ignore_id)
        return _parse_csv(text, ignore_id)
    except (ValueError, KeyError, TypeError, csv.Error) as error:
        raise errors.UserError(f'label table {path}: {error}') from error


def _parse_json(text: str, ignore_id: int) -> LabelMap:
    value = json.loads(text)
    if isinstance(value, list):
        return LabelMap.default(tuple(str(name) for name in value), ignore_id)
    return LabelMap.from_json({'ignore_id': ignore_id, **value})


def _parse_csv(text: str, ignore_id: int) -> LabelMap:
    reader = csv.DictReader(text.splitlines())
    columns = [name.strip() for name in reader.fieldnames or ()]
    reader.fieldnames = columns
    id_column = next((c for c in _ID_COLUMNS if c in columns), None)
    name_column = next((c for c in _NAME_COLUMNS if c in columns), None)
    if id_column is None or name_column is None:
        raise ValueError(f'the header is {columns}; wanted i,label_list or id,name[,color]')
    names: dict[int, str] = {}
    colors: dict[int, Color] = {}
    for row in reader:
        number = int(row[id_column])
        if number in names:
            raise ValueError(f'id {number} stands twice: {names[number]!r} and {row[name_column]!r}')
        names[number] = row[name_column].strip()
        if row.get('color'):
            colors[number] = _parse_color(row['color'])
    if sorted(names) != list(range(len(names))):
        missing = next(i for i in range(len(names) + 1) if i not in names)
        raise ValueError(f'ids must run 0..{len(names) - 1} for {len(names)} rows; id {missing} is missing')
    ids = range(len(names))
    return LabelMap(tuple(names[i] for i in ids), tuple(colors.get(i, _derived_color(i)) for i in ids), ignore_id)


def _parse_color(text: str) -> Color:
    if text.startswith('#'):
        values = list(bytes.fromhex(text[1:]))
    else:
        values = [int(part) for part in text.replace(',', ' ').split()]
    if len(values) != 3 or not all(0 <= value <= 255 for value in values):
        raise ValueError(f'colour {text!r} is not #rrggbb or three numbers 0..255')
    return values[0], values[1], values[2]


def _derived_color(number: int) -> Color:
    if number == BACKGROUND_ID:
        return 0, 0, 0
    hue = number * _GOLDEN_RATIO_CONJUGATE % 1.0
    red, green, blue = colorsys.hls_to_rgb(hue, _LIGHTNESS[number % len(_LIGHTNESS)], 0.75)
    return round(red * 255), round(green * 255), round(blue * 255)
