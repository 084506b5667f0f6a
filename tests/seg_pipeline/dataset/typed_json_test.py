import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seg_pipeline.dataset import typed_json

_TEXT = st.text(st.characters(exclude_categories=['Cs']))
_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(1 - 2**63, 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | _TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXT, inner, max_size=4),
    max_leaves=12,
)


@dataclasses.dataclass(frozen=True)
class _Inner:
    number: int
    share: float = 0.5


@dataclasses.dataclass(frozen=True)
class _Outer:
    name: str
    inner: tuple[_Inner, ...]
    row: tuple[int, str]
    table: dict[str, _Inner]
    flag: bool
    maybe: int | None = None
    anything: Any = None


_VALUE = {
    'name': 'x',
    'inner': [{'number': 1}, {'number': 2, 'share': 1}],
    'row': [1, 'a'],
    'table': {'k': {'number': 3}},
    'flag': True,
    'maybe': 4,
    'anything': [{}],
}


@given(_JSON)
def test_what_json_writes_is_parsed_as_json_parses_it(value):
    for data in (json.dumps(value).encode(), json.dumps(value, ensure_ascii=False).encode()):
        assert typed_json.parse(data) == json.loads(data)


@pytest.mark.parametrize(
    ('data', 'message'),
    [
        (b'[' * 200_000, 'nested too deeply'),
        (b'[' * 40 + b']' * 40, 'nested too deeply'),
        (b'{"a":' * 40 + b'1' + b'}' * 40, 'nested too deeply'),
        (b'{"a": 1, "b": 2, "a": 3}', "'a' appears twice"),
        (b'[1e999]', '1e999 is too large'),
        (b'[-Infinity]', '-Infinity is not JSON'),
        (b'NaN', 'NaN is not JSON'),
        (b'"\\ud800"', 'surrogates'),
        (b'{"\\udfff": 1}', 'surrogates'),
        (b'\xff', 'utf-8'),
        ('"x"'.encode('utf-16'), 'utf-8'),
        (b'9' * 10_000, 'digits'),
        (b'', 'Expecting value'),
    ],
)
def test_what_is_refused(data, message):
    with pytest.raises(ValueError, match=message):
        typed_json.parse(data)


def test_nesting_and_pairs_of_surrogates_that_are_accepted():
    assert typed_json.parse(b'[' * 32 + b']' * 32) == json.loads('[' * 32 + ']' * 32)
    assert typed_json.parse(b'"\\ud83d\\ude00"') == '\U0001f600'


def test_typed_values():
    assert typed_json.read(_Outer, _VALUE) == _Outer(
        'x', (_Inner(1), _Inner(2, 1)), (1, 'a'), {'k': _Inner(3)}, True, 4, [{}]
    )


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'name': None}, 'name is None, wanted text'),
        ({'flag': 1}, 'flag is 1, wanted true or false'),
        ({'inner': [{'number': True}]}, r'inner\[0\]\.number is True, wanted an integer'),
        ({'inner': [{'number': 2**70}]}, r'inner\[0\]\.number is .*, wanted an integer'),
        ({'inner': {}}, r'inner is \{\}, wanted an array'),
        ({'inner': [{}]}, r'inner\[0\]\.number is missing'),
        ({'row': [1]}, r'row is \[1\], wanted an array of 2'),
        ({'row': [1, 2]}, r'row\[1\] is 2, wanted text'),
        ({'table': []}, r'table is \[\], wanted an object'),
        ({'table': {'k': {'number': 3, 'more': 1}}}, r"table\['k'\]\.'more' is unknown"),
        ({'maybe': 'x'}, "maybe is 'x', wanted an integer"),
        ({'other': 1}, "'other' is unknown"),
    ],
)
def test_what_is_of_another_type_is_named(change, message):
    with pytest.raises(ValueError, match=message):
        typed_json.read(_Outer, {**_VALUE, **change})


@given(_JSON)
def test_any_value_is_typed_or_a_value_error(value):
    try:
        assert dataclasses.asdict(typed_json.read(_Inner, value))['number'] == value['number']
    except ValueError:
        assert not isinstance(value, dict) or set(value) != {'number'} or type(value['number']) is not int
