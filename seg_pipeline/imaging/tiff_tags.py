"""Reads from the tags of a TIFF what its pixels are, and rejects those that are not certain to be decoded as stored.

TIFF has more types of pixels, compressions and orders of bits than any decoder knows, and a decoder that does not know
one may return other values without an error.
"""

import dataclasses
import io
import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

from seg_pipeline.imaging import rejects
from seg_pipeline.imaging.rejects import RejectError
from seg_pipeline.plurals import counted

# Numbers of TIFF 6.0 and its later additions: what a tag's value stands for.
_BITS, _COMPRESSION, _PHOTOMETRIC, _SAMPLES, _COLOR_MAP = 258, 259, 262, 277, 320
_FILL_ORDER, _PREDICTOR, _EXTRA, _SAMPLE_FORMAT = 266, 317, 338, 339
_ORIENTATION, _PLANAR = 274, 284
_HEIGHT, _STRIP_OFFSETS, _ROWS_PER_STRIP = 257, 273, 278
_SEPARATE_PLANES = 2
_WIDTH, _STRIP_SIZES, _TILE_OFFSETS, _TILE_SIZES = 256, 279, 324, 325
_SHORT, _LONG = 3, 4  # types of numbers
# Tags that are one number.
_SINGLE_TAGS = frozenset(
    (
        _WIDTH,
        _HEIGHT,
        _COMPRESSION,
        _PHOTOMETRIC,
        _FILL_ORDER,
        _ORIENTATION,
        _SAMPLES,
        _ROWS_PER_STRIP,
        _PLANAR,
        _PREDICTOR,
    )
)
# Tags that are several.
_LISTS = frozenset((_BITS, _STRIP_OFFSETS, _STRIP_SIZES, _COLOR_MAP, _TILE_OFFSETS, _TILE_SIZES))
# Those that decide what the stored values are. The values of a tag are decoded when they are asked for.
_DECISIVE_TAGS = (
    _BITS,
    _COMPRESSION,
    _PHOTOMETRIC,
    _FILL_ORDER,
    _ORIENTATION,
    _SAMPLES,
    _PLANAR,
    _PREDICTOR,
    _COLOR_MAP,
    _EXTRA,
    _SAMPLE_FORMAT,
)
_HORIZONTAL = 2  # the predictor of integers: the difference from the value to the left
_WITH_PREDICTOR = (5, 8, 32946, 34925, 50000)  # compressions: LZW, deflate, LZMA, zstd
_ALPHA = 2  # of an extra sample: alpha that the colours were not multiplied with
_MIN_IS_WHITE, _MIN_IS_BLACK, _RGB, _COLORS_OF_PALETTE = 0, 1, 2, 3
_UNSIGNED, _SIGNED = 1, 2
# For each type that is read: the bits of a channel, and the number of channels.
_READABLE = {
    _MIN_IS_BLACK: ((1, 2, 4, 8, 16, 32), (1, 2)),
    _RGB: ((8,), (3, 4)),
    _COLORS_OF_PALETTE: ((1, 2, 4, 8), (1,)),
}
_OTHER_PHOTOMETRICS = {
    4: 'a transparency mask',
    5: 'CMYK',
    6: 'YCbCr',
    8: 'CIELAB',
    9: 'ICCLAB',
    32803: 'a colour filter',
}
_SAMPLE_FORMATS = {3: 'floating point', 4: 'undefined', 5: 'complex integer', 6: 'complex floating point'}
_LOSSLESS = frozenset((1, 2, 3, 4, 5, 8, 32773, 32946, 34925, 50000))  # none, CCITT, LZW, deflate, PackBits, LZMA, zstd
# Some of these have a lossless form. Nothing short of their own headers tells which it is.
_LOSSY = {
    6: 'JPEG',
    7: 'JPEG',
    33003: 'JPEG 2000',
    33004: 'JPEG 2000',
    33005: 'JPEG 2000',
    34676: 'SGI Log',
    34677: 'SGI Log',
    34712: 'JPEG 2000',
    34887: 'LERC',
    34892: 'JPEG',
    34927: 'WebP',
    34934: 'JPEG XR',
    50001: 'WebP',
    50002: 'JPEG XL',
    52546: 'JPEG XL',
}

_Tags = TiffImagePlugin.ImageFileDirectory_v2


@dataclasses.dataclass(frozen=True)
class TiffPixels:
    """What the tags of a TIFF say of its pixels.

    Attributes:
        bits: of one value.
        is_signed: whether values can be negative.
        palette: (n, 4) uint8 RGBA, the colour of each index; None if the pixels are grey or RGB.
    """

    bits: int
    is_signed: bool
    palette: NDArray[np.uint8] | None


def check(data: bytes, path: str) -> TiffPixels:
    """Checks that the pixels of a TIFF are ids or colours, and of a kind that Pillow decodes to the stored values.

    Args:
        data: the file's bytes.
        path: its name, for messages.

    Raises:
        RejectError: DAMAGED, LOSSY_MASK or UNSUPPORTED_MASK.
    """
    tags = _read(data, path)
    compression = tags.get(_COMPRESSION, 1)
    if compression in _LOSSY:
        raise rejects.lossy_mask(path, f'a TIFF with {_LOSSY[compression]} inside')
    if compression not in _LOSSLESS:
        raise rejects.unsupported_mask(path, f'a TIFF with compression {compression}: save it with LZW or without')
    if problem := _problem_of_pixels(tags) or _problem_of_bytes(tags, is_big_endian=data[:2] == b'MM'):
        raise rejects.unsupported_mask(path, problem)
    photometric, (bits, *_), _, kinds = _pixels(tags)
    return TiffPixels(bits, _SIGNED in kinds, _palette(tags) if photometric == _COLORS_OF_PALETTE else None)


def check_parts(data: bytes, path: str) -> None:
    """Checks that the tags of a TIFF are there once, in order and in their form, and all strips that its rows need.

    Of a tag that is there twice, one decoder takes the first and another the last. One that is in another form, some
    decoders ignore and others convert; OpenCV also ignores a palette in front of the number of bits. Rows for which
    there is no strip become zeros in Pillow, without an error.

    Args:
        data: the file's bytes.
        path: its name, for messages.

    Raises:
        RejectError: DAMAGED.
    """
    entries = _entries(data, path)
    numbers = [tag for tag, _, _ in entries]
    if len(set(numbers)) < len(numbers):
        raise RejectError(rejects.DAMAGED, f'{path}: a tag is there twice')
    if numbers != sorted(numbers):
        raise RejectError(rejects.DAMAGED, f'{path}: its tags are not in ascending order')
    tags = _loaded(data, path)
    _check_forms(entries, tags, path)
    height, offsets = tags.get(_HEIGHT), tags.get(_STRIP_OFFSETS)
    if height is None or offsets is None:  # tiles, which Pillow counts
        return
    strips = math.ceil(height / max(1, min(tags.get(_ROWS_PER_STRIP, height), height)))
    wanted = strips * (tags.get(_SAMPLES, 1) if tags.get(_PLANAR, 1) == _SEPARATE_PLANES else 1)
    found = len(offsets) if isinstance(offsets, tuple) else 1
    if found != wanted:
        raise RejectError(rejects.DAMAGED, f'{path}: holds {counted(found, "strip")}, its {height} rows need {wanted}')


def is_min_is_white(image: Image.Image) -> bool:
    """Whether 0 is white in an image that Pillow opened."""
    tags: dict[int, object] = getattr(image, 'tag_v2', {})
    return tags.get(_PHOTOMETRIC) == _MIN_IS_WHITE


def palette_of_8_bits(image: Image.Image) -> NDArray[np.uint8] | None:
    """The palette, (n, 3) RGB, of an image that Pillow opened, if it has 8 bits: for Pillow it is black."""
    tags: _Tags | None = getattr(image, 'tag_v2', None)
    channels = np.array(tags.get(_COLOR_MAP, ()) if tags else (), np.int64)
    if not channels.size or channels.max() > 255:
        return None
    assert tags is not None
    return _palette(tags)[:, :3]


def _read(data: bytes, path: str) -> _Tags:
    """The tags of the first image of a TIFF, by the same code with which Pillow will decode it."""
    tags = _loaded(data, path)
    found = [tag for tag in _DECISIVE_TAGS if tags.get(tag) is not None]
    # Pillow drops tags that are cut off, and reads the pixels as if they had never been there.
    if sorted(found) != sorted(tag for tag, _, _ in _entries(data, path) if tag in _DECISIVE_TAGS):
        raise RejectError(rejects.DAMAGED, f'{path}: its tags are cut off, or there twice')
    return tags


def _loaded(data: bytes, path: str) -> _Tags:
    try:
        file = io.BytesIO(data)
        tags = _Tags(file.read(8))
        file.seek(tags.next)
        tags.load(file)
        for tag in (*_DECISIVE_TAGS, _HEIGHT, _STRIP_OFFSETS, _ROWS_PER_STRIP):
            tags.get(tag)  # decodes it, and keeps what came out
        return tags
    except MemoryError:
        raise
    except Exception as error:  # as in `formats.open_checked`
        raise RejectError(rejects.DAMAGED, f'{path}: no valid tiff header: {error}') from error


def _entries(data: bytes, path: str) -> list[tuple[int, int, int]]:
    """Tag, type and count of each entry in the directory of a TIFF (TIFF 6.0, section 2)."""
    order: Literal['little', 'big'] = 'little' if data[:2] == b'II' else 'big'
    start = int.from_bytes(data[4:8], order)
    end = start + 2 + 12 * int.from_bytes(data[start : start + 2], order)
    if end > len(data):
        raise RejectError(rejects.DAMAGED, f'{path}: truncated: {counted(len(data), "byte")}, its tags end at {end}')

    def number(at: int, size: int) -> int:
        return int.from_bytes(data[at : at + size], order)

    return [(number(at, 2), number(at + 2, 2), number(at + 4, 4)) for at in range(start + 2, end, 12)]


def _check_forms(entries: list[tuple[int, int, int]], tags: _Tags, path: str) -> None:
    bits = tags.get(_BITS, (1,))
    # Of the palette only: how many there are of the others, `check_parts` and Pillow compare.
    wanted = dict.fromkeys(_SINGLE_TAGS, 1) | {_COLOR_MAP: 3 * 2 ** min(bits[0], 16)}
    for tag, kind, count in entries:
        if tag in _SINGLE_TAGS | _LISTS and (kind not in (_SHORT, _LONG) or count != wanted.get(tag, count)):
            number = f'{wanted[tag]} numbers' if tag in wanted else 'numbers'
            message = (
                f'{path}: tag {tag} has the type {kind} and {counted(count, "value")}, wanted {number} of 16 or 32 bits'
            )
            raise RejectError(rejects.DAMAGED, message)


def _problem_of_pixels(tags: _Tags) -> str | None:
    """Why pixels are neither ids nor colours of 8 bits a channel, or None."""
    photometric, bits, samples, kinds = _pixels(tags)
    if photometric == _MIN_IS_WHITE:
        # Some readers return the stored values of such a file and others invert them: what its values mean depends on
        # the program that wrote it.
        return 'a TIFF whose values are stored inverted (min-is-white): save it as min-is-black'
    if photometric not in _READABLE:
        return f'a TIFF of {_OTHER_PHOTOMETRICS.get(photometric, f"photometric {photometric}")}'
    if other := [kind for kind in kinds if kind not in (_UNSIGNED, _SIGNED)]:
        return f'pixels of type {_SAMPLE_FORMATS.get(other[0], other[0])}, wanted integer ids'
    if photometric == _RGB and set(bits) == {16}:
        return 'colours of 16 bits a channel, wanted 8'
    wanted_bits, wanted_samples = _READABLE[photometric]
    if len(set(bits)) != 1 or bits[0] not in wanted_bits or samples not in wanted_samples:
        return f'a TIFF of {samples} channels of {_either(bits)} bits, wanted {_either(wanted_bits)} bits'
    if photometric == _MIN_IS_BLACK and samples == 2 and (bits[0], tags.get(_EXTRA)) != (8, (_ALPHA,)):
        return 'a TIFF of 2 channels that are not grey and alpha of 8 bits'
    if _SIGNED in kinds and (photometric != _MIN_IS_BLACK or samples > 1 or bits[0] < 8):
        return f'signed pixels of {bits[0]} bits, wanted integer ids'
    return None


def _problem_of_bytes(tags: _Tags, *, is_big_endian: bool) -> str | None:
    """Which order of bits or bytes, or which predictor, Pillow is not known to undo, or None."""
    photometric, (bits, *_), _, kinds = _pixels(tags)
    # Pillow swaps the bytes of such pixels twice if they are compressed, and does not know unsigned ones of 32 bits.
    if is_big_endian and (bits == 32 or (bits == 16 and _SIGNED in kinds)):
        return f'pixels of {bits} bits, signed or more than 16, in a big-endian TIFF: save it anew'
    if tags.get(_FILL_ORDER, 1) != 1 and (photometric == _COLORS_OF_PALETTE or bits > 8):
        what = 'a palette' if photometric == _COLORS_OF_PALETTE else f'pixels of {bits} bits'
        return f'{what} in a TIFF whose bits are in reverse order (FillOrder 2): save it anew'
    # TIFF 6.0 defines the predictor for LZW. Without compression some readers undo it and others do not.
    predictor = tags.get(_PREDICTOR, 1)
    if predictor != 1 and (predictor != _HORIZONTAL or bits < 8 or tags.get(_COMPRESSION, 1) not in _WITH_PREDICTOR):
        return f'a TIFF with predictor {predictor}, {bits} bits and its compression: save it anew'
    return None


def _either(numbers: tuple[int, ...]) -> str:
    return ' or '.join(map(str, dict.fromkeys(numbers)))


def _pixels(tags: _Tags) -> tuple[int, tuple[int, ...], int, tuple[int, ...]]:
    """Photometric interpretation, bits of each channel, the number of channels, and the type of each.

    What is not said has the value that TIFF 6.0 gives it. For the photometric interpretation there is none; Pillow
    reads a file without it as min-is-white.
    """
    photometric = tags.get(_PHOTOMETRIC, _MIN_IS_WHITE)
    samples = tags.get(_SAMPLES, 1)
    return photometric, tuple(tags.get(_BITS, (1,))), samples, tuple(tags.get(_SAMPLE_FORMAT, (_UNSIGNED,)))


def _palette(tags: _Tags) -> NDArray[np.uint8]:
    channels = np.array(tags.get(_COLOR_MAP, ()), np.int64)
    # The map has 16 bits: 65535 is white. Some programs write 8 bits; libtiff too takes a map of small values for that.
    if channels.max(initial=0) > 255:
        channels = channels >> 8
    palette = np.full((len(channels) // 3, 4), 255, np.uint8)
    palette[:, :3] = channels[: 3 * len(palette)].reshape(3, -1).T  # all reds, all greens, all blues
    return palette
