"""Remaps the classes of the source masks to those of the data set: several become one, some are ignored.

A remapping is a file that gives each class of the label table, by name, the group that replaces it:

    # Lines that begin with # are comments.
    name,group,color
    null,background,#000000
    skin,skin,#e0ac69
    face,skin,
    blur,ignore,

or the same as JSON, `{"background": ["null"], "skin": ["skin", "face"], "ignore": ["blur"]}`. Groups get the ids 0, 1,
2, ... in the order in which they first appear. `ignore` is not a class: its pixels get the ignored id. The colour of a
group, if it has one, is given in at least one of its rows; no mask is read by it. Each class of the label table must
have exactly one group.
"""

import csv
import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seg_pipeline import errors
from seg_pipeline.labels import label_map, parsing
from seg_pipeline.labels.label_map import Color, LabelMap, SourceTable
from seg_pipeline.plurals import counted

IGNORE_GROUP = 'ignore'


@dataclasses.dataclass(frozen=True)
class Remapping:
    """Which id each class of the source masks gets.

    Attributes:
        source: the classes of the source masks.
        targets: for each of them, in the order of `source.ids`, its id in the data set, or the ignored id.
    """

    source: SourceTable
    targets: tuple[int, ...]

    def lookup(self, num_values: int) -> NDArray[np.uint8]:
        """A table from old to new ids, to be indexed with a mask: one pass over the pixels for any number of classes.

        Args:
            num_values: length of the table; larger than each id that is looked up.

        Returns:
            (num_values,) uint8: the new id of each old one; the ignored id if the old one has no class.
        """
        table = np.full(num_values, self.source.ignore_id, np.uint8)
        for old, new in zip(self.source.ids, self.targets, strict=True):
            if old < num_values:
                table[old] = new
        return table

    def to_json(self) -> dict[str, Any]:
        """The remapping as plain JSON values, for fingerprints and manifests; `from_json` is its inverse."""
        source = self.source
        return {
            'ids': list(source.ids),
            'names': list(source.names),
            'colors': [list(color) for color in source.colors],
            'ignore_id': source.ignore_id,
            'targets': list(self.targets),
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> 'Remapping':
        """The inverse of `to_json`.

        Raises:
            KeyError, TypeError, ValueError: if the value does not have that form.
        """
        colors = tuple(parsing.color_of(color) for color in value['colors'])
        source = SourceTable(tuple(value['ids']), tuple(value['names']), colors, value['ignore_id'])
        return cls(source, tuple(value['targets']))


def of_offset(labels: LabelMap, offset: int) -> Remapping:
    """The remapping of masks whose values become classes when `offset` is added, and are ignored if that is negative.

    A value that is the ignored id stays ignored.

    Args:
        labels: the classes of the data set.
        offset: what is added.
    """
    names = {value: f'(ignored value {value})' for value in range(-offset)}
    names |= {i - offset: name for i, name in enumerate(labels.names) if i >= offset}
    names.pop(labels.ignore_id, None)
    targets = tuple(labels.ignore_id if value + offset < 0 else value + offset for value in names)
    colors = tuple(label_map.derived_color(value) for value in names)
    return Remapping(SourceTable(tuple(names), tuple(names.values()), colors, labels.ignore_id), targets)


def read(path: str, source: SourceTable, *, reads_colors: bool = True) -> tuple[LabelMap, Remapping]:
    """Reads a remapping.

    Args:
        path: the file, `.csv` or `.json`, see above.
        source: the classes of the source masks.
        reads_colors: whether masks may be read by colour. If not, groups may share one, as classes of `source` may.

    Returns:
        The groups as the classes of the data set, and the remapping to them.

    Raises:
        UserError: if the file is in neither form, names a class twice or one that `source` does not have, or has no
            group for a class of `source`; and for colours, as `label_map.read_source`.
    """
    text = parsing.read_text(path, 'remapping')
    try:
        group_of, colors = _parse_json(text) if path.lower().endswith('.json') else _parse_csv(text)
        _check_complete(group_of, source)
        return _build(group_of, colors, source, reads_colors)
    except (ValueError, csv.Error) as error:
        raise errors.UserError(f'remapping {path}: {error}') from error


def read_classes(
    labels: str, ignore_id: int, remap: str | None, *, reads_colors: bool = True
) -> tuple[LabelMap, Remapping | None]:
    """Reads a label table and, if there is one, a remapping of its classes.

    Args:
        labels: path of the label table, see `label_map.read`.
        ignore_id: the id of ignored pixels.
        remap: path of the remapping, see `read`.
        reads_colors: whether masks may be read by colour, see `label_map.read_source`.

    Returns:
        The classes of the data set, and what leads to them from those of the table; None without a remapping.

    Raises:
        UserError: if one of the files cannot be read or is in no known form.
    """
    if not remap:
        return label_map.read(labels, ignore_id, reads_colors=reads_colors), None
    source = label_map.read_source(labels, ignore_id, reads_colors=reads_colors)
    return read(remap, source, reads_colors=reads_colors)


def _parse_csv(text: str) -> tuple[dict[str, str], dict[str, Color]]:
    # Comments are removed here: the csv module does not know them, and would take the first for the header.
    lines = text.splitlines(keepends=True)
    columns, rows = parsing.csv_rows(line for line in lines if line.strip() and not line.startswith('#'))
    if not {'name', 'group'} <= set(columns):
        raise ValueError(f'the header is {columns}; wanted name,group[,color]')
    label_map.check_color_column(columns)
    group_of: dict[str, str] = {}
    colors: dict[str, Color] = {}
    for row in rows:
        name, group = row['name'], row['group']
        _add(group_of, name, group)
        if given := row.get('color'):
            color = parsing.parse_color(given)
            if colors.setdefault(group, color) != color:
                raise ValueError(f'group {group!r} has two colours, the second {given} in the row of {name!r}')
    return group_of, colors


def _parse_json(text: str) -> tuple[dict[str, str], dict[str, Color]]:
    groups = parsing.json_value(text)
    if not isinstance(groups, dict):
        raise ValueError('wanted {"group": ["name", ...], ...}')
    group_of: dict[str, str] = {}
    for group, names in groups.items():
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ValueError(f'group {parsing.shown(group)} has no list of names, but {parsing.shown(names)}')
        for name in names:
            _add(group_of, name.strip(), group.strip())
    return group_of, {}


def _add(group_of: dict[str, str], name: str, group: str) -> None:
    if not name or not group:
        raise ValueError(f'a row with an empty name or group: {name!r}, {group!r}')
    if name in group_of:
        raise ValueError(f'{name!r} appears twice: in {group_of[name]!r} and in {group!r}')
    group_of[name] = group


def _check_complete(group_of: Mapping[str, str], source: SourceTable) -> None:
    missing = [name for name in source.names if name not in group_of]
    if missing:
        raise ValueError(
            f'no group for {len(missing)} of {counted(len(source.names), "class", "classes")}: {", ".join(missing)}'
        )
    unknown = sorted(group_of.keys() - set(source.names))
    if unknown:
        # Names of the label table are of one line, those of this file may be anything.
        names = ', '.join(name if name.isprintable() else parsing.shown(name) for name in unknown)
        raise ValueError(f'{counted(len(unknown), "name")} that the label table does not have: {names}')


def _build(
    group_of: Mapping[str, str], colors: Mapping[str, Color], source: SourceTable, reads_colors: bool
) -> tuple[LabelMap, Remapping]:
    # `fromkeys` removes repetitions and keeps the order of the file, which gives the groups their ids.
    groups = tuple(dict.fromkeys(group for group in group_of.values() if group != IGNORE_GROUP))
    label_map.check_names(groups)
    given = {i: colors[group] for i, group in enumerate(groups) if group in colors}
    if reads_colors:
        label_map.check_unique_colors({repr(groups[i]): color for i, color in given.items()}, 'groups')
    all_colors = label_map.complete_colors(range(len(groups)), given, is_unique=reads_colors)
    labels = LabelMap(groups, all_colors, source.ignore_id)
    id_of = {group: i for i, group in enumerate(groups)} | {IGNORE_GROUP: source.ignore_id}
    return labels, Remapping(source, tuple(id_of[group_of[name]] for name in source.names))
