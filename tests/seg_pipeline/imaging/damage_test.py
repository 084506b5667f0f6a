"""Files that were cut off, as they are found: ended there, filled up with zeros, or closed by an end marker.

For every format and many lengths: the file is rejected, or gives the very pixels of the whole file.
"""

import io
import itertools
import re

import cv2
import numpy as np
import pytest
import simplejpeg
from PIL import Image

from seg_pipeline.imaging import images, rejects

_PHOTO = cv2.resize(np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8), (64, 48))
_FILES = {
    'JPEG': {'quality': 90},
    'JPEG progressive': {'quality': 90, 'progressive': True},
    'JPEG with restarts': {'quality': 90, 'restart_marker_blocks': 3},
    'JPEG grey': {'quality': 90},
    'JPEG CMYK': {'quality': 90},
    'JPEG progressive CMYK': {'quality': 90, 'progressive': True},
    'JPEG with restarts CMYK': {'quality': 90, 'restart_marker_blocks': 2},
    'PNG': {},
    'WEBP': {'quality': 75},
    'WEBP alpha': {'quality': 75},
    'WEBP lossless': {'lossless': True},
    'TIFF deflate': {'compression': 'tiff_adobe_deflate'},
    'TIFF LZW': {'compression': 'tiff_lzw'},
}
_MODES = {'grey': 'L', 'CMYK': 'CMYK', 'alpha': 'RGBA'}
_FILLS = {
    'ended': lambda data, length: data[:length],
    'zeros': lambda data, length: data[:length] + bytes(len(data) - length),
    'end marker': lambda data, length: data[:length] + data[-2:],
    'zeros and end marker': lambda data, length: data[:length] + bytes(max(0, len(data) - length - 2)) + data[-2:],
}
# What nothing in a file tells, as part of all lengths, see docs/reliability.md: zeros that decode to a picture, and as
# many of them as there are.
_UNKNOWABLE = {
    ('WEBP', 'zeros'): 0.03,
    ('WEBP alpha', 'zeros'): 0.03,
    ('WEBP lossless', 'zeros'): 0.03,
    ('JPEG', 'zeros and end marker'): 0.01,
    ('JPEG with restarts', 'zeros and end marker'): 0.01,
}


def _file(name):
    picture = Image.fromarray(_PHOTO)
    for word, mode in _MODES.items():
        if name.endswith(word):
            picture = picture.convert(mode)
    file = io.BytesIO()
    picture.save(file, name.split()[0], **_FILES[name])
    return file.getvalue()


def _is_wrong(data, expected):
    """Whether a file is accepted with other pixels."""
    try:
        return not np.array_equal(images.decode_image(data, 'image'), expected)
    except rejects.RejectError:
        return False


# Two real bytes behind zeros are an end marker in a JPEG, and in the other formats nothing that is found.
_CASES = [
    (name, fill) for name in _FILES for fill in _FILLS if name.startswith('JPEG') or not fill.startswith('zeros and')
]


@pytest.mark.parametrize(('name', 'fill'), _CASES)
def test_a_file_that_was_cut_off_is_rejected_or_has_the_right_pixels(name, fill):
    data = _file(name)
    expected = images.decode_image(data, 'image')
    lengths = np.random.default_rng(1).permutation(len(data) - 1)[:150] + 1
    wrong = sorted(int(length) for length in lengths if _is_wrong(_FILLS[fill](data, length), expected))
    assert len(wrong) <= _UNKNOWABLE.get((name, fill), 0) * len(lengths), wrong


def _tiny_cmyk(name):
    """A JPEG of 32x24 pixels and four components: as they are (Pillow), or as YCCK (libjpeg)."""
    picture = Image.fromarray(_PHOTO[:24, :32]).convert('CMYK')
    if name.startswith('4'):
        pixels = np.ascontiguousarray(np.asarray(picture))
        return simplejpeg.encode_jpeg(pixels, 90, colorspace='CMYK', colorsubsampling=name)
    file = io.BytesIO()
    picture.save(file, 'JPEG', **_FILES[f'JPEG{name} CMYK'])
    return file.getvalue()


@pytest.mark.parametrize('name', ['', ' progressive', ' with restarts', '444', '422', '420'])
def test_a_jpeg_of_four_components_is_rejected_at_every_length(name):
    data = _tiny_cmyk(name)
    expected = images.decode_image(data, 'image')
    np.testing.assert_array_equal(expected, np.asarray(Image.open(io.BytesIO(data)).convert('RGB')))
    for fill, fill_up in _FILLS.items():
        wrong = [length for length in range(1, len(data)) if _is_wrong(fill_up(data, length), expected)]
        assert not wrong, fill


@pytest.mark.parametrize('quality', [0, 10, 50, 75, 100])
def test_flat_pictures_as_webp_end_in_zeros_and_are_whole(quality):
    random = np.random.default_rng(quality)
    for height, width in ((1, 1), (16, 16), (17, 33), (200, 100)):
        for color in (0, 128, 255, random.integers(0, 256, 3)):
            picture = np.full((height, width, 3), color, np.uint8)
            picture[: height // 3] = random.integers(0, 256, 3)
            for method in (0, 4):
                file = io.BytesIO()
                lossless = quality == 50
                Image.fromarray(picture).save(file, 'WEBP', quality=quality, method=method, lossless=lossless)
                expected = np.asarray(Image.open(file).convert('RGB'))
                np.testing.assert_array_equal(images.decode_image(file.getvalue(), 'image'), expected)


def test_zeros_at_the_end_of_a_whole_webp_are_part_of_it():
    """No number of zeros tells that a file was cut off: a blank corner of a busy picture ends in many."""
    picture = np.random.default_rng(1).integers(0, 256, (256, 256, 3), np.uint8)
    picture[-16:, -128:] = 255
    file = io.BytesIO()
    Image.fromarray(picture).save(file, 'WEBP', quality=80)
    assert file.getvalue().endswith(bytes(8))
    assert images.decode_image(file.getvalue(), 'image').shape == picture.shape


@pytest.mark.parametrize('options', [{}, {'optimize': True}, {'progressive': True}, {'restart_marker_blocks': 2}])
@pytest.mark.parametrize('mode', ['RGB', 'L', 'CMYK'])
def test_flat_pictures_as_jpeg_end_in_zeros_and_are_whole(mode, options):
    ends = set()
    for number in range(100):
        random = np.random.default_rng(number)
        height, width = random.integers(1, 100, 2)
        picture = np.full((height, width, 3), random.choice([0, 128, 255, 77]), np.uint8)
        picture[: random.integers(0, height + 1)] = random.integers(0, 256, 3)
        file = io.BytesIO()
        Image.fromarray(picture).convert(mode).save(file, 'JPEG', **options)
        ends.add(file.getvalue()[-4:])
        assert images.decode_image(file.getvalue(), 'image').shape == picture.shape
    if mode == 'L' and 'optimize' in options:  # one block, whose data are one byte behind a header that ends in zero
        assert b'\0\0\xff\xd9' in ends


def _scans(data):
    """The offsets of the headers of all scans."""
    found = [match.start() for match in re.finditer(b'\xff\xda', data)]
    assert found
    return found


@pytest.mark.parametrize('options', [{}, {'progressive': True}, {'restart_marker_blocks': 3}])
@pytest.mark.parametrize('mode', ['RGB', 'L', 'CMYK'])
def test_a_changed_byte_in_the_header_of_a_scan(mode, options):
    file = io.BytesIO()
    Image.fromarray(_PHOTO).convert(mode).save(file, 'JPEG', **options)
    data = file.getvalue()
    expected = images.decode_image(data, 'image')
    for scan in _scans(data):
        for place in range(scan + 2, scan + 2 + int.from_bytes(data[scan + 2 : scan + 4], 'big')):
            for value in {0, 1, 2, 16, 17, 63, 255, data[place] ^ 1, data[place] ^ 16} - {data[place]}:
                changed = data[:place] + bytes([value]) + data[place + 1 :]
                assert not _is_wrong(changed, expected), (place - scan, value)


@pytest.mark.parametrize('options', [{}, {'progressive': True}])
def test_a_scan_that_contradicts_its_own_length_is_damaged(options):
    """Some of these lead beyond the end of the file."""
    file = io.BytesIO()
    Image.fromarray(_PHOTO[:16, :16]).save(file, 'JPEG', **options)
    data = file.getvalue()
    scan = _scans(data)[-1]
    for place in (scan + 2, scan + 3, scan + 4):
        for value in set(range(256)) - {data[place]}:
            changed = data[:place] + bytes([value]) + data[place + 1 :]
            with pytest.raises(rejects.RejectError) as raised:
                images.decode_image(changed, 'image')
            assert raised.value.reason == rejects.DAMAGED, (place - scan, value)


@pytest.mark.parametrize('options', [{}, {'optimize': True}, {'restart_marker_blocks': 2}])
@pytest.mark.parametrize('mode', ['L', 'CMYK'])
def test_a_scan_names_no_table_that_the_file_does_not_have(mode, options):
    """Of the four that each component could name, the file has one for DC and one for AC."""
    file = io.BytesIO()
    Image.fromarray(_PHOTO[:24, :32]).convert(mode).save(file, 'JPEG', **options)
    data = file.getvalue()
    (scan,) = _scans(data)
    for place in range(scan + 6, scan + 5 + 2 * len(mode), 2):
        for value in range(1, 256):
            changed = data[:place] + bytes([value]) + data[place + 1 :]
            with pytest.raises(rejects.RejectError):
                images.decode_image(changed, 'image')


def test_a_jpeg_without_any_table_has_those_of_the_standard():
    """As the pictures of a webcam, and as libjpeg reads them."""
    file = io.BytesIO()
    Image.fromarray(_PHOTO).save(file, 'JPEG')
    data = file.getvalue()
    bare = data
    while (start := bare.find(b'\xff\xc4')) >= 0:
        bare = bare[:start] + bare[start + 2 + int.from_bytes(bare[start + 2 : start + 4], 'big') :]
    assert len(data) - len(bare) > 400
    np.testing.assert_array_equal(images.decode_image(bare, 'image'), images.decode_image(data, 'image'))


def test_a_sequential_jpeg_whose_scan_says_otherwise_is_read():
    """Many phones write zeros there; libjpeg warns, and its pixels are right."""
    file = io.BytesIO()
    Image.fromarray(_PHOTO).save(file, 'JPEG')
    data = file.getvalue()
    (scan,) = _scans(data)
    changed = data[: scan + 11] + bytes(3) + data[scan + 14 :]
    assert changed != data
    np.testing.assert_array_equal(images.decode_image(changed, 'image'), images.decode_image(data, 'image'))


def test_a_progressive_jpeg_that_ends_behind_one_of_its_scans_is_named():
    file = io.BytesIO()
    Image.fromarray(_PHOTO).save(file, 'JPEG', progressive=True)
    data = file.getvalue()
    scans = _scans(data)
    for number, (before, scan) in enumerate(itertools.pairwise(scans), 1):
        tables = data.find(b'\xff\xc4', before, scan)  # between two scans are the tables of the second, if it has any
        end = scan if tables < 0 else tables
        with pytest.raises(rejects.RejectError, match=rf'^image: truncated: {number} scans? without \d+ of 192 coef'):
            images.decode_image(data[:end] + b'\xff\xd9', 'image')


@pytest.mark.parametrize('orientation', range(10))
@pytest.mark.parametrize('mode', ['RGB', 'L'])
def test_jpeg_has_the_pixels_and_the_orientation_of_opencv(mode, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    for subsampling in (0, 1, 2):
        file = io.BytesIO()
        Image.fromarray(_PHOTO).convert(mode).save(file, 'JPEG', exif=exif, subsampling=subsampling)
        expected = cv2.imdecode(np.frombuffer(file.getvalue(), np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
        read = images.decode_image(file.getvalue(), 'image')
        np.testing.assert_array_equal(read, expected)
        assert read.flags.c_contiguous


def test_an_orientation_in_xmp_data_alone_is_not_applied_to_a_jpeg():
    file = io.BytesIO()
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf tiff:Orientation="6"/></x:xmpmeta>'
    Image.fromarray(_PHOTO).save(file, 'JPEG', xmp=xmp)
    assert images.decode_image(file.getvalue(), 'image').shape == _PHOTO.shape


@pytest.mark.parametrize('factors', [0x31, 0x13, 0x42])
def test_sampling_that_turbojpeg_does_not_know_is_left_to_opencv(factors):
    file = io.BytesIO()
    Image.fromarray(_PHOTO).save(file, 'JPEG', subsampling=0)
    data = bytearray(file.getvalue())
    data[data.find(b'\xff\xc0') + 11] = factors
    expected = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    np.testing.assert_array_equal(images.decode_image(bytes(data), 'image'), expected)
