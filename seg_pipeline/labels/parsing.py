"""Reads the small text files of labels, strictly: what is not of the one form is an error, never a guess."""

import csv
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from seg_pipeline import errors, storage

Color = tuple[int, int, int]

_HEX_COLOR = re.compile(r'#[0-9a-fA-F]{6}')
# Ten digits are more than any id needs, and few enough for `int`, which refuses thousands with a message of its own.
_WHOLE_NUMBER = re.compile(r'-?[0-9]{1,10}')
_LONGEST_SHOWN = 60
_LONGEST_INTEGER = 4200


def read_text(path: str, what: str) -> str:
    """Reads a small text file in UTF-8.

    Args:
        path: the file.
        what: what it is, for the message.

    Returns:
        Its text, without a byte order mark, which spreadsheets write.

    Raises:
        UserError: if it cannot be read or is not UTF-8.
    """
    try:
        return storage.read_bytes(path).decode('utf-8-sig')
    except (OSError, UnicodeDecodeError) as error:
        raise errors.UserError(f'{what} {path}: cannot be read: {error}') from error


def json_value(text: str) -> Any:
    """Parses JSON as the standard has it (RFC 8259): no NaN, and no key twice in one object.

    Raises:
        ValueError: if it is not that, or nested too deeply.
    """
    try:
        return json.loads(text, object_pairs_hook=_object, parse_int=_integer, parse_constant=_constant)
    except RecursionError as error:
        raise ValueError('nested too deeply') from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # A dict would silently keep only the last of two values of one key.
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f'the key {shown(key)} appears twice')
        found[key] = value
    return found


def _integer(text: str) -> int:
    # Python's own refusal of thousands of digits speaks of its settings.
    if len(text) > _LONGEST_INTEGER:
        raise ValueError(f'a number of {len(text)} digits')
    return int(text)


def _constant(name: str) -> Any:
    raise ValueError(f'{name} is no JSON')


def csv_rows(lines: Iterable[str]) -> tuple[list[str], Iterator[dict[str, str]]]:
    """Parses CSV with a header.

    Args:
        lines: the lines of the file, each with its end; those without text are left out.

    Returns:
        The names of the columns, and each row as a dict: its cells by the names of their columns, without spaces at
        the ends. A row may be shorter than the header; the cells that it lacks are empty.

    Raises:
        ValueError, csv.Error: if a column appears twice; while iterating, if a row is longer than the header, which a
            comma within a name would make of it, or a quote is not closed.
    """
    reader = csv.reader(lines, skipinitialspace=True, strict=True)
    columns = [name.strip() for name in next(reader, [])]
    for name in columns:
        if name and columns.count(name) > 1:
            raise ValueError(f'the header has the column {shown(name)} twice')

    def rows() -> Iterator[dict[str, str]]:
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) > len(columns):
                message = f'the row {shown(",".join(cells))} has {len(cells)} cells, the header {len(columns)}'
                raise ValueError(f'{message}: a name with a comma must be in double quotes')
            padded = [cell.strip() for cell in cells] + [''] * (len(columns) - len(cells))
            yield dict(zip(columns, padded, strict=True))

    return columns, rows()


def shown(value: object) -> str:
    """A value as a message shows it: its `repr`, cut where it is long."""
    text = repr(value)
    return text if len(text) <= _LONGEST_SHOWN else f'{text[:_LONGEST_SHOWN]}...'


def whole_number(text: str, what: str) -> int:
    """Parses a whole number.

    Raises:
        ValueError: if the text is none; the message begins with `what`.
    """
    if _WHOLE_NUMBER.fullmatch(text):
        return int(text)
    raise ValueError(f'{what} {shown(text)} is not a whole number')


def integer(value: object, what: str) -> int:
    """Checks an integer of JSON.

    Raises:
        ValueError: if it is none; the message begins with `what`.
    """
    if isinstance(value, int) and not isinstance(value, bool):  # to Python, True is 1
        return value
    raise ValueError(f'{what} {shown(value)} is not a whole number')


def parse_color(text: str) -> Color:
    """Parses a colour.

    Args:
        text: `#rrggbb`, or three numbers 0..255 separated by spaces or commas.

    Returns:
        RGB, 0..255.

    Raises:
        ValueError: if it is neither.
    """
    if _HEX_COLOR.fullmatch(text):
        red, green, blue = bytes.fromhex(text[1:])
        return red, green, blue
    parts = text.replace(',', ' ').split()
    if all(_WHOLE_NUMBER.fullmatch(part) for part in parts):
        return color_of([int(part) for part in parts], shown(text))
    raise ValueError(f'colour {shown(text)} is not #rrggbb or three numbers 0..255')


def color_of(value: object, what: str | None = None) -> Color:
    """Checks a colour of JSON.

    Args:
        value: a list of three integers 0..255, or `#rrggbb`.
        what: how the message shows it; by default as it is.

    Returns:
        RGB, 0..255.

    Raises:
        ValueError: if it is neither.
    """
    if isinstance(value, str) and _HEX_COLOR.fullmatch(value):
        return parse_color(value)
    if isinstance(value, list | tuple) and len(value) == 3 and all(type(v) is int and 0 <= v <= 255 for v in value):
        red, green, blue = value
        return red, green, blue
    raise ValueError(f'colour {what or shown(value)} is not #rrggbb or three numbers 0..255')


def fields(value: object, what: str, required: tuple[str, ...], optional: tuple[str, ...] = ()) -> Mapping[str, Any]:
    """Checks the keys of an object of JSON.

    Raises:
        ValueError: if it is no object, lacks a required key, or has one that is neither; the message begins with
            `what`.
    """
    wanted = ', '.join((*required, *(f'[{name}]' for name in optional)))
    if not isinstance(value, dict):
        raise ValueError(f'{what}, {shown(value)}, is no object with {wanted}')
    if missing := [name for name in required if name not in value]:
        raise ValueError(f'{what} has no {missing[0]!r}; wanted {wanted}')
    if unknown := [name for name in value if name not in (*required, *optional)]:
        raise ValueError(f'{what} has {shown(unknown[0])}; wanted {wanted}')
    return value


def is_one_line(text: str) -> bool:
    """Whether a text is one line that can be printed and written as UTF-8: no control character but the tab."""
    # Separators of lines and paragraphs, and surrogates, which JSON can write as escapes and UTF-8 cannot hold.
    return all(char == '\t' or unicodedata.category(char) not in ('Cc', 'Cs', 'Zl', 'Zp') for char in text)
