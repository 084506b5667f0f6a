import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from seg_pipeline.imaging import images, masks, rejects
from seg_pipeline.labels.label_map import LabelMap, SourceTable
from seg_pipeline.labels.remapping import Remapping

_LABELS = LabelMap(('background', 'skin', 'hair'), ((0, 0, 0), (255, 0, 0), (0, 0, 255)))


def _smooth(height=20, width=30):
    """An image that lossy compression hardly changes."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows * 8, columns * 6, (rows + columns) * 4], axis=-1).astype(np.uint8)


def _encode(array, kind, mode=None, **options):
    file = io.BytesIO()
    Image.fromarray(array, mode).save(file, kind, **options)
    return file.getvalue()


def _reject(function, *arguments):
    with pytest.raises(images.RejectError) as caught:
        function(*arguments)
    return caught.value


def _read(data, mask_format='auto', labels=_LABELS):
    return masks.decode(data, 'mask.png', masks.MaskReader(labels, mask_format))


_IDS = np.array([[0, 1, 2], [2, 255, 0]], np.uint8)


@pytest.mark.parametrize('kind', ['PNG', 'BMP', 'TIFF'])
def test_grey_ids(kind):
    np.testing.assert_array_equal(_read(_encode(_IDS, kind)), _IDS)


def test_sixteen_bit_ids():
    np.testing.assert_array_equal(_read(cv2.imencode('.png', _IDS.astype(np.uint16))[1].tobytes()), _IDS)


@pytest.mark.parametrize('bits', [2, 4])
def test_grey_of_few_bits(bits):
    # Written bit by bit: Pillow and OpenCV cannot write such files.
    rows = [[0, 1, 2, 0], [2, 2, 1, 1]]
    packed = b''.join(b'\0' + int(''.join(f'{v:0{bits}b}' for v in row), 2).to_bytes(bits // 2, 'big') for row in rows)
    np.testing.assert_array_equal(_read(_png(4, 2, bits, 0, packed)), rows)


def _png(width, height, bits, color_type, scanlines):
    def chunk(kind, content):
        body = kind + content
        return struct.pack('>I', len(content)) + body + struct.pack('>I', zlib.crc32(body))

    header = struct.pack('>IIBBBBB', width, height, bits, color_type, 0, 0, 0)
    magic = b'\x89PNG\r\n\x1a\n'
    return magic + chunk(b'IHDR', header) + chunk(b'IDAT', zlib.compress(scanlines)) + chunk(b'IEND', b'')


def _indexed(indices, colors):
    picture = Image.fromarray(indices, 'P')
    picture.putpalette(np.asarray(colors, np.uint8).ravel().tolist())
    file = io.BytesIO()
    picture.save(file, 'PNG')
    return file.getvalue()


_NO_COLORS = LabelMap.default(_LABELS.names)


def test_a_palette_mask_is_read_as_indices_where_the_table_has_no_colours():
    colors = np.random.default_rng(1).integers(0, 256, 768)
    np.testing.assert_array_equal(_read(_indexed(_IDS, colors), labels=_NO_COLORS), _IDS)
    np.testing.assert_array_equal(_read(_indexed(_IDS, colors), 'ids'), _IDS)
    assert _reject(_read, _indexed(_IDS, colors)).reason == rejects.PALETTE_MISMATCH


def test_colours_of_the_label_table():
    ids = np.array([[0, 1, 2], [2, 1, 0]], np.uint8)
    colors = np.array(_LABELS.colors, np.uint8)[ids]
    np.testing.assert_array_equal(_read(_encode(colors, 'PNG')), ids)
    colors[1, 2] = (1, 2, 3)
    error = _reject(_read, _encode(colors, 'PNG'))
    assert error.reason == rejects.UNKNOWN_COLOR
    assert 'colour #010203 at row 1, column 2' in str(error)


def test_colours_are_looked_up_in_bands_of_rows(monkeypatch):
    ids = np.random.default_rng(0).integers(0, 3, (23, 10)).astype(np.uint8)
    colors = np.array(_LABELS.colors, np.uint8)[ids]
    for band in (1, 40, 100, 230, 1000):
        monkeypatch.setattr(masks, '_BAND_PIXELS', band)
        np.testing.assert_array_equal(_read(_encode(colors, 'PNG')), ids)
    colors[17, 3] = colors[20, 1] = (1, 2, 3)
    monkeypatch.setattr(masks, '_BAND_PIXELS', 40)
    assert 'at row 17, column 3' in str(_reject(_read, _encode(colors, 'PNG')))


def test_ids_saved_as_equal_channels():
    data = _encode(np.dstack([_IDS] * 3), 'PNG')
    np.testing.assert_array_equal(_read(data, labels=_NO_COLORS), _IDS)
    np.testing.assert_array_equal(_read(data, 'ids'), _IDS)
    assert '--mask_format=ids' in str(_reject(_read, data))


def test_binary_masks():
    binary = np.array([[0, 255], [255, 0]], np.uint8)
    two = LabelMap.default(('background', 'person'))
    np.testing.assert_array_equal(_read(_encode(binary, 'PNG'), 'binary', two), binary // 255)
    one_bit = Image.fromarray(binary).convert('1')
    file = io.BytesIO()
    one_bit.save(file, 'PNG')
    np.testing.assert_array_equal(_read(file.getvalue(), 'binary', two), binary // 255)
    assert _reject(_read, _encode(binary, 'PNG'), 'auto', two).reason == rejects.AMBIGUOUS_BINARY
    np.testing.assert_array_equal(_read(_encode(binary, 'PNG'), 'ids', two), binary)


def test_matlab():
    from scipy import io as scipy_io

    file = io.BytesIO()
    scipy_io.savemat(file, {'groundtruth': _IDS})
    np.testing.assert_array_equal(_read(file.getvalue()), _IDS)
    for wrong in ({'other': _IDS}, {'groundtruth': _IDS + 0.5}, {'groundtruth': _IDS.astype(float) - 1}):
        file = io.BytesIO()
        scipy_io.savemat(file, wrong)
        assert _reject(_read, file.getvalue()).reason == rejects.UNSUPPORTED_MASK


def test_ids_of_no_table_are_those_of_eight_bits():
    ids = np.array([[0, 255]], np.uint16)
    np.testing.assert_array_equal(masks.decode(_encode(ids, 'PNG'), 'mask.png', None), ids)
    assert _reject(masks.decode, _encode(ids + 1, 'PNG'), 'mask.png', None).reason == rejects.UNSUPPORTED_MASK


@pytest.mark.parametrize(
    ('data', 'reason'),
    [
        (_encode(_smooth(), 'JPEG'), rejects.LOSSY_MASK),
        (_encode(_smooth(), 'WEBP'), rejects.LOSSY_MASK),
        (_encode(np.full((2, 2), 0.5, np.float32), 'TIFF'), rejects.UNSUPPORTED_MASK),
        (_encode(np.full((2, 2, 4), 7, np.uint8), 'PNG'), rejects.UNSUPPORTED_MASK),
        (_encode(_IDS, 'PNG')[:-10], rejects.DAMAGED),
    ],
)
def test_masks_that_are_refused(data, reason):
    error = _reject(_read, data)
    assert error.reason == reason
    assert str(error).startswith('mask.png: ')


def test_an_id_outside_the_table_is_named_with_its_place():
    ids = _IDS.copy()
    ids[1, 0] = 7
    error = _reject(_read, _encode(ids, 'PNG'))
    assert error.reason == rejects.UNKNOWN_ID
    assert 'id 7 at row 1, column 0; the label table has 0..2 and 255' in str(error)


@pytest.mark.parametrize(
    ('array', 'mask_format'), [(_IDS, 'color'), (np.array(_LABELS.colors, np.uint8)[None], 'ids'), (_IDS, 'binary')]
)
def test_masks_of_another_form_than_said(array, mask_format):
    assert _reject(_read, _encode(array, 'PNG'), mask_format).reason in (rejects.UNSUPPORTED_MASK, rejects.UNKNOWN_ID)


# Remapping.

_SOURCE = SourceTable((0, 3, 7, 900), ('null', 'skin', 'face', 'blur'), ((0, 0, 0), (9, 0, 0), (0, 9, 0), (0, 0, 9)))
_GROUPS = Remapping(_SOURCE, (0, 1, 1, 255))
_SOURCE_IDS = np.array([[0, 3, 7], [7, 900, 0]], np.uint16)
_GROUP_IDS = np.array([[0, 1, 1], [1, 255, 0]], np.uint8)


def _remapped(data, mask_format='auto', groups=_GROUPS):
    labels = LabelMap.default(('background', 'body'))
    return masks.decode(data, 'mask.png', masks.MaskReader(labels, mask_format, groups))


def test_ids_of_sixteen_bits_with_gaps_are_remapped():
    found = _remapped(images.encode_png(_SOURCE_IDS))
    np.testing.assert_array_equal(found, _GROUP_IDS)
    assert found.dtype == np.uint8


def test_ids_of_eight_bits_and_ignored_ones_are_remapped():
    ids = np.array([[0, 3, 7], [7, 255, 0]], np.uint8)
    np.testing.assert_array_equal(_remapped(_encode(ids, 'PNG')), _GROUP_IDS)


def test_ids_are_checked_before_they_are_remapped():
    """1 is an id of the data set, and of no class of the source."""
    ids = _SOURCE_IDS.copy()
    ids[1, 0] = 1
    error = _reject(_remapped, images.encode_png(ids))
    assert error.reason == rejects.UNKNOWN_ID
    assert 'id 1 at row 1, column 0; the label table has 0..900 (4 of them) and 255 (ignored)' in str(error)


def test_colours_are_those_of_the_source():
    colors = np.zeros((2, 3, 3), np.uint8)
    for number, color in zip(_SOURCE.ids, _SOURCE.colors, strict=True):
        colors[number == _SOURCE_IDS] = color
    np.testing.assert_array_equal(_remapped(_encode(colors, 'PNG')), _GROUP_IDS)


def test_a_binary_mask_can_be_remapped():
    swapped = Remapping(SourceTable((0, 1), ('person', 'rest'), ((0, 0, 0), (1, 1, 1))), (1, 0))
    binary = np.array([[0, 255]], np.uint8)
    np.testing.assert_array_equal(_remapped(_encode(binary, 'PNG'), 'binary', swapped), [[1, 0]])
