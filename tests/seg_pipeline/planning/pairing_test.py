import os
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seg_pipeline import errors
from seg_pipeline.imaging import rejects
from seg_pipeline.planning import pairing


def _keys(images, masks, **regexes):
    result = pairing.match_pairs(images, masks, **regexes)
    assert not result.rejects
    return [(pair.key, pair.image, pair.mask) for pair in result.pairs]


def test_equal_stems():
    assert _keys(['a/x.jpg', 'b/x.png'], ['a/x.png', 'b/x.png']) == [
        ('a/x', 'a/x.jpg', 'a/x.png'),
        ('b/x', 'b/x.png', 'b/x.png'),
    ]


def test_common_prefix_is_cut_outside_of_numbers():
    images = [f'IMAGES/img_{n:04d}.png' for n in range(1, 10)]
    masks = [f'MASKS/seg_{n:04d}.png' for n in range(1, 10)]
    # img_000 is common to all nine, yet the key keeps its whole number.
    assert [key for key, _, _ in _keys(images, masks)] == [f'{n:04d}' for n in range(1, 10)]


def test_common_suffix_is_cut_outside_of_numbers():
    images = ['ulm/ulm_000119_leftImg8bit.png', 'ulm/ulm_000219_leftImg8bit.png']
    masks = ['ulm/ulm_000119_gtFine_labelIds.png', 'ulm/ulm_000219_gtFine_labelIds.png']
    assert [key for key, _, _ in _keys(images, masks)] == ['000119', '000219']


def test_a_single_pair():
    assert _keys(['img_0007.png'], ['seg_0007.png']) == [('0007', 'img_0007.png', 'seg_0007.png')]


def test_regular_expressions():
    found = _keys(
        ['7-day.png', '8-day.png'], ['m7x.png', 'm8x.png'], image_key_regex=r'^(\d)', mask_key_regex=r'm(\d)x'
    )
    assert [key for key, _, _ in found] == ['7', '8']


def test_one_accent_in_two_encodings():
    composed, decomposed = 'caf\u00e9', 'cafe\u0301'
    assert len(_keys([f'{composed}.png'], [f'{decomposed}.png'])) == 1


def test_order_of_the_lists_does_not_matter():
    images = [f'img_{n}.png' for n in range(20)]
    masks = [f'seg_{n}.png' for n in range(20)]
    assert pairing.match_pairs(images, masks) == pairing.match_pairs(images[::-1], masks[::-1])


def test_files_without_a_partner_are_named():
    found = pairing.match_pairs(['a.png', 'b.png', 'd.png'], ['a.png', 'c.png'])
    assert [(r.reason, r.key) for r in found.rejects] == [
        (rejects.NO_MASK, 'b'),
        (rejects.NO_IMAGE, 'c'),
        (rejects.NO_MASK, 'd'),
    ]
    assert 'b.png' in found.rejects[0].message


def test_two_files_of_one_key_are_both_named_and_not_paired():
    found = pairing.match_pairs(['a.jpg', 'a.png', 'b.png'], ['a.png', 'b.png'])
    assert [pair.key for pair in found.pairs] == ['b']
    (reject,) = found.rejects
    assert reject.reason == rejects.DUPLICATE_KEY
    assert 'a.jpg' in reject.message
    assert 'a.png' in reject.message


def test_a_file_in_which_the_expression_finds_nothing():
    found = pairing.match_pairs(['1.png', 'x.png'], ['1.png'], image_key_regex=r'(\d)')
    assert [(r.reason, r.image) for r in found.rejects] == [(rejects.NO_KEY, 'x.png')]


def test_a_wrong_expression_is_the_users_mistake():
    with pytest.raises(errors.UserError, match='image_key_regex'):
        pairing.match_pairs(['1.png'], ['1.png'], image_key_regex='(')


_WORD = st.text(string.ascii_letters, min_size=1, max_size=5)


@given(
    numbers=st.sets(st.integers(0, 99999), min_size=2, max_size=30),
    width=st.integers(1, 6),
    image_name=st.tuples(_WORD, _WORD),
    mask_name=st.tuples(_WORD, _WORD),
)
def test_any_prefix_and_suffix_around_a_number(numbers, width, image_name, mask_name):
    images = {n: f'{image_name[0]}_{n:0{width}d}_{image_name[1]}.png' for n in numbers}
    masks = {n: f'{mask_name[0]}_{n:0{width}d}_{mask_name[1]}.png' for n in numbers}
    found = pairing.match_pairs(list(images.values()), list(masks.values()))
    assert {(pair.image, pair.mask) for pair in found.pairs} == {(images[n], masks[n]) for n in numbers}


def test_listing(tmp_path):
    for name in ('b.png', 'sub/a.JPG', 'sub/c.txt', '.hidden/d.png', '.e.png'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b'x')
    os.symlink(tmp_path, tmp_path / 'sub' / 'loop')
    os.symlink('self.png', tmp_path / 'self.png')
    assert pairing.list_files(str(tmp_path)) == ['b.png', 'self.png', 'sub/a.JPG']


def test_listing_a_missing_folder(tmp_path):
    with pytest.raises(errors.UserError, match='nowhere'):
        pairing.list_files(str(tmp_path / 'nowhere'))
