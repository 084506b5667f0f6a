"""The table of classes: id, name and colour of each, and the ignored id. Everything else is derived from it."""

import csv
import dataclasses
import functools
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seg_pipeline import errors
from seg_pipeline.labels import parsing
from seg_pipeline.plurals import counted

BACKGROUND_ID = 0
DEFAULT_IGNORE_ID = 255
IGNORE_COLOR = (224, 224, 224)
MAX_SOURCE_ID = 65535  # the largest value in a mask of 16 bits
# Values of red, green and blue in derived colours: 8 levels give 512 candidates for 255 colours, none of them close to
# black, which is the background, or to the white of a page.
_COLOR_LEVELS = range(30, 241, 30)
_NAME_COLUMNS = ('name', 'label_list', 'label')
_ID_COLUMNS = ('id', 'i')

Color = parsing.Color


@dataclasses.dataclass(frozen=True)
class LabelMap:
    """The classes of a data set.

    Attributes:
        names: 1 to 256 class names; the index is the id, 0 is the background.
        colors: RGB, 0..255, one for each class.
        ignore_id: the id of pixels that are in no loss and no metric; larger than the ids of the classes, at most 255.

    Raises:
        ValueError: if there are too few or too many classes, too few or too many colours, or the ignored id is one of
            a class.
    """

    names: tuple[str, ...]
    colors: tuple[Color, ...]
    ignore_id: int = DEFAULT_IGNORE_ID

    def __post_init__(self) -> None:
        if not 1 <= len(self.names) <= 256:
            raise ValueError(f'{len(self.names)} classes: masks of 8 bits hold 1 to 256')
        if len(self.colors) != len(self.names):
            raise ValueError(f'{counted(len(self.names), "class name")} but {counted(len(self.colors), "colour")}')
        if not len(self.names) <= self.ignore_id <= 255:
            raise ValueError(
                f'ignore id {parsing.shown(self.ignore_id)} must be between the number of classes, '
                f'{len(self.names)}, and 255'
            )

    @classmethod
    def default(cls, names: tuple[str, ...], ignore_id: int = DEFAULT_IGNORE_ID) -> 'LabelMap':
        """A table with derived colours: black for id 0, then as different as possible; see `derived_color`."""
        return cls(names, tuple(derived_color(i) for i in range(len(names))), ignore_id)

    @property
    def num_classes(self) -> int:
        """The number of classes, the background included, the ignored id not."""
        return len(self.names)

    def palette(self) -> NDArray[np.uint8]:
        """The colour of each id: (256, 3) uint8 RGB; ids without a class have the colour of the ignored id."""
        palette = np.full((256, 3), IGNORE_COLOR, np.uint8)
        palette[: self.num_classes] = self.colors
        return palette

    def to_json(self) -> dict[str, Any]:
        """The table as plain JSON values; `from_json` is its inverse."""
        return {'ignore_id': self.ignore_id, 'names': list(self.names), 'colors': [list(c) for c in self.colors]}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> 'LabelMap':
        """The inverse of `to_json`.

        Raises:
            KeyError, TypeError, ValueError: if the value does not have that form.
        """
        names, colors = value['names'], value['colors']
        if not isinstance(names, list) or not isinstance(colors, list):
            raise TypeError('names and colors must be lists')
        return cls(
            tuple(_name_of(i, name) for i, name in enumerate(names)),
            tuple(parsing.color_of(color) for color in colors),
            parsing.integer(value['ignore_id'], 'ignore_id'),
        )


@dataclasses.dataclass(frozen=True)
class SourceTable:
    """The classes of the source masks, before a remapping: their ids may have gaps.

    Attributes:
        ids: the id of each class, ascending, 0..65535.
        names: the name of each, see `check_names`.
        colors: RGB, 0..255, of each.
        ignore_id: the id of ignored pixels, not that of a class.

    Raises:
        ValueError: if there is no class, a name or an id is not valid, or a class has the ignored id.
    """

    ids: tuple[int, ...]
    names: tuple[str, ...]
    colors: tuple[Color, ...]
    ignore_id: int = DEFAULT_IGNORE_ID

    def __post_init__(self) -> None:
        check_names(self.names, self.ids)
        if not self.names:
            raise ValueError('0 classes')
        if not 0 <= min(self.ids) <= max(self.ids) <= MAX_SOURCE_ID:
            raise ValueError(f'ids {min(self.ids)}..{max(self.ids)}: masks hold 0..{MAX_SOURCE_ID}')
        if self.ignore_id in self.ids:
            name = self.names[self.ids.index(self.ignore_id)]
            raise ValueError(f'id {self.ignore_id} is class {name!r} and the ignored id; give another --ignore_id')

    @property
    def has_given_colors(self) -> bool:
        """Whether the table gave colours, which then say what a colour in a mask means.

        A table whose colours are all derived has none: it was read from a file without colours, or from the label table
        of such a data set. The colours tell it, so that it need not be stored beside them.
        """
        return self.colors != tuple(derived_color(i) for i in self.ids)

    @classmethod
    def of(cls, labels: LabelMap) -> 'SourceTable':
        """The table of masks that need no remapping. Raises `ValueError` if a name is not valid."""
        return cls(tuple(range(labels.num_classes)), labels.names, labels.colors, labels.ignore_id)

    def to_label_map(self) -> LabelMap:
        """The same classes as the classes of a data set.

        Raises:
            ValueError: if the ids are not 0..N-1, or there are more than masks of 8 bits can hold.
        """
        if self.ids != tuple(range(len(self.ids))):
            missing = next(i for i in range(len(self.ids) + 1) if i not in self.ids)
            raise ValueError(
                f'ids must run 0..{len(self.ids) - 1} for {counted(len(self.ids), "class", "classes")}; id {missing} '
                'is missing; --remap accepts gaps'
            )
        return LabelMap(self.names, self.colors, self.ignore_id)


def read(path: str, ignore_id: int = DEFAULT_IGNORE_ID, *, reads_colors: bool = True) -> LabelMap:
    """Reads a label table whose ids are 0..N-1.

    Args:
        path: the file, see `read_source`.
        ignore_id: the id of ignored pixels, see `read_source`.
        reads_colors: see `read_source`.

    Raises:
        UserError: as `read_source`, or if the ids have gaps.
    """
    source = read_source(path, ignore_id, reads_colors=reads_colors)
    try:
        return source.to_label_map()
    except ValueError as error:
        raise errors.UserError(f'label table {path}: {error}') from error


def read_source(path: str, ignore_id: int = DEFAULT_IGNORE_ID, *, reads_colors: bool = True) -> SourceTable:
    """Reads a label table in one of three forms, told apart by the suffix of the file.

    - `.csv`, and any other suffix: a header `i,label_list` or `id,name`, and optionally `color`, as `#rrggbb` or
      `r g b`; one row for each class.
    - `.json`: a list of names; a list of `{"id": 0, "name": "background", "color": "#000000"}`, where a colour is
      `#rrggbb` or three integers, and may be left out; or what `LabelMap.to_json` returns.
    - `.txt`: one name on each line.

    Args:
        path: the file.
        ignore_id: the id of ignored pixels; a `.json` table that has its own keeps it.
        reads_colors: whether masks may be read by colour. If not, classes may share one, as some of Cityscapes do.

    Raises:
        UserError: if the file is missing or in none of these forms, if a name is empty, if a name or an id appears
            twice, or, where colours are read, if a colour does, or a class without one would get that of another.
    """
    text = parsing.read_text(path, 'label table')
    try:
        if path.lower().endswith('.json'):
            return _parse_json(text, ignore_id, reads_colors)
        if path.lower().endswith('.txt'):
            return _from_names([line.strip() for line in text.rstrip().split('\n')] if text.strip() else [], ignore_id)
        return _parse_csv(text, ignore_id, reads_colors)
    except (ValueError, csv.Error) as error:
        raise errors.UserError(f'label table {path}: {error}') from error


def _from_names(names: Sequence[str], ignore_id: int) -> SourceTable:
    ids = tuple(range(len(names)))
    return SourceTable(ids, tuple(names), tuple(derived_color(i) for i in ids), ignore_id)


def check_names(names: Sequence[str], ids: Sequence[int] | None = None) -> None:
    """Checks that each class name is one line of text, and no two are equal.

    TFDS requires both: it stores the names in a file, one on each line, and looks classes up by name.

    Args:
        names: the class names.
        ids: the id of each, for messages; by default 0, 1, 2, ...

    Raises:
        ValueError: if a name is empty, has spaces at an end or more than one line, or is equal to another.
    """
    first: dict[str, int] = {}
    for number, name in zip(range(len(names)) if ids is None else ids, names, strict=True):
        if not name.strip() or name != name.strip() or not parsing.is_one_line(name):
            raise ValueError(f'the name of class {number}, {parsing.shown(name)}, is not one line of text')
        if name in first:
            raise ValueError(f'classes {first[name]} and {number} have one name, {parsing.shown(name)}')
        first[name] = number


def check_unique_colors(colors: Mapping[int, Color] | Mapping[str, Color], what: str = 'classes') -> None:
    """Checks that no two classes have the same colour: they would be the same in a mask of colours and in a legend.

    Args:
        colors: RGB of each class by its id, or by what else a message calls it.
        what: they are, for a message.

    Raises:
        ValueError: if two are equal.
    """
    first: dict[Color, int | str] = {}
    for name, color in colors.items():
        if color in first:
            shown = '#{:02x}{:02x}{:02x}'.format(*color)
            raise ValueError(f'{what} {first[color]} and {name} have one colour, {shown}')
        first[color] = name


def complete_colors(ids: Sequence[int], given: Mapping[int, Color], *, is_unique: bool = True) -> tuple[Color, ...]:
    """The colours of all classes: those that a table gives, and derived ones for the others.

    Args:
        ids: the id of each class.
        given: RGB of the classes that have a colour, by their ids.
        is_unique: whether no two classes may have the same.

    Returns:
        RGB of each class, in the order of `ids`.

    Raises:
        ValueError: if two given colours are equal, or a derived one is equal to a given one. Another one is not derived
            in its place: the colour of a class would then depend on the colours of others.
    """
    if is_unique:
        check_unique_colors(given)
    class_of = {color: number for number, color in given.items()} if is_unique else {}
    for number in ids:
        if number not in given and (color := derived_color(number)) in class_of:
            shown = '#{:02x}{:02x}{:02x}'.format(*color)
            raise ValueError(
                f'class {number} has no colour, and the one derived for it, {shown}, is that of class '
                f'{class_of[color]}: give class {number} a colour'
            )
    return tuple(given.get(number, derived_color(number)) for number in ids)


def _name_of(number: int, value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f'the name of class {number}, {parsing.shown(value)}, is not text')
    return value


def _parse_json(text: str, ignore_id: int, reads_colors: bool) -> SourceTable:
    value = parsing.json_value(text)
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        return _from_objects(value, ignore_id, reads_colors)
    if isinstance(value, list):
        return _from_names([_name_of(i, name).strip() for i, name in enumerate(value)], ignore_id)
    found = parsing.fields(value, 'the table', ('names', 'colors'), ('ignore_id',))
    if not isinstance(found['names'], list) or not isinstance(found['colors'], list):
        raise ValueError('names and colors must be lists')
    labels = LabelMap.from_json({'ignore_id': ignore_id, **found})
    if reads_colors:
        check_unique_colors(dict(enumerate(labels.colors)))
    return SourceTable.of(labels)


def _from_objects(items: Sequence[object], ignore_id: int, reads_colors: bool) -> SourceTable:
    names: dict[int, str] = {}
    colors: dict[int, Color] = {}
    for i, item in enumerate(items):
        found = parsing.fields(item, f'entry {i}', ('id', 'name'), ('color',))
        number = parsing.integer(found['id'], f'the id of entry {i},')
        _add_name(names, number, _name_of(number, found['name']).strip())
        if found.get('color') is not None:
            colors[number] = parsing.color_of(found['color'])
    return _from_rows(names, colors, ignore_id, reads_colors)


def _parse_csv(text: str, ignore_id: int, reads_colors: bool) -> SourceTable:
    columns, rows = parsing.csv_rows(text.splitlines(keepends=True))
    id_column = next((c for c in _ID_COLUMNS if c in columns), None)
    name_column = next((c for c in _NAME_COLUMNS if c in columns), None)
    if id_column is None or name_column is None:
        raise ValueError(f'the header is {columns}; wanted i,label_list or id,name[,color]')
    check_color_column(columns)
    names: dict[int, str] = {}
    colors: dict[int, Color] = {}
    for row in rows:
        number = parsing.whole_number(row[id_column], 'id')
        _add_name(names, number, row[name_column])
        if row.get('color'):
            colors[number] = parsing.parse_color(row['color'])
    return _from_rows(names, colors, ignore_id, reads_colors)


def check_color_column(columns: Sequence[str]) -> None:
    """Checks that a table's colours are found: other columns are ignored, and colours would be without a word.

    Raises:
        ValueError: if no column is `color`, but the name of one says that it has colours.
    """
    similar = [name for name in columns if 'color' in name.lower() or 'colour' in name.lower()]
    if 'color' in columns:
        return
    lower = [name.strip().lower() for name in columns]
    for channels in (['r', 'g', 'b'], ['red', 'green', 'blue']):
        if set(channels) <= set(lower):
            raise ValueError(f'the header has {",".join(channels)}; wanted one column color, with #rrggbb')
    if similar:
        raise ValueError(f'the header has {parsing.shown(similar[0])}; the column of colours must be named color')


def _add_name(names: dict[int, str], number: int, name: str) -> None:
    if number in names:
        raise ValueError(f'id {number} appears twice: {parsing.shown(names[number])} and {parsing.shown(name)}')
    names[number] = name


def _from_rows(
    names: Mapping[int, str], colors: Mapping[int, Color], ignore_id: int, reads_colors: bool
) -> SourceTable:
    ids = tuple(sorted(names))
    # Before colours are derived: that needs ids from 0.
    if ids and not 0 <= ids[0] <= ids[-1] <= MAX_SOURCE_ID:
        raise ValueError(f'ids {parsing.shown(ids[0])}..{parsing.shown(ids[-1])}: masks hold 0..{MAX_SOURCE_ID}')
    completed = complete_colors(ids, colors, is_unique=reads_colors)
    return SourceTable(ids, tuple(names[i] for i in ids), completed, ignore_id)


def derived_color(number: int) -> Color:
    """The colour of a class for which the table gives none.

    Args:
        number: the class's id, from 0. Those above 255, in source masks of 16 bits, repeat the colours of 1..255.

    Returns:
        RGB, 0..255; black for 0.
    """
    return _distinct_colors()[number if number < 256 else 1 + (number - 1) % 255]


@functools.cache
def _distinct_colors() -> tuple[Color, ...]:
    """256 colours, black first; each of the others is the candidate that differs most from all before it."""
    # Farthest-first traversal (Gonzalez, "Clustering to Minimize the Maximum Intercluster Distance", 1985). It is one
    # sequence for tables of any length, so a class keeps its colour when others are added; an optimum for each length
    # would change all of them. `distances` has for each candidate the distance to the nearest colour chosen so far,
    # and is updated with each choice. It starts with the colour of ignored pixels, so that no class looks like those.
    candidates = np.array(list(itertools.product(_COLOR_LEVELS, repeat=3)))
    chosen = [np.zeros(3, int)]
    distances = _color_distances(candidates, np.array(IGNORE_COLOR))
    distances = np.minimum(distances, _color_distances(candidates, chosen[0]))
    while len(chosen) < 256:
        chosen.append(candidates[distances.argmax()])
        distances = np.minimum(distances, _color_distances(candidates, chosen[-1]))
    return tuple((int(r), int(g), int(b)) for r, g, b in chosen)


def _color_distances(colors: NDArray[np.int64], color: NDArray[np.int64]) -> NDArray[np.int64]:
    """How different some colours look from another one.

    Args:
        colors: (n, 3) RGB, 0..255.
        color: (3,) RGB.

    Returns:
        (n,) squared distances.
    """
    # "Redmean" of T. Riemersma (compuphase.com/cmetric.htm), a weighted Euclidean distance in RGB:
    #     (2 + r / 256) dR^2 + 4 dG^2 + (2 + (255 - r) / 256) dB^2, where r is the mean of both reds.
    # It is close to distances in CIE L*u*v*, but needs no conversion in floating point: in integers, the colours that
    # it leads to are the same on every machine, and they are part of a data set's label table.
    red_mean = (colors[:, 0] + color[0]) // 2
    red, green, blue = ((colors - color) ** 2).T
    distances: NDArray[np.int64] = (512 + red_mean) * red // 256 + 4 * green + (767 - red_mean) * blue // 256
    return distances
