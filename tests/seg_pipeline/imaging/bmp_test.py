"""BMP images: every palette as OpenCV has it, and headers that contradict themselves or the file."""

import struct

import cv2
import numpy as np
import pytest

from seg_pipeline.imaging import images, masks, rejects
from seg_pipeline.imaging.rejects import RejectError
from tests import bad_inputs, mask_files

_SIZE = (5, 7)
_BLACK_WHITE = ((0, 0, 0), (255, 255, 255))


def _by_opencv(data):
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


@pytest.mark.parametrize('header', [40, 108, 124])
@pytest.mark.parametrize('bits', [1, 4, 8])
@pytest.mark.parametrize('is_top_down', [False, True])
def test_a_palette_of_any_number_of_colours_is_applied(header, bits, is_top_down):
    random = np.random.default_rng(bits)
    ramp = [(value, value, value) for value in range(2**bits)]
    colors = [tuple(color) for color in random.integers(0, 256, (2**bits, 3)).tolist()]
    for palette in (colors, ramp, _BLACK_WHITE, _BLACK_WHITE[::-1], colors[:2]):
        indices = random.integers(0, len(palette), _SIZE, np.uint8)
        data = mask_files.bmp(indices, bits, palette, header=header, is_top_down=is_top_down)
        found = images.decode_image(data, 'image')
        np.testing.assert_array_equal(found, np.array(palette, np.uint8)[indices])
        np.testing.assert_array_equal(found, _by_opencv(data))


def test_the_oldest_header_is_read():
    indices = np.random.default_rng(0).integers(0, 2, _SIZE, np.uint8)
    for bits in (1, 8):
        colors = [(i, 255 - i, 7) for i in range(2**bits)]
        data = mask_files.bmp(indices, bits, colors, header=12)
        np.testing.assert_array_equal(images.decode_image(data, 'image'), np.array(colors, np.uint8)[indices])


def _changed(data, form, position, value):
    changed = bytearray(data)
    struct.pack_into(f'<{form}', changed, position, value)
    return bytes(changed)


_PALETTE = mask_files.bmp(np.ones((24, 30), np.uint8), 8, [(i, i, 9) for i in range(256)])
_COLORS = bad_inputs.saved(bad_inputs.gradient(), 'BMP')
_CONTRADICTIONS = {
    'pixels at the start': (_changed(_PALETTE, 'I', 10, 0), 'begin at byte 0, its header and palette end at 1078'),
    'pixels in the palette': (_changed(_PALETTE, 'I', 10, 54), 'begin at byte 54, its header and palette end at 1078'),
    'pixels in the header': (_changed(_COLORS, 'I', 10, 40), 'begin at byte 40, its header and palette end at 54'),
    'pixels behind the end': (_changed(_COLORS, 'I', 10, 90), 'its pixels need 2298'),
    'more colours than indices': (_changed(_PALETTE, 'I', 46, 257), '257 colours for 8 bits'),
    'an index without a colour': (_changed(_PALETTE, 'I', 46, 1), 'index 1 in a palette of 1 colour'),
    'two planes': (_changed(_COLORS, 'H', 26, 2), '2 planes'),
    'fewer bits': (_changed(_COLORS, 'H', 28, 16), '2208 bytes for the 1440 of 30x24 pixels of 16 bits'),
    'more bits': (_changed(_COLORS, 'H', 28, 32), 'its pixels need 2934'),
    'RLE of colours': (_changed(_COLORS, 'I', 30, 1), '24 bits a pixel with compression 1'),
    'a narrower picture': (_changed(_COLORS, 'I', 18, 20), '2208 bytes for the 1440 of 20x24'),
    'a larger file': (_changed(_COLORS, 'I', 2, 3000), 'its header says 3000'),
}


@pytest.mark.parametrize('name', _CONTRADICTIONS)
def test_a_header_that_contradicts_itself_or_the_file_is_damaged(name):
    data, says = _CONTRADICTIONS[name]
    with pytest.raises(RejectError, match=says) as caught:
        images.decode_image(data, 'image')
    assert caught.value.reason == rejects.DAMAGED


@pytest.mark.parametrize('spare', [-2208, 0, 2])
def test_the_size_of_the_pixels_may_be_missing_or_have_what_fills_up_the_file(spare):
    data = _changed(_COLORS, 'I', 34, 2208 + spare) + bytes(2)
    np.testing.assert_array_equal(images.decode_image(data, 'image'), bad_inputs.gradient())


def test_masks_are_checked_in_the_same_way():
    with pytest.raises(RejectError, match='begin at byte 54'):
        masks.decode(_CONTRADICTIONS['pixels in the palette'][0], 'mask')
