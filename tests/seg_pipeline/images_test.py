import io

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from PIL import Image

from seg_pipeline import images, masks, rejects
from seg_pipeline.label_map import LabelMap

_LABELS = LabelMap(('background', 'skin', 'hair'), ((0, 0, 0), (255, 0, 0), (0, 0, 255)))


def _noise(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def _smooth(height=20, width=30):
    """A photo that lossy compression hardly changes."""
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


# Photos.


@pytest.mark.parametrize(
    ('kind', 'options', 'tolerance'),
    [
        ('PNG', {}, 0),
        ('BMP', {}, 0),
        ('TIFF', {'compression': 'tiff_lzw'}, 0),
        ('WEBP', {'lossless': True}, 0),
        ('JPEG', {'quality': 100, 'subsampling': 0}, 6),
    ],
)
def test_rgb_photos(kind, options, tolerance):
    photo = _smooth()
    found = images.decode_image(_encode(photo, kind, **options), 'x')
    assert found.dtype == np.uint8
    assert np.abs(found.astype(int) - photo).max() <= tolerance


def test_grey_becomes_three_equal_channels():
    grey = _noise(9, 7)
    np.testing.assert_array_equal(images.decode_image(_encode(grey, 'PNG'), 'x'), np.dstack([grey] * 3))


def test_transparency_is_dropped():
    photo = _noise(9, 7, 4)
    np.testing.assert_array_equal(images.decode_image(_encode(photo, 'PNG'), 'x'), photo[..., :3])


@pytest.mark.parametrize('kind', ['.png', '.tiff'])
def test_sixteen_bits_are_cut_to_eight(kind):
    deep = np.arange(63, dtype=np.uint16).reshape(9, 7) * 1000
    data = cv2.imencode(kind, deep)[1].tobytes()
    np.testing.assert_array_equal(images.decode_image(data, 'x'), np.dstack([(deep >> 8).astype(np.uint8)] * 3))


def test_cmyk_jpeg():
    red = Image.new('RGB', (16, 16), (200, 30, 40)).convert('CMYK')
    file = io.BytesIO()
    red.save(file, 'JPEG', quality=95)
    found = images.decode_image(file.getvalue(), 'x')
    expected = np.asarray(Image.open(file).convert('RGB'))
    assert np.abs(found.astype(int) - expected).max() <= 3
    assert np.abs(found.astype(int) - (200, 30, 40)).max() <= 8


@pytest.mark.parametrize('kind', ['JPEG', 'TIFF', 'PNG'])
def test_a_photo_taken_sideways_is_turned_upright(kind):
    exif = Image.Exif()
    exif[0x0112] = 6  # Orientation: turn by 90 degrees clockwise to see it upright
    photo = _smooth(20, 30)
    found = images.decode_image(_encode(photo, kind, exif=exif), 'x')
    assert found.shape == (30, 20, 3)
    assert np.abs(found.astype(int) - np.rot90(photo, -1)).max() <= 12


# Damage.


def _cuts(data):
    """Every chunk or segment boundary, and a few bytes around it."""
    return sorted(
        {cut for position in range(0, len(data), max(1, len(data) // 60)) for cut in (position, len(data) - 1)}
    )


@pytest.mark.parametrize('kind', ['PNG', 'JPEG', 'WEBP', 'TIFF', 'BMP'])
def test_a_file_that_is_cut_off_anywhere_is_rejected(kind):
    data = _encode(_noise(33, 41, 3), kind)
    assert images.decode_image(data, 'x').shape == (33, 41, 3)
    for cut in _cuts(data):
        assert _reject(images.decode_image, data[:cut], 'x').reason in (
            rejects.DAMAGED,
            rejects.UNKNOWN_FORMAT,
            rejects.EMPTY_FILE,
        )


def test_every_flipped_byte_of_a_png_is_found():
    data = _encode(_noise(8, 8), 'PNG')
    for position in range(len(data)):
        altered = data[:position] + bytes([data[position] ^ 0x04]) + data[position + 1 :]
        assert _reject(images.decode_image, altered, 'x').reason in (rejects.DAMAGED, rejects.UNKNOWN_FORMAT)


def test_a_bomb_is_refused_by_its_header():
    file = io.BytesIO()
    Image.new('L', (30000, 30000)).save(file, 'PNG', compress_level=1)
    error = _reject(images.decode_image, file.getvalue(), 'bomb.png')
    assert error.reason == rejects.TOO_LARGE
    assert 'bomb.png: 30000x30000 is 900000000 pixels, more than --max_pixels=100000000' in str(error)


@pytest.mark.parametrize('data', [b'GIF89a' + bytes(20), b'hello, world', b'\x00' * 50, b'RIFF1234AVI '])
def test_other_formats(data):
    error = _reject(images.decode_image, data, 'x.png')
    assert error.reason == rejects.UNKNOWN_FORMAT
    assert repr(data[:8]) in str(error)


def test_a_file_that_cannot_be_read(tmp_path):
    assert _reject(images.read_image, str(tmp_path / 'no.png')).reason == rejects.UNREADABLE
    assert _reject(images.read_image, str(tmp_path)).reason == rejects.UNREADABLE
    (tmp_path / 'empty.png').write_bytes(b'')
    assert _reject(images.read_image, str(tmp_path / 'empty.png')).reason == rejects.EMPTY_FILE


# Masks.


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
    # Written bit by bit: no library at hand writes such files.
    rows = [[0, 1, 2, 0], [2, 2, 1, 1]]
    packed = b''.join(b'\0' + int(''.join(f'{v:0{bits}b}' for v in row), 2).to_bytes(bits // 2, 'big') for row in rows)
    np.testing.assert_array_equal(_read(_png(4, 2, bits, 0, packed)), rows)


def _png(width, height, bits, color_type, scanlines):
    import struct
    import zlib

    def chunk(kind, content):
        body = kind + content
        return struct.pack('>I', len(content)) + body + struct.pack('>I', zlib.crc32(body))

    header = struct.pack('>IIBBBBB', width, height, bits, color_type, 0, 0, 0)
    magic = b'\x89PNG\r\n\x1a\n'
    return magic + chunk(b'IHDR', header) + chunk(b'IDAT', zlib.compress(scanlines)) + chunk(b'IEND', b'')


def test_a_palette_gives_its_indices_not_its_colours():
    picture = Image.fromarray(_IDS, 'P')
    picture.putpalette(np.random.default_rng(1).integers(0, 256, 768).tolist())
    file = io.BytesIO()
    picture.save(file, 'PNG')
    np.testing.assert_array_equal(_read(file.getvalue()), _IDS)


def test_colours_of_the_label_table():
    ids = np.array([[0, 1, 2], [2, 1, 0]], np.uint8)
    colors = np.array(_LABELS.colors, np.uint8)[ids]
    np.testing.assert_array_equal(_read(_encode(colors, 'PNG')), ids)
    colors[1, 2] = (1, 2, 3)
    error = _reject(_read, _encode(colors, 'PNG'))
    assert error.reason == rejects.UNKNOWN_COLOR
    assert 'colour #010203 at row 1, column 2' in str(error)


def test_ids_saved_as_equal_channels():
    np.testing.assert_array_equal(_read(_encode(np.dstack([_IDS] * 3), 'PNG')), _IDS)


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


# Encoding.


@settings(max_examples=30)
@given(st_numpy.arrays(np.uint8, st.tuples(st.integers(1, 20), st.integers(1, 20), st.just(3))))
def test_png_keeps_every_value(photo):
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(images.encode_png(photo)))), photo)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(images.encode_png(photo[..., 0])))), photo[..., 0])


def test_jpeg_is_jpeg_in_the_right_order_of_channels():
    found = Image.open(io.BytesIO(images.encode_image(_smooth(), 'jpeg')))
    assert found.format == 'JPEG'
    assert np.abs(np.asarray(found).astype(int) - _smooth()).max() < 12
