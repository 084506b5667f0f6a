import hashlib
import json

import pytest

from seg_pipeline import errors
from seg_pipeline.planning import split_options
from seg_pipeline.planning.pairing import SourcePair
from seg_pipeline.planning.split_options import Contents, SplitOptions

_PAIRS = [SourcePair(f'{n}', f'{n}.png', f'{n}.png') for n in range(10)]


def test_the_manifest_names_lists_by_number_and_digest():
    """The names themselves are in the index: a list of a million would fill the manifest."""
    value = SplitOptions(lists={'train': ['1', '2'], 'test': []}, seed=3).to_json()
    assert value['split_files'] == {
        'train': {'num_names': 2, 'sha256': hashlib.sha256(b'1\n2\n').hexdigest()},
        'test': {'num_names': 0, 'sha256': hashlib.sha256(b'').hexdigest()},
    }
    assert 'splits' not in value
    assert json.loads(json.dumps(value)) == value
    other = SplitOptions(lists={'train': ['1', '3'], 'test': []}, seed=3).to_json()
    assert other['split_files'] != value['split_files']


def test_defaults():
    options = SplitOptions()
    assert options.to_json() == {
        'splits': {'train': '4/5', 'validation': '1/5'},
        'seed': 0,
        'group_regex': None,
        'near_duplicates': 'off',
        'max_distance': 8,
        'stratify': 'none',
        'num_shards': '',
    }
    assert options.names == ['train', 'validation']
    assert not options.needs_hashes
    assert not options.needs_classes


def test_only_listed_pairs_are_members():
    options = SplitOptions(lists={'train': ['3', '5.png'], 'test': ['7']})
    assert [pair.key for pair in options.members(_PAIRS)] == ['3', '5', '7']
    assert SplitOptions().members(_PAIRS) == _PAIRS


def test_what_is_known_of_the_contents_decides(tmp_path):
    hashes = {pair.key: 1 << 5 * int(pair.key) + 1 | 1 << 62 for pair in _PAIRS} | {'4': 0, '9': 1}
    near = SplitOptions(near_duplicates='group', max_distance=1)
    found = near.assign(str(tmp_path), _PAIRS, Contents(hashes=hashes), ())
    assert found.duplicates == (('4', '9'),)
    assert (found.by_key['9'].duplicate_of, found.by_key['9'].distance) == ('4', 1)
    rare = SplitOptions(stratify='rare')
    train = [key for key, split in rare.assign('', _PAIRS, Contents(), ('a', 'b')).split_of.items() if split == 'train']
    classes = dict.fromkeys(train[:2], (1,))
    split_of = rare.assign(str(tmp_path), _PAIRS, Contents(classes=classes), ('a', 'b')).split_of
    assert {split_of[key] for key in train[:2]} == {'train', 'validation'}


def test_lists_are_read_from_files(tmp_path):
    (tmp_path / 'a').write_text(' 1 \n\n2\n')
    (tmp_path / 'b').write_bytes(b'\xff')
    (tmp_path / 'marked').write_bytes(b'\xef\xbb\xbf1\r\n2\r\n')
    for name in ('a', 'marked'):
        assert split_options.read_lists(f'train:{tmp_path}/{name}') == {'train': ['1', '2']}
    for name in ('b', 'missing'):
        with pytest.raises(errors.UserError, match=f'--split_files: {tmp_path}/{name}: cannot be read'):
            split_options.read_lists(f'train:{tmp_path}/{name}')
