"""Every format, depth and type of pixels of a mask: read as what it stores or shows, or refused by name."""

import io
import pathlib

import numpy as np
import pytest
from absl import flags
from absl.testing import flagsaver
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from beam_jobs import prepare_dataset
from seg_pipeline import records
from seg_pipeline.imaging import masks, rejects
from seg_pipeline.labels.label_map import LabelMap
from tests import mask_conformance, mask_files

_CASES = mask_conformance.cases()
_UNSUPPORTED, _LOSSY = f'`{rejects.UNSUPPORTED_MASK}`', f'`{rejects.LOSSY_MASK}`'
_UNKNOWN, _MISMATCH = f'`{rejects.UNKNOWN_COLOR}`', f'`{rejects.PALETTE_MISMATCH}`'
# How a type of pixels is read, by how its name begins: auto without colours, auto with colours, ids, color.
_RULES = {
    'grey, min-is-white': (_UNSUPPORTED,) * 4,
    'grey and alpha, 16 bit': (_UNSUPPORTED,) * 4,
    'grey, 12 bit': (_UNSUPPORTED,) * 4,
    'grey of two channels': (_UNSUPPORTED,) * 4,
    'grey, big-endian, 32 bit': (_UNSUPPORTED,) * 4,
    'grey': ('values', 'values', 'values', _UNSUPPORTED),
    'black and white': ('values', 'values', 'values', _UNKNOWN),
    'palette of the table': ('values', 'values', 'values', 'values'),
    'palette in another order': ('values', 'colours', 'values', 'colours'),
    'palette of other colours': ('values', _MISMATCH, 'values', _UNKNOWN),
    'RGB in the colours of the table': (_UNKNOWN, 'colours', _UNSUPPORTED, 'colours'),
    'RGB and opaque alpha': (_UNKNOWN, 'colours', _UNSUPPORTED, 'colours'),
    'RGB and an unused byte': (_UNKNOWN, 'colours', _UNSUPPORTED, 'colours'),
    'RGB of equal channels, the ids': ('values', _UNKNOWN, 'values', _UNKNOWN),
    'RGB in other colours': (_UNKNOWN, _UNKNOWN, _UNSUPPORTED, _UNKNOWN),
}


_MAT_VALUES = ('int', 'uint', 'single', 'double', 'logical')


def _rule(case):
    if case.pixels == 'any':
        unknown = case.kind in ('GIF', 'BigTIFF')
        return (f'`{rejects.UNKNOWN_FORMAT}`' if unknown else _LOSSY,) * 4
    if case.kind == 'MATLAB':
        is_read = case.pixels.startswith(_MAT_VALUES) and ',' not in case.pixels
        return ('values',) * 3 + (_UNSUPPORTED,) if is_read else (_UNSUPPORTED,) * 4
    if case.pixels.endswith('negative'):
        return (f'`{rejects.UNKNOWN_ID}`',) * 3 + (_UNSUPPORTED,)
    if case.kind == 'BMP' and case.pixels.startswith('grey'):
        return (
            'values',
            'values',
            'values',
            _UNKNOWN,
        )  # its palette of greys is one of colours, to --mask_format=color
    if 'inside' in case.pixels or case.pixels == 'compressed by JPEG':
        return (_UNSUPPORTED if 'JBIG' in case.pixels else _LOSSY,) * 4
    found = next((rule for start, rule in _RULES.items() if case.pixels.startswith(start)), None)
    return found or (_UNSUPPORTED,) * 4


def _name(case):
    return case.name


@pytest.mark.parametrize('case', _CASES, ids=_name)
def test_each_kind_of_file_is_read_as_it_should_be(case):
    columns = (('auto', False), ('auto', True), ('ids', True), ('color', True))
    assert tuple(mask_conformance.how(case, *column) for column in columns) == _rule(case)


@pytest.mark.parametrize('case', [case for case in _CASES if case.shown is not None], ids=_name)
def test_a_second_reader_sees_the_picture_that_was_meant(case):
    pictures = [mask_conformance.seen(case, data) for data in case.files.values()]
    known = [picture for picture in pictures if picture is not None]
    assert known
    for picture in known:
        np.testing.assert_array_equal(picture, case.shown)


def test_the_second_reader_knows_tiles_of_few_bits():
    cases = [case for case in _CASES if case.kind == 'TIFF' and case.pixels.endswith((' 2 bit', ' 4 bit'))]
    names = [(case.pixels, name) for case in cases for name in case.files if name.endswith('plain tiles')]
    assert len(names) == 16
    for case in cases:
        for name, data in case.files.items():
            if name.endswith('plain tiles'):
                assert mask_conformance.seen(case, data) is not None


@pytest.mark.parametrize('kind', ['PNG', 'TIFF'])
def test_a_second_reader_finds_the_values_of_sixteen_bits(kind):
    (case,) = [case for case in _CASES if case.name == f'{kind}, grey, 16 bit']
    for data in case.files.values():
        np.testing.assert_array_equal(mask_conformance.seen(case, data), case.stored)


def test_every_depth_of_every_format_has_a_case():
    depths = {
        (case.kind, case.pixels.split(',')[0].split()[0], int(case.pixels.split()[-2]))
        for case in _CASES
        if case.pixels.endswith(' bit') and mask_conformance.how(case, 'ids', True) == 'values'
    }
    for kind, bits in (('PNG', (1, 2, 4, 8)), ('BMP', (1, 4, 8)), ('TIFF', (1, 2, 4, 8))):
        assert {(kind, pixels, depth) for pixels in ('grey', 'palette') for depth in bits} <= depths
    assert {('PNG', 'grey', 16), ('TIFF', 'grey', 16)} <= depths


def test_the_table_is_up_to_date():
    table = (pathlib.Path(__file__).parents[3] / 'docs' / 'mask_conformance.md').read_text(encoding='utf-8')
    assert table == mask_conformance.table(), 'python -m tests.mask_conformance writes it anew'
    assert 'WRONG' not in table


# What a table of colours says.

_PAPER = LabelMap(('paper', 'ink', 'stain'), ((255, 255, 255), (0, 0, 0), (255, 0, 0)))
_PAGE = np.array([[0, 1, 1, 0], [0, 0, 1, 0]])  # paper and ink


def _read(data, mask_format='auto', labels=_PAPER):
    return masks.decode(data, 'mask', masks.MaskReader(labels, mask_format))


def _reason(data, mask_format='auto', labels=_PAPER):
    with pytest.raises(rejects.RejectError) as caught:
        _read(data, mask_format, labels)
    assert len(str(caught.value).splitlines()) == 1
    return caught.value.reason


def _painted(ids, labels):
    return np.array(labels.colors, np.uint8)[ids]


def test_a_colour_file_is_read_by_colour_even_if_all_of_it_is_grey():
    painted = _painted(_PAGE, _PAPER)
    opaque = np.full((*_PAGE.shape, 1), 255)
    files = [
        mask_files.png(painted, 8, 2),
        mask_files.png(np.concatenate([painted, opaque], axis=2), 8, 6),
        mask_files.bmp(painted, 24),
        mask_files.tiff(painted, 8, 2),
        mask_files.tiff(np.concatenate([painted, opaque], axis=2), 8, 2, extra=(2,)),
    ]
    for data in files:
        np.testing.assert_array_equal(_read(data), _PAGE)
        np.testing.assert_array_equal(_read(data, 'color'), _PAGE)


@pytest.mark.parametrize(
    'data',
    [
        mask_files.png(1 - _PAGE, 1),
        mask_files.tiff(1 - _PAGE, 1),
        mask_files.bmp(1 - _PAGE, 1, ((0, 0, 0), (255, 255, 255))),
        mask_files.png(255 * (1 - _PAGE), 8),
        mask_files.tiff(255 * (1 - _PAGE), 8),
        mask_files.bmp(255 * (1 - _PAGE), 8, [(i, i, i) for i in range(256)]),
    ],
    ids=['png 1', 'tiff 1', 'bmp 1', 'png 8', 'tiff 8', 'bmp 8'],
)
def test_grey_that_could_be_ids_or_colours_is_refused(data):
    """White paper and black ink: as ids, paper would be ink, or ignored."""
    assert _reason(data) == rejects.AMBIGUOUS_GREY
    stored = _read(data, 'ids')
    assert set(np.unique(stored)) in ({0, 1}, {0, 255})
    if data.startswith(b'BM'):  # it has a palette, so that its colours can be asked for
        np.testing.assert_array_equal(_read(data, 'color'), _PAGE)


@pytest.mark.parametrize('bits', [1, 2, 4, 8, 16])
@pytest.mark.parametrize('write', [mask_files.png, mask_files.tiff])
def test_black_alone_is_background_only_if_no_other_class_is_black(write, bits):
    """All paper as ids, or all ink as grey: nothing in the file tells."""
    data = write(0 * _PAGE, bits)
    assert _reason(data) == rejects.AMBIGUOUS_GREY
    np.testing.assert_array_equal(_read(data, 'ids'), 0 * _PAGE)
    colors = ((0, 0, 0), (255, 255, 255), (255, 0, 0))
    reader = masks.MaskReader(LabelMap(_PAPER.names, colors))
    np.testing.assert_array_equal(masks.decode(data, 'mask', reader), 0 * _PAGE)


def test_the_hint_for_two_classes_in_black_and_white_names_binary():
    """`ids` would ignore all of the foreground."""
    reader = masks.MaskReader(LabelMap(('background', 'object'), ((0, 0, 0), (255, 255, 255))))
    with pytest.raises(
        rejects.RejectError, match=r'say --mask_format=binary \(255 is class 1\) or ids \(255 is ignored\)'
    ):
        masks.decode(mask_files.png(255 * _PAGE, 8), 'mask', reader)


def test_an_ignored_index_has_no_colour():
    """The palettes of VOC: classes in the table's order, and 255 for the border, in a colour of no class."""
    palette = [*_PAPER.colors, *[(7, 7, 7)] * 253]
    stored = np.array([[0, 1, 2, 255]])
    np.testing.assert_array_equal(_read(mask_files.png(stored, 8, 3, palette)), stored)
    swapped = [palette[1], palette[0], *palette[2:]]
    assert _reason(mask_files.png(stored, 8, 3, swapped)) == rejects.PALETTE_MISMATCH


def test_palettes_that_say_nothing_are_refused():
    stored = np.array([[0, 1, 2]])
    black = [(0, 0, 0)] * 3
    assert _reason(mask_files.png(stored, 8, 3, black)) == rejects.PALETTE_MISMATCH
    assert _reason(mask_files.png(stored, 8, 3, _PAPER.colors[:2])) == rejects.PALETTE_MISMATCH
    assert _reason(mask_files.png(stored, 8, 3)) == rejects.PALETTE_MISMATCH
    turned = [_PAPER.colors[i] for i in (1, 2, 0)]
    assert _reason(mask_files.png(stored, 8, 3, turned, alpha=(255, 0))) == rejects.UNSUPPORTED_MASK
    np.testing.assert_array_equal(_read(mask_files.png(stored, 8, 3, turned)), [[1, 2, 0]])


def test_the_derived_colours_in_another_order():
    plain = LabelMap.default(('a', 'b', 'c'))
    stored = np.array([[0, 1, 2]])
    data = mask_files.png(stored, 8, 3, [plain.colors[i] for i in (1, 2, 0)])
    assert _reason(data, labels=plain) == rejects.PALETTE_MISMATCH
    np.testing.assert_array_equal(_read(data, 'color', plain), [[1, 2, 0]])
    np.testing.assert_array_equal(_read(data, 'ids', plain), stored)


@given(st.permutations(range(6)), st.sampled_from([4, 8]), st.integers(0, 2**32 - 1))
def test_a_palette_and_rgb_of_one_picture_give_one_mask(order, bits, seed):
    labels = mask_conformance.labels(6)
    ids = np.random.default_rng(seed).integers(0, 6, (5, 7))
    palette = [labels.colors[i] for i in order]
    stored = np.argsort(order)[ids]
    as_rgb = _read(mask_files.png(_painted(ids, labels), 8, 2), labels=labels)
    files = [
        mask_files.png(stored, bits, 3, palette),
        mask_files.bmp(stored, bits, palette),
        mask_files.tiff(stored, bits, 3, palette=palette),
    ]
    for data in files:
        np.testing.assert_array_equal(_read(data, labels=labels), ids)
    np.testing.assert_array_equal(as_rgb, ids)


# Binary masks.

_BLACK_WHITE, _WHITE_BLACK = ((0, 0, 0), (255, 255, 255)), ((255, 255, 255), (0, 0, 0))
_TWO = LabelMap.default(('background', 'person'))


@pytest.mark.parametrize(
    'data',
    [
        mask_files.png(_PAGE, 1),
        mask_files.tiff(_PAGE, 1),
        mask_files.bmp(_PAGE, 1, _BLACK_WHITE),
        mask_files.png(_PAGE, 1, 3, _BLACK_WHITE),
        mask_files.png(_PAGE, 1, 3, ((0, 0, 0), (255, 0, 0))),
        mask_files.png(_PAGE, 8, 3, _BLACK_WHITE),
        mask_files.bmp(_PAGE, 8, _BLACK_WHITE),
        mask_files.png(255 * _PAGE, 8),
        mask_files.tiff(255 * _PAGE, 8),
        mask_files.bmp(255 * _PAGE, 8, [(i, i, i) for i in range(256)]),
        mask_files.png(np.dstack([255 * _PAGE] * 3), 8, 2),
    ],
)
def test_binary_masks(data):
    np.testing.assert_array_equal(_read(data, 'binary', _TWO), _PAGE)


def test_masks_that_are_not_binary():
    assert _reason(mask_files.png(_PAGE, 1, 3, _WHITE_BLACK), 'binary', _TWO) == rejects.PALETTE_MISMATCH
    assert _reason(mask_files.png(_PAGE, 2), 'binary', _TWO) == rejects.UNKNOWN_ID
    assert _reason(mask_files.png(_PAGE, 8), 'binary', _TWO) == rejects.UNKNOWN_ID
    np.testing.assert_array_equal(_read(mask_files.png(_PAGE, 8, 3, _WHITE_BLACK), 'binary', _TWO), 1 - _PAGE)


@pytest.mark.parametrize('labels', [_TWO, LabelMap.default(('background', 'person', 'car'))])
def test_the_foreground_of_one_bit_is_class_1(labels):
    for data in (mask_files.png(_PAGE, 1), mask_files.tiff(_PAGE, 1), mask_files.bmp(_PAGE, 1, _BLACK_WHITE)):
        np.testing.assert_array_equal(_read(data, 'auto', labels), _PAGE)
        np.testing.assert_array_equal(masks.decode(data, 'mask'), _PAGE)


# Files of a real library, and the whole way into a data set.


@pytest.mark.parametrize('color', ['L', 'RGB', 'YCbCr'])
def test_a_tiff_with_jpeg_inside(color):
    file = io.BytesIO()
    Image.new(color, (16, 16)).save(file, 'TIFF', compression='jpeg')
    assert _reason(file.getvalue()) == rejects.LOSSY_MASK


@pytest.mark.parametrize(
    'data',
    [
        mask_files.bmp(_PAGE, 8, [(i, i, i) for i in range(256)]),
        mask_files.bmp(_PAGE, 1, _BLACK_WHITE),
        mask_files.tiff(_PAGE, 4),
        mask_files.tiff(_PAGE, 8, compression=mask_files.LZW, has_predictor=True),
        mask_files.tiff(_PAGE, 4, 3, palette=_PAPER.colors),
    ],
    ids=['bmp 8', 'bmp 1', 'tiff 4', 'tiff with predictor', 'tiff with palette'],
)
@pytest.mark.filterwarnings('ignore::UserWarning')
def test_truncated_files_are_refused(data):
    """A TIFF has its tags at the end, where a cut could take the predictor or the palette."""
    # The last four bytes of these TIFF are the address of the next image, which is none.
    for cut in range(20, len(data) - 4):
        assert _reason(data[:cut], 'ids') in (rejects.DAMAGED, rejects.UNSUPPORTED_MASK)


@pytest.mark.filterwarnings('ignore::UserWarning')
def test_a_tag_whose_values_are_outside_of_the_file_or_that_is_there_twice():
    data = mask_files.tiff(_PAGE, 4, 3, palette=_PAPER.colors)
    entry = data.index(bytes([0x40, 1, 3, 0]))  # tag 320, the palette, of 16-bit numbers
    outside = data[: entry + 8] + (len(data) + 2).to_bytes(4, 'little') + data[entry + 12 :]
    assert _reason(outside) == rejects.DAMAGED
    twice = mask_files.tiff(_PAGE, 8, compression=mask_files.LZW, has_predictor=True)
    assert twice.count(bytes([0x3D, 1, 3, 0])) == twice.count(bytes([0x15, 1, 3, 0])) == 1
    twice = twice.replace(bytes([0x15, 1, 3, 0]), bytes([0x3D, 1, 3, 0]))  # the number of channels, 1 by default
    assert _reason(twice) == rejects.DAMAGED


@pytest.mark.parametrize('suffix', ['png', 'bmp', 'tif', 'palette.png'])
def test_black_ink_on_white_paper_in_a_data_set(tmp_path, suffix):
    ids = np.tile(_PAGE, (4, 2))
    painted = _painted(ids, _PAPER)
    data = {
        'png': mask_files.png(painted, 8, 2),
        'bmp': mask_files.bmp(painted, 24),
        'tif': mask_files.tiff(painted, 8, 2),
        'palette.png': mask_files.png(1 - ids, 1, 3, _BLACK_WHITE),
    }[suffix]
    (tmp_path / 'images').mkdir()
    (tmp_path / 'masks').mkdir()
    Image.fromarray(painted).save(tmp_path / 'images' / 'page.png')
    (tmp_path / 'masks' / f'page.{suffix.split(".")[-1]}').write_bytes(data)
    (tmp_path / 'labels.csv').write_text('id,name,color\n0,paper,#ffffff\n1,ink,#000000\n2,stain,#ff0000\n')
    arguments = [
        f'--images={tmp_path}/images',
        f'--masks={tmp_path}/masks',
        f'--labels={tmp_path}/labels.csv',
        f'--output_dir={tmp_path}/out',
        '--image_size=8,8',
        '--splits=train:1',
    ]
    with flagsaver.flagsaver():
        prepare_dataset.main(flags.FLAGS(['prepare_dataset', *arguments, '--direct_num_workers=1'], known_only=True))
    (shard,) = (tmp_path / 'out').rglob('*.tfrecord-*')
    (record,) = records.read(str(shard))
    np.testing.assert_array_equal(record.mask, ids)
