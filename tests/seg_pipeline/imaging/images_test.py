import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from PIL import Image

from seg_pipeline.imaging import images, masks, rejects
from seg_pipeline.labels.label_map import LabelMap
from tests import mask_files

_LABELS = LabelMap(('background', 'skin', 'hair'), ((0, 0, 0), (255, 0, 0), (0, 0, 255)))


def _noise(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


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


# Images.


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
def test_rgb_images(kind, options, tolerance):
    image = _smooth()
    found = images.decode_image(_encode(image, kind, **options), 'x')
    assert found.dtype == np.uint8
    assert np.abs(found.astype(int) - image).max() <= tolerance


def test_grey_becomes_three_equal_channels():
    grey = _noise(9, 7)
    np.testing.assert_array_equal(images.decode_image(_encode(grey, 'PNG'), 'x'), np.dstack([grey] * 3))


def test_transparency_is_dropped():
    image = _noise(9, 7, 4)
    np.testing.assert_array_equal(images.decode_image(_encode(image, 'PNG'), 'x'), image[..., :3])


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


@pytest.mark.parametrize('kind', ['JPEG', 'TIFF', 'PNG', 'WEBP'])
def test_an_exif_orientation_is_applied(kind):
    exif = Image.Exif()
    exif[0x0112] = 6  # Orientation: turn by 90 degrees clockwise to see it upright
    image = _smooth(20, 30)
    found = images.decode_image(_encode(image, kind, exif=exif), 'x')
    assert found.shape == (30, 20, 3)
    assert np.abs(found.astype(int) - np.rot90(image, -1)).max() <= 12


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


def test_as_many_pixels_as_are_allowed():
    data = _encode(_noise(20, 30, 3), 'PNG')
    assert images.decode_image(data, 'x', max_pixels=600).shape == (20, 30, 3)
    assert _reject(images.decode_image, data, 'x', 599).reason == rejects.TOO_LARGE


def test_fill_bytes_in_front_of_a_marker_are_part_of_jpeg():
    data = _encode(_smooth(), 'JPEG')
    quantization = data.index(b'\xff\xdb')
    filled = data[:quantization] + b'\xff' * 3 + data[quantization:]
    np.testing.assert_array_equal(images.decode_image(filled, 'x'), images.decode_image(data, 'x'))


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


# Encoding.


@settings(max_examples=30, deadline=None)
@given(st_numpy.arrays(np.uint8, st.tuples(st.integers(1, 20), st.integers(1, 20), st.just(3))))
def test_png_keeps_every_value(image):
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(images.encode_png(image)))), image)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(images.encode_png(image[..., 0])))), image[..., 0])


def test_jpeg_is_jpeg_in_the_right_order_of_channels():
    found = Image.open(io.BytesIO(images.encode_image(_smooth(), 'jpeg')))
    assert found.format == 'JPEG'
    assert np.abs(np.asarray(found).astype(int) - _smooth()).max() < 12


@pytest.mark.parametrize('name', [b'zTXt', b'iTXt', b'tEXt', b'iCCP'])
@pytest.mark.parametrize('place', ['before', 'behind'])
def test_long_texts_and_profiles_of_a_png_are_read_over(name, place):
    text = bytes(9_000_000)
    content = {
        b'zTXt': b'k\0\0' + zlib.compress(text),
        b'iTXt': b'k\0\1\0\0\0' + zlib.compress(text),
        b'tEXt': b'k\0' + bytes([65]) * len(text),
        b'iCCP': b'k\0\0' + zlib.compress(text),
    }[name]
    plain = cv2.imencode('.png', _smooth())[1].tobytes()
    body = name + content
    chunk = struct.pack('>I', len(content)) + body + struct.pack('>I', zlib.crc32(body))
    at = 33 if place == 'before' else len(plain) - 12
    data = plain[:at] + chunk + plain[at:]
    np.testing.assert_array_equal(images.decode_image(data, 'a.png'), images.decode_image(plain, 'a.png'))
    mask = np.array([[0, 1, 2]], np.uint8)
    plain = cv2.imencode('.png', mask)[1].tobytes()
    at = 33 if place == 'before' else len(plain) - 12
    np.testing.assert_array_equal(masks.decode(plain[:at] + chunk + plain[at:], 'a.png'), mask)


@pytest.mark.parametrize('bits', [8, 16])
def test_a_tiff_in_which_0_is_white_is_inverted(bits):
    values = np.arange(35, dtype=np.uint16).reshape(5, 7) * (7 if bits == 8 else 1799)
    data = mask_files.tiff(values, bits, 0)
    expected = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert expected[0, 0].tolist() == [255, 255, 255]
    np.testing.assert_array_equal(images.decode_image(data, 'x'), expected)


def test_a_tiff_palette_of_8_bits_is_no_palette_of_16():
    """The tag has 16 bits, of which 65535 is white. Some programs write 0..255; in Pillow all of that is black."""
    indices = _noise(20, 30) % 4
    palette = [(0, 0, 0), (255, 0, 51), (9, 99, 199), (255, 255, 255)]
    data = mask_files.tiff(indices, 8, 3, palette=palette)
    wide = [0] * 768
    for index, color in enumerate(palette):
        wide[index], wide[256 + index], wide[512 + index] = color
    body = struct.pack('<768H', *wide)
    position = data.index(struct.pack('<HHI', 320, 3, 768)) + 8
    (start,) = struct.unpack('<I', data[position : position + 4])
    narrow = data[:start] + body + data[start + len(body) :]
    for file in (data, narrow):
        np.testing.assert_array_equal(images.decode_image(file, 'x'), np.array(palette, np.uint8)[indices])
        by_opencv = cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_COLOR)
        np.testing.assert_array_equal(images.decode_image(file, 'x'), by_opencv[..., ::-1])
