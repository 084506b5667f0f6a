import os
import re
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


def _doubt(images, masks, **regexes):
    found = pairing.match_pairs(images, masks, **regexes)
    assert len(found.pairs) == len(images)
    return found.doubt


def _numbered(form, numbers=range(1, 13)):
    return [form.format(n) for n in numbers]


_CONTRADICTIONS = [
    ('2019_cam_{:02d}.jpg', '2020_cam_{:02d}.png'),
    ('cam1_{:03d}.jpg', 'cam2_{:03d}.png'),
    ('day 3/{:03d}.jpg', 'day 4/{:03d}.png'),
    ('2019/05/img_{:02d}.jpg', '2019/06/seg_{:02d}.png'),
    # The same numbers in other places.
    ('s1_v2_{:02d}.jpg', 's2_v1_{:02d}.png'),
    ('2019/05/{:02d}.jpg', '05/2019/{:02d}.png'),
    ('s1/8bit_{:02d}.jpg', 's8/v1_{:02d}.png'),
]


_BEHIND_THE_KEY = [
    ('{:03d}_v1.jpg', '{:03d}_v2.png'),
    ('s1_{:02d}_v2.jpg', 's2_{:02d}_v1.png'),
    ('s1_{:02d}_v2.jpg', 's2_{:02d}_v1_8bit.png'),
    ('s_{:02d}_v1_8.jpg', 's_{:02d}_v8_1.png'),
    ('2019_{:02d}_v1.jpg', '1_{:02d}_v2019.png'),
]


@pytest.mark.parametrize(
    ('image', 'mask', 'numbers'),
    [
        *((*names, range(1, 13)) for names in [*_CONTRADICTIONS, *_BEHIND_THE_KEY]),
        *((*names, [7]) for names in _CONTRADICTIONS),  # a single pair, whose key is the last number
    ],
)
def test_names_with_other_numbers_are_doubted_until_expressions_are_given(image, mask, numbers):
    images, masks = _numbered(image, numbers), _numbered(mask, numbers)
    message = _doubt(images, masks)
    assert f'image {images[0]} and mask {masks[0]} would be a pair' in message
    cut = pairing.match_pairs(images, masks).trimming
    for text, number in zip((image, mask), cut.contradiction, strict=True):
        assert re.search(rf'(?<!\d)0*{number}(?!\d)', text)
    given = {'image_key_regex': cut.images.key_regex, 'mask_key_regex': cut.masks.key_regex}
    assert _doubt(images, masks, **given) is None
    assert pairing.match_pairs(images, masks, **given).pairs == pairing.match_pairs(images, masks).pairs


@pytest.mark.parametrize(
    ('image', 'mask', 'shown'),
    [
        ('img_{:04d}.jpg', 'seg_{:04d}.png', ('img_*', 'seg_*')),
        (
            'ulm_{:06d}_leftImg8bit.png',
            'ulm_{:06d}_gtFine_labelIds.png',
            ('ulm_*_leftImg8bit', 'ulm_*_gtFine_labelIds'),
        ),
        ('{:04d}.jpg', '{:04d}_mask.png', ('*', '*_mask')),
        ('train2017/{:04d}.jpg', 'stuff/{:04d}.png', ('train2017/*', 'stuff/*')),
        ('2019_{:04d}.jpg', '2019_seg_{:04d}.png', ('2019_*', '2019_seg_*')),
        ('image_2/{:06d}_10.png', 'semantic/{:06d}_10.png', ('image_2/*_10', 'semantic/*_10')),
        ('s1_{:04d}_v2.png', 's1_{:04d}_seg_v2.png', ('s1_*_v2', 's1_*_seg_v2')),
        ('8bit_{:04d}.png', '{:04d}_8bit.png', ('8bit_*', '*_8bit')),
    ],
)
def test_what_was_cut_off_is_told(image, mask, shown):
    found = pairing.match_pairs(_numbered(image), _numbered(mask))
    assert len(found.pairs) == 12
    assert (str(found.trimming.images), str(found.trimming.masks)) == shown
    assert found.doubt is None


def test_where_names_are_equal_nothing_was_cut_off():
    found = pairing.match_pairs(_numbered('2019_{:02d}.jpg'), _numbered('2019_{:02d}.png'))
    assert found.trimming is None
    assert found.doubt is None


@given(
    numbers=st.sets(st.integers(0, 999), min_size=2, max_size=9),
    parts=st.lists(st.text('ab1_2/ ', max_size=6), min_size=4, max_size=4),
)
def test_prefix_key_and_suffix_make_the_path(numbers, parts):
    images = [f'{parts[0]}x_{n:03d}_x{parts[1]}z.png' for n in numbers]
    masks = [f'{parts[2]}y_{n:03d}_y{parts[3]}z.png' for n in numbers]
    found = pairing.match_pairs(images, masks)
    cut = found.trimming
    for pair in found.pairs:
        assert f'{cut.images.prefix}{pair.key}{cut.images.suffix}.png' == pair.image
        assert f'{cut.masks.prefix}{pair.key}{cut.masks.suffix}.png' == pair.mask
    regexes = {'image_key_regex': cut.images.key_regex, 'mask_key_regex': cut.masks.key_regex}
    assert pairing.match_pairs(images, masks, **regexes).pairs == found.pairs


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
