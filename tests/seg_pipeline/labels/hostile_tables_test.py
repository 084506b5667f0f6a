"""Label tables and remappings that are not what they should be: one line refuses each, and names file and value."""

import json

import pytest

from seg_pipeline import errors
from seg_pipeline.labels import label_map, remapping
from seg_pipeline.labels.label_map import LabelMap, SourceTable

_DEEP = 20_000
_HUGE = '9' * 5000

_JSON_TABLES = [
    ('{"id": 0}', "the table has no 'names'; wanted names, colors"),
    ('[{"id": 0, "name": "a"}, "b"]', 'the name of class 0, .* is not text'),
    ('[{"id": 0, "name": "a"}, {"id": 0, "name": "b"}]', "id 0 appears twice: 'a' and 'b'"),
    ('[{"name": "a"}]', "entry 0 has no 'id'; wanted id, name"),
    ('[{"id": 0}]', "entry 0 has no 'name'"),
    ('[{"id": 0, "name": "a", "colour": "#000000"}]', "entry 0 has 'colour'; wanted id, name, .color."),
    ('[{"id": "0", "name": "a"}]', "id of entry 0, '0' is not a whole number"),
    ('[{"id": true, "name": "a"}]', 'id of entry 0, True is not'),
    ('[{"id": 0.0, "name": "a"}]', 'id of entry 0, 0.0 is not'),
    ('[{"id": -1, "name": "a"}]', 'ids -1..-1: masks hold 0..65535'),
    ('[{"id": 70000, "name": "a"}]', 'ids 70000..70000: masks hold 0..65535'),
    (f'[{{"id": {_HUGE[:4200]}, "name": "a"}}]', 'masks hold 0..65535'),
    (f'[{{"id": {_HUGE}, "name": "a"}}]', ': a number of 5000 digits$'),
    ('[{"id": 0, "name": 7}]', 'the name of class 0, 7, is not text'),
    ('[{"id": 0, "name": null}]', 'the name of class 0, None, is not text'),
    ('["a", 7]', 'the name of class 1, 7, is not text'),
    ('["a", ["b"]]', 'the name of class 1, .* is not text'),
    ('["a", ""]', "the name of class 1, '', is not one line"),
    ('["a", "\\ud800"]', 'the name of class 1, .* is not one line'),
    ('["a", "b\\u0000c"]', 'the name of class 1, .* is not one line'),
    ('[]', '0 classes'),
    ('{}', "the table has no 'names'"),
    ('7', 'the table, 7, is no object'),
    ('null', 'the table, None, is no object'),
    ('NaN', 'NaN is no JSON'),
    ('[NaN]', 'NaN is no JSON'),
    ('{"names": ["a"], "colors": [[0, 0, Infinity]]}', 'Infinity is no JSON'),
    ('', 'Expecting value'),
    ('["a"', 'delimiter'),
    ('["a"] ["b"]', 'Extra data'),
    ('[' * _DEEP, 'nested too deeply'),
    ('{"a":' * _DEEP, 'nested too deeply'),
    ('{"names": ["a"], "names": ["b"], "colors": [[0, 0, 0]]}', "the key 'names' appears twice"),
    ('{"names": "ab", "colors": [[0, 0, 0], [1, 1, 1]]}', 'names and colors must be lists'),
    ('{"names": ["a"], "colors": {"a": "#000000"}}', 'names and colors must be lists'),
    ('{"names": ["a", 7], "colors": [[0, 0, 0], [1, 1, 1]]}', 'the name of class 1, 7, is not text'),
    ('{"names": ["a", "b"], "colors": [[0, 0, 0]]}', '2 class names but 1 colour'),
    ('{"names": ["a"], "colors": [[0, 0, 0]], "ignore_id": "9"}', "ignore_id '9' is not a whole number"),
    ('{"names": ["a"], "colors": [[0, 0, 0]], "ignore_id": 9.5}', 'ignore_id 9.5 is not'),
    ('{"names": ["a"], "colors": [[0, 0, 0]], "ignore_id": 256}', 'ignore id 256'),
    ('{"names": ["a"], "colors": [[0, 0, 0]], "ignored": 9}', "the table has 'ignored'"),
]
_JSON_COLORS = [
    '[300, 0, 0]',
    '[-1, 0, 0]',
    '[0.5, 0, 0]',
    '[1.0, 0, 0]',
    '[true, 0, 0]',
    '["1", 0, 0]',
    '[0, 0]',
    '[0, 0, 0, 0]',
    '"abc"',
    '"#abc"',
    '"#00 00 00"',
    '"#gg0000"',
    '"1 2 3"',
    '7',
    '{"r": 1}',
    '[[0], 0, 0]',
    f'[{_HUGE[:4200]}, 0, 0]',
]
_CSV_TABLES = [
    ('', 'the header is'),
    ('\n\n', 'the header is'),
    ('i;label_list\n0;a\n', 'the header is'),
    ('id,name,name\n0,a,b\n', "the header has the column 'name' twice"),
    ('id,name,r,g,b\n0,a,0,0,0\n', 'the header has r,g,b; wanted one column color, with #rrggbb'),
    ('id,name,Red,Green,Blue\n0,a,0,0,0\n', 'the header has red,green,blue; wanted one column color'),
    ('id,name,colour\n0,a,#000000\n', "the header has 'colour'; the column of colours must be named color"),
    ('id,name,Color\n0,a,#000000\n', "the header has 'Color'"),
    ('id,name\n0,coat, long\n', "the row '0,coat, ?long' has 3 cells, the header 2: a name with a comma"),
    ('id,name\n1_0,a\n', "id '1_0' is not a whole number"),
    ('id,name\n\u0660,a\n', 'is not a whole number'),
    ('id,name\n+0,a\n', "id '.0' is not a whole number"),
    ('id,name\n0.0,a\n', "id '0.0' is not"),
    ('id,name\n,a\n', "id '' is not"),
    (f'id,name\n{_HUGE},a\n', 'is not a whole number'),
    ('id,name\n9999999999,a\n', 'masks hold 0..65535'),
    ('id,name\n0,"a\n1,b\n', 'unexpected end of data'),
    ('id,name\n0,"a"b\n', 'expected after'),
    ('id,name\n0,"a\nb"\n', 'is not one line of text'),
    ('id,name\n0,a\x00b\n', 'is not one line of text|NUL'),
    ('id,name\n0,a\x1b[31m\n', 'is not one line of text'),
    (f'id,name\n0,{"a" * 200_000}\n', 'field larger than field limit'),
]
_CSV_COLORS = ['abc', '#12', '#00 00 00', '#0000000', '1 2', '1 2 3 4', '300 0 0', '-1 0 0', '0.5 0 0', '1_0 0 0']
_SOURCE = SourceTable((0, 1), ('a', 'b'), ((0, 0, 0), (9, 9, 9)))
_JSON_REMAPPINGS = [
    ('{"x": {"a": "b"}}', "group 'x' has no list of names, but {'a': 'b'}"),
    ('{"x": ["a", 1]}', "group 'x' has no list of names"),
    ('{"x": [["a", "b"]]}', "group 'x' has no list of names"),
    ('{"x": [NaN]}', 'NaN is no JSON'),
    ('{"x": ["a"], "x": ["b"]}', "the key 'x' appears twice"),
    ('[["a", "b"]]', 'wanted'),
    ('{}', 'no group for 2 of 2 classes: a, b'),
    ('[' * _DEEP, 'nested too deeply'),
    ('{"x":' * _DEEP, 'nested too deeply'),
    ('{"": ["a", "b"]}', 'empty name or group'),
    ('{"x\\u2028y": ["a", "b"]}', 'is not one line of text'),
    ('{"\\ud800": ["a", "b"]}', 'is not one line of text'),
]
_CSV_REMAPPINGS = [
    ('', 'the header is'),
    ('name,group\na,x,y\nb,x\n', "the row 'a,x,y' has 3 cells"),
    ('name,group,colour\na,x,#000000\nb,x,\n', "the header has 'colour'"),
    ('name,group,group\na,x,x\nb,x,x\n', "column 'group' twice"),
    ('name,group,color\na,x,300 0 0\nb,x,\n', "colour '300 0 0' is not"),
    ('name,group\na,"x\nb,x\n', 'unexpected end of data'),
    ('name,group,color\na,x,\nb,y,#000000\n', 'class 0 has no colour, and the one derived for it, #000000'),
    ('name,group,color\na,x,#010203\nb,y,1 2 3\n', 'one colour, #010203'),
]


def _tables():
    yield from (('table.json', text, says) for text, says in _JSON_TABLES)
    for color in _JSON_COLORS:
        yield 'table.json', f'[{{"id": 0, "name": "a", "color": {color}}}]', 'colour .* is not #rrggbb or three numbers'
        yield 'table.json', f'{{"names": ["a"], "colors": [{color}]}}', 'colour .* is not #rrggbb or three numbers'
    yield from (('table.csv', text, says) for text, says in _CSV_TABLES)
    for color in _CSV_COLORS:
        yield 'table.csv', f'id,name,color\n0,a,{color}\n', 'colour .* is not #rrggbb or three numbers'
    yield 'table.txt', 'a\n\x00\n', 'is not one line of text'
    yield 'table.txt', 'a\u2028b\n', 'is not one line of text'
    yield 'table.txt', '\n', '0 classes'


def _names(value):
    return value[:40] if isinstance(value, str) else None


def _refused(read, path, text, says):
    path.write_text(text, encoding='utf-8', newline='')
    with pytest.raises(errors.UserError, match=says) as caught:
        read(str(path))
    message = str(caught.value)
    assert str(path) in message
    assert len(message.splitlines()) == 1
    assert len(message) < 1000


@pytest.mark.parametrize(('name', 'text', 'says'), list(_tables()), ids=_names)
def test_label_tables(tmp_path, name, text, says):
    for read in (label_map.read, label_map.read_source):
        _refused(read, tmp_path / name, text, says)


@pytest.mark.parametrize(
    ('name', 'text', 'says'),
    [('r.json', *row) for row in _JSON_REMAPPINGS] + [('r.csv', *row) for row in _CSV_REMAPPINGS],
    ids=_names,
)
def test_remappings(tmp_path, name, text, says):
    _refused(lambda path: remapping.read(path, _SOURCE), tmp_path / name, text, says)


@pytest.mark.parametrize('name', ['t.csv', 't.json', 't.txt'])
@pytest.mark.parametrize('data', [b'\xff\xfea\x00', b'caf\xe9', b'\x80'])
def test_what_is_not_utf_8(tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    for read in (label_map.read, lambda path: remapping.read(path, _SOURCE)):
        with pytest.raises(errors.UserError, match='cannot be read') as caught:
            read(str(tmp_path / name))
        assert len(str(caught.value).splitlines()) == 1


def test_the_forms_of_json(tmp_path):
    def read(value):
        path = tmp_path / 'table.json'
        path.write_text('\ufeff' + json.dumps(value), encoding='utf-8')
        return label_map.read_source(str(path))

    objects = [{'id': 7, 'name': 'b', 'color': '#0a0B0c'}, {'id': 0, 'name': 'a', 'color': [1, 2, 3]}]
    assert read(objects) == SourceTable((0, 7), ('a', 'b'), ((1, 2, 3), (10, 11, 12)))
    plain = [{'id': 0, 'name': 'bg'}, {'id': 1, 'name': 'hat', 'color': None}]
    assert read(plain) == read(['bg', 'hat']) == SourceTable.of(LabelMap.default(('bg', 'hat')))
    assert read({'names': ['a'], 'colors': ['#010203']}).colors == ((1, 2, 3),)


_BLACK_IS_TAKEN = {
    'table.csv': 'id,name,color\n0,paper,\n1,ink,#000000\n',
    'table.json': '[{"id": 0, "name": "paper"}, {"id": 1, "name": "ink", "color": "#000000"}]',
    'remapping.csv': 'name,group,color\na,paper,\nb,ink,#000000\n',
}


@pytest.mark.parametrize('name', _BLACK_IS_TAKEN)
def test_a_derived_colour_is_never_that_of_another_class(tmp_path, name):
    (tmp_path / name).write_text(_BLACK_IS_TAKEN[name])
    says = 'class 0 has no colour, and the one derived for it, #000000, is that of class 1: give class 0 a colour'
    read = label_map.read if name.startswith('table') else lambda path: remapping.read(path, _SOURCE)
    with pytest.raises(errors.UserError, match=says):
        read(str(tmp_path / name))


@pytest.mark.parametrize('number', [0, 1, 2, 58, 255])
def test_each_derived_colour_is_checked(number):
    color = label_map.derived_color(number)
    with pytest.raises(ValueError, match=f'class {number} has no colour.* is that of class 1000'):
        label_map.complete_colors((number, 1000), {1000: color})
    assert label_map.complete_colors((number, 1000), {number: color, 1000: (1, 2, 3)}) == (color, (1, 2, 3))


def test_whether_colours_were_given():
    for count in (1, 2, 59, 255):
        table = SourceTable.of(LabelMap.default(tuple(f'class {i}' for i in range(count))))
        assert not table.has_given_colors
    assert SourceTable((0, 1), ('a', 'b'), ((0, 0, 0), (1, 2, 3))).has_given_colors
    gaps = SourceTable((0, 900), ('a', 'b'), (label_map.derived_color(0), label_map.derived_color(900)))
    assert not gaps.has_given_colors
    # The trainer reads the table from the manifest, and must read masks as the data set's were read.
    for table in (LabelMap.default(('a', 'b')), LabelMap(('a', 'b'), ((0, 0, 0), (1, 2, 3)))):
        again = LabelMap.from_json(json.loads(json.dumps(table.to_json())))
        assert SourceTable.of(again).has_given_colors == SourceTable.of(table).has_given_colors
    mapping = remapping.Remapping(gaps, (0, 1))
    assert not remapping.Remapping.from_json(json.loads(json.dumps(mapping.to_json()))).source.has_given_colors
