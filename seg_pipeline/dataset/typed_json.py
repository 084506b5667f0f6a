"""Reads JSON that anyone may have altered as typed values: whatever it holds, the only error is a `ValueError`.

`parse` accepts less than the module json: no key twice in one object, no number that is not finite, no text that is not
Unicode, no nesting without end. `read` makes a dataclass of what was parsed, by the annotations of its fields.
"""

import dataclasses
import functools
import json
import math
import reprlib
import types
import typing
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from typing import Any, TypeVar, cast

MAX_DEPTH = 32  # of arrays and objects in one another; those of this package have at most 7
_MAX_INT = 2**63 - 1  # what TensorFlow and numpy can count to

_T = TypeVar('_T')
_Reader = Callable[[Any, str], Any]


def parse(data: bytes) -> Any:
    """Parses JSON in UTF-8.

    Raises:
        ValueError: if it is no JSON, or JSON that this module does not accept.
    """
    try:
        value = _DECODER.decode(data.decode())
    except RecursionError:
        raise ValueError('nested too deeply') from None
    # A look at the bytes costs nothing, and there is an index of a million lines: only what could be wrong is searched.
    if data.count(b'[') + data.count(b'{') > MAX_DEPTH or b'\\u' in data:
        _check(value)
    return value


def _object(members: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(members)
    if len(result) != len(members):
        names = [name for name, _ in members]
        raise ValueError(f'{next(name for name in names if names.count(name) > 1)!r} appears twice in one object')
    return result


def _refuse(constant: str) -> float:
    raise ValueError(f'{constant} is not JSON')


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f'{text} is too large')
    return value


# One for all: `json.loads` with these arguments makes one for each line of an index.
_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_refuse, parse_float=_finite)


def _check(value: Any) -> None:
    """Finds nesting that is too deep, and lone surrogates, which no file name and no terminal takes."""
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        for text in level:
            if isinstance(text, str):
                text.encode()  # raises UnicodeEncodeError, which is a ValueError
        level = [inner for outer in level for inner in _members(outer)]
        if not level:
            return
    raise ValueError('nested too deeply')


def _members(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from value
        yield from value.values()
    elif isinstance(value, list):
        yield from value


def read(kind: type[_T], value: Any, name: str = '') -> _T:
    """Makes a typed value of a parsed one.

    Args:
        kind: a dataclass, or int, float, str, bool, Any, `X | None`, and tuple, list and dict of such. A member without
            a default must be there, and no other may.
        value: what `parse` returned.
        name: of the value, for messages.

    Raises:
        ValueError: if a member is missing, unknown or of another type, which it names.
    """
    return cast(_T, _reader(cast(Hashable, kind))(value, name))


@functools.cache
def _reader(kind: Any) -> _Reader:
    """The function that reads a kind; made once for each, because an index has many lines."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return lambda value, name: value
    if dataclasses.is_dataclass(kind):
        return _reader_of_dataclass(cast(type, kind))
    if origin in (types.UnionType, typing.Union):
        return _reader_of_optional(_reader(next(one for one in arguments if one is not types.NoneType)))
    if origin is tuple and arguments[-1] is not Ellipsis:
        return _reader_of_row([_reader(one) for one in arguments])
    if origin in (tuple, list):
        return _reader_of_list(_reader(arguments[0]), origin)
    if origin is not None and issubclass(origin, Mapping):
        return _reader_of_dict(_reader(arguments[1]))
    return _reader_of_scalar(kind)


def _wrong(name: str, value: Any, wanted: str) -> ValueError:
    return ValueError(f'{name or "the value"} is {reprlib.repr(value)}, wanted {wanted}')


def _reader_of_scalar(kind: type) -> _Reader:
    wanted = {int: 'an integer', float: 'a number', str: 'text', bool: 'true or false'}[kind]
    accepted = (int, float) if kind is float else (kind,)

    def read_scalar(value: Any, name: str) -> Any:
        # By `type`, not `isinstance`: True is an int to Python.
        if type(value) not in accepted or (type(value) is int and not -_MAX_INT <= value <= _MAX_INT):
            raise _wrong(name, value, wanted)
        return value

    return read_scalar


def _reader_of_optional(inner: _Reader) -> _Reader:
    return lambda value, name: None if value is None else inner(value, name)


def _reader_of_row(inner: list[_Reader]) -> _Reader:
    def read_row(value: Any, name: str) -> tuple[Any, ...]:
        if not isinstance(value, list) or len(value) != len(inner):
            raise _wrong(name, value, f'an array of {len(inner)}')
        return tuple(one(item, f'{name}[{i}]') for i, (one, item) in enumerate(zip(inner, value, strict=True)))

    return read_row


def _reader_of_list(inner: _Reader, make: Callable[[Iterable[Any]], Any]) -> _Reader:
    def read_list(value: Any, name: str) -> Any:
        if not isinstance(value, list):
            raise _wrong(name, value, 'an array')
        return make(inner(item, f'{name}[{i}]') for i, item in enumerate(value))

    return read_list


def _reader_of_dict(inner: _Reader) -> _Reader:
    def read_dict(value: Any, name: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise _wrong(name, value, 'an object')
        return {key: inner(item, f'{name}[{reprlib.repr(key)}]') for key, item in value.items()}

    return read_dict


def _reader_of_dataclass(kind: type) -> _Reader:
    hints = typing.get_type_hints(kind)
    readers = {field.name: _reader(hints[field.name]) for field in dataclasses.fields(kind) if field.init}
    required = {
        field.name
        for field in dataclasses.fields(kind)
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    }

    def read_dataclass(value: Any, name: str) -> Any:
        if not isinstance(value, dict):
            raise _wrong(name, value, 'an object')
        prefix = f'{name}.' if name else ''
        if value.keys() != readers.keys():
            if missing := sorted(required - value.keys()):
                raise ValueError(f'{prefix}{missing[0]} is missing')
            if unknown := sorted(value.keys() - readers.keys()):
                raise ValueError(f'{prefix}{reprlib.repr(unknown[0])} is unknown')
        return kind(**{key: readers[key](item, prefix + key) for key, item in value.items()})

    return read_dataclass
