import json
import pathlib

import numpy as np
import pytest

from seg_pipeline import errors
from seg_pipeline.clothing_parsing import source as clothing
from seg_pipeline.labels import label_map, remapping
from seg_pipeline.labels.label_map import SourceTable

_SOURCE = SourceTable((0, 3, 7, 900), ('null', 'skin', 'face', 'blur'), ((0, 0, 0), (1, 1, 1), (2, 2, 2), (3, 3, 3)))
_CSV = '# a comment, with a comma\nname,group,color\nnull,background,\nskin,body,#0a0b0c\nface,body,\nblur,ignore,\n'


def _read(tmp_path, name, text, source=_SOURCE):
    (tmp_path / name).write_text(text, encoding='utf-8')
    return remapping.read(str(tmp_path / name), source)


def test_csv(tmp_path):
    labels, found = _read(tmp_path, 'groups.csv', _CSV)
    assert labels.names == ('background', 'body')
    assert labels.colors == ((0, 0, 0), (10, 11, 12))
    assert found.targets == (0, 1, 1, 255)


def test_json_is_the_same(tmp_path):
    text = json.dumps({'background': ['null'], 'body': ['skin', 'face'], 'ignore': ['blur']})
    labels, found = _read(tmp_path, 'groups.json', text)
    assert (labels.names, found) == (('background', 'body'), _read(tmp_path, 'groups.csv', _CSV)[1])


def test_the_order_of_the_groups_gives_their_ids(tmp_path):
    labels, found = _read(tmp_path, 'g.csv', 'name,group\nskin,body\nblur,x\nnull,rest\nface,body\n')
    assert labels.names == ('body', 'x', 'rest')
    assert found.targets == (2, 0, 0, 1)


def test_lookup(tmp_path):
    _, found = _read(tmp_path, 'groups.csv', _CSV)
    table = found.lookup(1000)
    assert table.dtype == np.uint8
    assert {i: int(table[i]) for i in (0, 3, 7, 900, 255, 8)} == {0: 0, 3: 1, 7: 1, 900: 255, 255: 255, 8: 255}
    np.testing.assert_array_equal(found.lookup(256), table[:256])


def test_from_json_is_the_inverse_of_to_json(tmp_path):
    _, found = _read(tmp_path, 'groups.csv', _CSV)
    assert remapping.Remapping.from_json(json.loads(json.dumps(found.to_json()))) == found


@pytest.mark.parametrize(
    ('name', 'text', 'message'),
    [
        ('g.csv', 'name,group\nnull,a\nskin,b\n', 'no group for 2 of 4 classes: face, blur'),
        ('g.csv', _CSV + 'nose,body\nears,body\n', '2 names that the label table does not have: ears, nose'),
        ('g.csv', _CSV + '"no\nse",body\n', r"1 name that the label table does not have: 'no\\nse'"),
        ('g.csv', _CSV + 'skin,other\n', "'skin' appears twice: in 'body' and in 'other'"),
        ('g.csv', 'class,group\n', r"header is \['class', 'group'\]"),
        ('g.csv', 'name,group\nnull,\n', "empty name or group: 'null', ''"),
        ('g.csv', _CSV.replace('face,body,', 'face,body,#ffffff'), "'body' has two colours"),
        (
            'g.csv',
            _CSV.replace('null,background,', 'null,background,#0a0b0c'),
            "groups 'background' and 'body' have one colour, #0a0b0c",
        ),
        ('g.csv', 'name,group\nnull,ignore\nskin,ignore\nface,ignore\nblur,ignore\n', '0 classes'),
        ('g.json', '{"a": ["null"], "a": ["skin"]}', "the key 'a' appears twice"),
        ('g.json', '{"a": "null"}', "group 'a' has no list of names"),
        ('g.json', '["null"]', 'wanted'),
        ('g.json', '{', 'Expecting'),
    ],
)
def test_errors_name_the_file_and_the_values(tmp_path, name, text, message):
    with pytest.raises(errors.UserError, match=message) as caught:
        _read(tmp_path, name, text)
    assert str(tmp_path / name) in str(caught.value)
    assert '\n' not in str(caught.value)


def test_groups_may_share_a_colour_where_none_is_read(tmp_path):
    """As classes of the label table may; a derived one may be that of another group too."""
    labels = tmp_path / 'labels.csv'
    labels.write_text('id,name,color\n0,null,#000000\n3,skin,#000000\n7,face,\n9,blur,\n')
    groups = tmp_path / 'groups.csv'
    groups.write_text('name,group,color\nnull,a,\nskin,b,#000000\nface,c,#000000\nblur,ignore,#000000\n')
    classes, found = remapping.read_classes(str(labels), 255, str(groups), reads_colors=False)
    assert (classes.names, classes.colors) == (('a', 'b', 'c'), ((0, 0, 0),) * 3)
    assert found.targets == (0, 1, 2, 255)
    labels.write_text('id,name\n0,null\n3,skin\n7,face\n9,blur\n')
    with pytest.raises(errors.UserError, match="groups 'b' and 'c' have one colour, #000000"):
        remapping.read_classes(str(labels), 255, str(groups))


def test_a_missing_file():
    with pytest.raises(errors.UserError, match='remapping /missing: cannot be read'):
        remapping.read('/missing', _SOURCE)


def test_the_nine_groups_cover_the_59_classes():
    path = pathlib.Path(clothing.LABELS_FILE).with_name('nine_groups.csv')
    source = label_map.read_source(str(clothing.LABELS_FILE))
    labels, found = remapping.read(str(path), source)
    assert labels.names == (
        'background', 'skin', 'hair', 'upper_body', 'lower_body', 'full_body', 'outerwear', 'footwear', 'accessories',
    )  # fmt: skip
    assert len(found.targets) == 59
    assert set(found.targets) == set(range(9))
    assert len(set(labels.colors)) == 9
    assert labels.names[found.targets[source.names.index('t-shirt')]] == 'upper_body'


# With an offset that is not below the number of classes no value is a class; `pair_features.label_map` refuses that.
@pytest.mark.parametrize(
    ('num_classes', 'offset'), [(n, k) for n in (1, 3, 254, 255) for k in (-255, -5, -1, 0, 1, 2) if k < n]
)
def test_an_offset_as_a_remapping(num_classes, offset):
    """Class = value + offset; ignored where that is negative, and where the value is the ignored id."""
    labels = label_map.LabelMap.default(tuple(f'class {i}' for i in range(num_classes)))
    found = remapping.of_offset(labels, offset)
    assert remapping.Remapping.from_json(json.loads(json.dumps(found.to_json()))) == found
    table = found.lookup(1024)
    for value in range(1024):
        is_class = value != 255 and 0 <= value + offset < num_classes
        assert table[value] == (value + offset if is_class else 255)
    known = {value for value in range(1024) if value != 255 and value + offset < num_classes}
    assert set(found.source.ids) == known
    assert not found.source.has_given_colors
