"""Reads the values of a mask file with the library that `imaging` does not use for its format.

PNG by Pillow, TIFF by OpenCV, BMP of indices by the few lines that its format needs, MATLAB by scipy. OpenCV knows no
TIFF of 2 or 4 bits: it reads the bytes of one, and the values are unpacked here.
"""

import dataclasses
import io
import struct
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import PngImagePlugin, TiffImagePlugin

_TIFF_WIDTH, _TIFF_BITS, _TIFF_PHOTOMETRIC, _TIFF_COLOR_MAP, _TIFF_TILE_WIDTH = 256, 258, 262, 320, 322  # tags
# What places and decodes the pixels: width, height, bits, compression, photometric, order of bits, strips, samples,
# planes, predictor, tiles, sample format.
_TIFF_PIXELS = frozenset(
    (256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 292, 293, 317, 322, 323, 324, 325, 339)
)
_TIFF_SHORT = 3  # a type
_TILE_WIDTH = 16  # libtiff complains about tiles whose width is no multiple of it
_OPENCV_NO_MEMORY = -4  # the code of a `cv2.error`: cv::Error::StsNoMem
_MAX_OF_8_BITS = 255
_WITH_INDICES = 8  # bits; with more, a BMP has colours


@dataclasses.dataclass(frozen=True)
class Seen:
    """What another library sees in a mask file.

    Attributes:
        values: (H, W) integers, or (H, W, 3) uint8 RGB.
        palette: (n, 3) uint8 RGB, if the values are indices of it.
        is_grey: whether the palette is that of a BMP of greys, a format that has no other way to be grey.
    """

    values: NDArray[np.integer[Any]]
    palette: NDArray[np.uint8] | None = None
    is_grey: bool = False


def read(data: bytes) -> Seen | None:
    """The values of a mask file; None if there is no other library for such a file.

    Raises:
        ValueError: if the other library cannot read it.
        MemoryError: if there is not enough memory, which says nothing about the file.
    """
    if data.startswith(b'\x89PNG'):
        return _png(data)
    if data.startswith((b'II', b'MM')):
        return _tiff(data)
    if data.startswith(b'BM'):
        return _bmp(data)
    return _mat(data)


def _png(data: bytes) -> Seen:
    # What a text or a colour profile beside the pixels says is of no interest, and may be larger than Pillow allows.
    bare = _without_texts(data)
    try:
        # Not by `Image.open`, whose limit of pixels belongs to the whole process: ours was applied when it was read.
        with PngImagePlugin.PngImageFile(io.BytesIO(bare)) as image:
            image.load()
            if image.mode == 'P':
                return Seen(np.asarray(image), np.array(image.getpalette('RGB'), np.uint8).reshape(-1, 3))
            values = np.asarray(image.convert(image.mode[:-1]) if image.mode in ('LA', 'RGBA') else image)
    except (OSError, SyntaxError) as error:
        raise ValueError(f'Pillow: {error}') from error
    bits = data[24]  # of the header, which is the first chunk
    if bits in (2, 4):  # Pillow scales 0..2**bits - 1 to 0..255
        values = values // np.uint8(255 // (2**bits - 1))
    return Seen(values.astype(np.uint8) if values.dtype == bool else values)


def _without_texts(data: bytes) -> bytes:
    kept, position = [data[:8]], 8
    while position < len(data):
        end = position + 12 + int.from_bytes(data[position : position + 4], 'big')
        if data[position + 4 : position + 8] in (b'IHDR', b'PLTE', b'tRNS', b'IDAT', b'IEND'):
            kept.append(data[position:end])
        position = end
    return b''.join(kept)


def _tiff(data: bytes) -> Seen | None:
    try:
        with TiffImagePlugin.TiffImageFile(io.BytesIO(data)) as header:  # reads the tags, decodes nothing
            tags = dict(getattr(header, 'tag_v2', {}))
    except (OSError, SyntaxError) as error:
        raise ValueError(f'Pillow: {error}') from error
    bits = tags.get(_TIFF_BITS, (1,))[0]
    if bits in (2, 4):
        if tags.get(_TIFF_TILE_WIDTH, 0) * bits // 8 % _TILE_WIDTH:
            return None
        values = _unpacked(_by_opencv(_as_bytes(data, tags, bits)), bits)[:, : tags[_TIFF_WIDTH]]
        return Seen(values, _tiff_palette(tags))
    palette = _tiff_palette(tags)
    # Said to be grey: of a palette image, OpenCV gives the colours and not the indices.
    values = _by_opencv(data if palette is None else _with_tags(data, {_TIFF_PHOTOMETRIC: 1}))
    values = (values > 0).astype(np.uint8) if bits == 1 else values  # OpenCV gives 0 and 255
    return Seen(values, palette)


def _tiff_palette(tags: Mapping[int, Any]) -> NDArray[np.uint8] | None:
    colors = np.array(tags.get(_TIFF_COLOR_MAP, ()), np.int64)
    if not colors.size:
        return None
    colors = colors >> 8 if colors.max() > _MAX_OF_8_BITS else colors
    return colors.astype(np.uint8).reshape(3, -1).T


def _as_bytes(data: bytes, tags: Mapping[int, Any], bits: int) -> bytes:
    """The same TIFF, said to be grey, with a pixel for each byte: rows begin at whole bytes."""
    in_byte = 8 // bits
    changes = {_TIFF_WIDTH: -(-tags[_TIFF_WIDTH] // in_byte), _TIFF_BITS: 8, _TIFF_PHOTOMETRIC: 1}
    if _TIFF_TILE_WIDTH in tags:
        changes[_TIFF_TILE_WIDTH] = tags[_TIFF_TILE_WIDTH] // in_byte
    return _with_tags(data, changes)


def _unpacked(packed: NDArray[Any], bits: int) -> NDArray[np.uint8]:
    """(H, W) bytes to (H, 8 / bits * W) values, the high bits first."""
    values = np.empty((packed.shape[0], packed.shape[1], 8 // bits), np.uint8)
    for i in range(8 // bits):
        values[..., i] = packed >> (8 - bits * (i + 1)) & (2**bits - 1)
    return values.reshape(packed.shape[0], -1)


def _with_tags(data: bytes, changes: Mapping[int, int]) -> bytes:
    """The same TIFF with other values of some of its tags, and without those that do not concern the pixels."""
    order = '<' if data[:2] == b'II' else '>'
    kept = []
    try:
        (first,) = struct.unpack_from(order + 'I', data, 4)
        (number,) = struct.unpack_from(order + 'H', data, first)
        for place in range(first + 2, first + 2 + 12 * number, 12):
            tag, kind = struct.unpack_from(order + 'HH', data, place)
            if tag in changes:
                form = 'HHIHxx' if kind == _TIFF_SHORT else 'HHII'
                kept.append(struct.pack(order + form, tag, kind, 1, changes[tag]))
            elif tag in _TIFF_PIXELS:
                kept.append(data[place : place + 12])
    except struct.error as error:
        raise ValueError(f'its directory is damaged: {error}') from error
    # A new directory behind the file, at an even place.
    start = len(data) + len(data) % 2
    directory = struct.pack(order + 'H', len(kept)) + b''.join(kept) + bytes(4)
    return data[:4] + struct.pack(order + 'I', start) + data[8:] + bytes(len(data) % 2) + directory


def _bmp(data: bytes) -> Seen | None:
    if data[14] == 12:  # the oldest header, which OpenCV takes for a longer one
        return None
    bits = int.from_bytes(data[28:30], 'little')
    if bits > _WITH_INDICES:
        return Seen(_by_opencv(data))
    if any(data[30:34]):  # compressed
        return None
    start, width, height = (int.from_bytes(data[i : i + 4], 'little', signed=True) for i in (10, 18, 22))
    row_bytes = (width * bits + 31) // 32 * 4
    rows = np.frombuffer(data, np.uint8, row_bytes * abs(height), start).reshape(abs(height), row_bytes)
    # Some bytes hold one value, or several, the first in the highest bits. All in uint8: a mask may have a hundred
    # million pixels.
    values = np.empty((abs(height), row_bytes, 8 // bits), np.uint8)
    for place in range(8 // bits):
        np.right_shift(rows, np.uint8(8 - bits * (place + 1)), out=values[..., place])
    values &= np.uint8(2**bits - 1)
    values = values.reshape(abs(height), -1)[:, :width]
    table = 14 + int.from_bytes(data[14:18], 'little')
    number = min(int.from_bytes(data[46:50], 'little') or 2**bits, 2**bits, (start - table) // 4)
    palette = np.frombuffer(data, np.uint8, 4 * number, table).reshape(-1, 4)[:, 2::-1]
    values = values[::-1] if height > 0 else values
    ramp = np.linspace(0, 255, 2**bits).astype(np.uint8) if number > 2 else np.array([0, 255], np.uint8)
    is_grey = number > 0 and bool((palette == ramp[:number, None]).all())
    return Seen(values, palette, is_grey)


def _by_opencv(data: bytes) -> NDArray[Any]:
    try:
        values: NDArray[Any] | None = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        if error.code == _OPENCV_NO_MEMORY:
            raise MemoryError(error.err) from error
        raise ValueError(f'OpenCV: {error}') from error
    if values is None:
        raise ValueError('OpenCV cannot read it')
    return values if values.ndim == 2 else values[..., 2::-1]  # BGR or BGRA to RGB


def _mat(data: bytes) -> Seen | None:
    try:
        from scipy import io as scipy_io
    except ImportError:
        return None
    try:
        return Seen(scipy_io.loadmat(io.BytesIO(data), variable_names=['groundtruth'])['groundtruth'])
    except MemoryError:
        raise
    except Exception as error:  # scipy raises errors of many types
        raise ValueError(f'scipy: {error}') from error
