import json

import numpy as np
import pytest

from seg_pipeline import errors
from seg_pipeline.labels import label_map
from seg_pipeline.labels.label_map import LabelMap


def _read(tmp_path, name, text, **options):
    (tmp_path / name).write_text(text, encoding='utf-8')
    return label_map.read(str(tmp_path / name), **options)


def test_the_table_of_clothing_co_parsing(tmp_path):
    found = _read(tmp_path, 'labels.csv', 'i,label_list\n0,null\n1,skin\n2,hair\n')
    assert found.names == ('null', 'skin', 'hair')
    assert found.ignore_id == 255
    assert found.num_classes == 3


def test_rows_in_any_order_with_colours(tmp_path):
    found = _read(tmp_path, 'labels.csv', 'color, id, name\n#0a0b0c,1,skin\n1 2 3,0,background\n')
    assert found.names == ('background', 'skin')
    assert found.colors == ((1, 2, 3), (10, 11, 12))


def test_a_byte_order_mark_of_a_spreadsheet(tmp_path):
    assert _read(tmp_path, 'labels.csv', '\ufeffi,label_list\n0,a\n').names == ('a',)


def test_other_forms(tmp_path):
    assert _read(tmp_path, 'labels.txt', 'a\nb\n\n').names == ('a', 'b')
    assert _read(tmp_path, 'labels.json', '["a", "b"]', ignore_id=9).ignore_id == 9
    table = LabelMap(('a', 'b'), ((0, 0, 0), (9, 9, 9)), ignore_id=7)
    assert _read(tmp_path, 'labels.json', json.dumps(table.to_json())) == table


@pytest.mark.parametrize(
    ('name', 'text', 'message'),
    [
        ('l.csv', 'a,b\n0,x\n', "header is \\['a', 'b'\\]"),
        ('l.csv', 'i,label_list\n0,a\n2,b\n', 'id 1 is missing'),
        ('l.csv', 'i,label_list\n0,a\n0,b\n', "id 0 appears twice: 'a' and 'b'"),
        ('l.csv', 'i,label_list\nx,a\n', "id 'x' is not a whole number"),
        ('l.csv', 'id,name,color\n0,a,#12\n', 'colour'),
        ('l.csv', 'i,label_list\n', '0 classes'),
        ('l.json', '{', 'Expecting'),
        ('l.json', '{"names": ["a"]}', 'colors'),
        ('l.txt', '', '0 classes'),
        ('l.txt', 'a\n\nb\n', "name of class 1, '', is not one line"),
        ('l.txt', 'a\nb\na\n', "classes 0 and 2 have one name, 'a'"),
        ('l.csv', 'i,label_list\n0,a\n1,\n', 'name of class 1'),
        ('l.csv', 'i,label_list\n0,a\n1, a\n', "classes 0 and 1 have one name, 'a'"),
        ('l.csv', 'i,label_list\n0,a\n1\n', 'name of class 1'),
        ('l.csv', 'id,name,color\n0,a,#010203\n1,b,1 2 3\n', 'classes 0 and 1 have one colour, #010203'),
        ('l.csv', 'id,name\n0,a\n-1,b\n', 'ids -1..0: masks hold 0..65535'),
        ('l.json', '["a", "a"]', 'one name'),
        ('l.json', '["a", "b\\nc"]', "name of class 1, 'b\\\\nc', is not one line"),
    ],
)
def test_wrong_tables_name_file_and_values(tmp_path, name, text, message):
    with pytest.raises(errors.UserError, match=message) as caught:
        _read(tmp_path, name, text)
    assert str(tmp_path / name) in str(caught.value)


def test_missing_file_and_binary_file(tmp_path):
    (tmp_path / 'x.csv').write_bytes(b'\xff\xfe\x00')
    for name in ('no.csv', 'x.csv'):
        with pytest.raises(errors.UserError, match='cannot be read'):
            label_map.read(str(tmp_path / name))


def test_the_ignored_id_is_no_class():
    with pytest.raises(ValueError, match='ignore id 1'):
        LabelMap.default(('a', 'b'), ignore_id=1)
    with pytest.raises(ValueError, match='ignore id 256'):
        LabelMap.default(('a', 'b'), ignore_id=256)


def test_derived_colours_are_distinct_and_survive_json():
    labels = LabelMap.default(tuple(f'class {n}' for n in range(59)))
    assert len(set(labels.colors)) == 59
    assert labels.colors[0] == (0, 0, 0)
    assert LabelMap.from_json(json.loads(json.dumps(labels.to_json()))) == labels
    palette = labels.palette()
    assert palette.shape == (256, 3)
    assert palette.dtype == np.uint8
    assert (palette[:59] == labels.colors).all()
    assert len({tuple(color) for color in palette[59:]}) == 1


def test_ids_with_gaps_are_for_a_remapping(tmp_path):
    (tmp_path / 'l.csv').write_text('id,name,color\n900,b,\n7,a,#010203\n')
    found = label_map.read_source(str(tmp_path / 'l.csv'))
    assert (found.ids, found.names, found.colors[0]) == ((7, 900), ('a', 'b'), (1, 2, 3))
    with pytest.raises(errors.UserError, match='id 0 is missing; --remap accepts gaps'):
        label_map.read(str(tmp_path / 'l.csv'))


def test_a_class_with_the_ignored_id_is_refused(tmp_path):
    (tmp_path / 'l.csv').write_text('id,name\n0,a\n255,void\n')
    with pytest.raises(errors.UserError, match="id 255 is class 'void' and the ignored id"):
        label_map.read_source(str(tmp_path / 'l.csv'))


def test_derived_colours_can_be_told_apart():
    colors = np.array(LabelMap.default(tuple(f'class {n}' for n in range(59))).palette()[:60], float)  # the ignored too
    distances = np.linalg.norm(colors[:, None] - colors[None], axis=-1)
    assert distances[~np.eye(60, dtype=bool)].min() > 50
    assert label_map.derived_color(256) == label_map.derived_color(1)


def test_check_names_names_the_classes_by_id():
    label_map.check_names(('a', 'b'))
    with pytest.raises(ValueError, match="classes 0 and 2 have one name, 'a'"):
        label_map.check_names(('a', 'b', 'a'))
    with pytest.raises(ValueError, match="classes 7 and 900 have one name, 'a'"):
        label_map.check_names(('a', 'b', 'a'), (7, 8, 900))
    for name in ('', ' a', 'a\nb', 'a\u2028b'):
        with pytest.raises(ValueError, match=r'the name of class 3, .* is not one line of text'):
            label_map.check_names((name,), (3,))


@pytest.mark.parametrize(
    ('suffix', 'text'), [('JSON', '["a", "b"]'), ('Txt', 'a\nb\n'), ('CSV', 'id,name\n0,a\n1,b\n')]
)
def test_the_suffix_in_capitals_says_the_same(tmp_path, suffix, text):
    (tmp_path / f'l.{suffix}').write_text(text)
    assert label_map.read(str(tmp_path / f'l.{suffix}')).names == ('a', 'b')


_CITYSCAPES = ('id,name,color\n0,unlabeled,#000000\n1,ego vehicle,#000000\n2,road,#804080\n', 'csv')
_OBJECTS = (
    '[{"id": 0, "name": "a"}, {"id": 1, "name": "b", "color": "#000000"}, {"id": 2, "name": "c", "color": "#000000"}]',
    'json',
)
_WHOLE = ('{"names": ["a", "b"], "colors": [[0, 0, 0], [0, 0, 0]]}', 'json')


@pytest.mark.parametrize(('text', 'suffix'), [_CITYSCAPES, _OBJECTS, _WHOLE])
def test_classes_may_share_a_colour_where_none_is_read(tmp_path, text, suffix):
    path = tmp_path / f'l.{suffix}'
    path.write_text(text)
    with pytest.raises(errors.UserError, match='colour'):
        label_map.read(str(path))
    assert label_map.read(str(path), reads_colors=False).colors[:2] == ((0, 0, 0), (0, 0, 0))
