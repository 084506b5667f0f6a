"""Files that were cut off, as they are found: ended there, filled up with zeros, or closed by an end marker.

For every format and many lengths: the file is rejected, or gives the very pixels of the whole file.
"""

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from seg_pipeline.imaging import images, rejects

_PHOTO = cv2.resize(np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8), (64, 48))
_FILES = {
    'JPEG': {'quality': 90},
    'JPEG progressive': {'quality': 90, 'progressive': True},
    'JPEG with restarts': {'quality': 90, 'restart_marker_blocks': 3},
    'JPEG grey': {'quality': 90},
    'JPEG CMYK': {'quality': 90},
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
}
# What nothing in a file tells, as a part of all lengths, see docs/reliability.md. The last bytes of a WebP may decide a
# part of the last blocks alone. A progressive JPEG that ends behind any of its scans is a whole one of less detail.
_UNKNOWABLE = {
    ('WEBP', 'zeros'): 0.03,
    ('WEBP alpha', 'zeros'): 0.03,
    ('WEBP lossless', 'zeros'): 0.03,
    ('JPEG progressive', 'end marker'): 0.06,
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


@pytest.mark.parametrize('fill', _FILLS)
@pytest.mark.parametrize('name', _FILES)
def test_a_file_that_was_cut_off_is_rejected_or_has_the_right_pixels(name, fill):
    data = _file(name)
    expected = images.decode_image(data, 'image')
    lengths = np.random.default_rng(1).permutation(len(data) - 1)[:150] + 1
    wrong = sorted(int(length) for length in lengths if _is_wrong(_FILLS[fill](data, length), expected))
    assert len(wrong) <= _UNKNOWABLE.get((name, fill), 0) * len(lengths), wrong


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
