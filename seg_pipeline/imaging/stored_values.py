"""Decodes a mask file to the values that are stored in it, whatever they mean: grey, indices of a palette, or RGB.

Decoders are made for pictures: they scale few bits to 0..255, apply palettes, and take any palette of black and white
for one bit a pixel. All of that changes class ids without an error. Here, what a file says of its pixels is read first;
what is not known to be decoded to its stored values is rejected by name. docs/mask_conformance.md has the table.
"""

import dataclasses
import io
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

from seg_pipeline.imaging import formats, images, rejects
from seg_pipeline.imaging.rejects import RejectError

# More than 8 bits, signed or RGB.
Values = NDArray[np.integer[Any]]

_GREY_ALPHA = 4  # colour type of PNG

# Numbers of TIFF 6.0 and its later additions: what a tag's value stands for.
_BITS, _COMPRESSION, _PHOTOMETRIC, _SAMPLES, _COLOR_MAP = 258, 259, 262, 277, 320
_FILL_ORDER, _PREDICTOR, _EXTRA, _SAMPLE_FORMAT = 266, 317, 338, 339
_ORIENTATION, _PLANAR = 274, 284
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

_BMP_JPEG = 4  # a value of biCompression, as the keys of the next
_BMP_COMPRESSIONS = {1: 'RLE8', 2: 'RLE4', 5: 'PNG'}


@dataclasses.dataclass(frozen=True)
class StoredValues:
    """The pixels of a mask file, as they are stored.

    Attributes:
        values: (H, W) integers, grey or the indices of a palette, or (H, W, 3) uint8 RGB.
        bits: how many a value of one channel has in the file.
        palette: (n, 4) uint8 RGBA, the colour of each index; None if the file has no palette.
        is_grey: whether a value stands for a grey. It does in a BMP too, which has no type for grey, but a palette from
            black to white.
    """

    values: Values
    bits: int = 8
    palette: NDArray[np.uint8] | None = None
    is_grey: bool = True

    @property
    def greys(self) -> NDArray[np.uint8] | None:
        """The grey, 0..255, that a viewer shows for each value of at most 8 bits; None if it shows colours, or more."""
        if not self.is_grey or self.bits > 8:
            return None
        if self.palette is not None:
            return np.ascontiguousarray(self.palette[:, 0])
        return np.linspace(0, 255, 2**self.bits).astype(np.uint8)


def decode(data: bytes, path: str, kind: str, max_pixels: int) -> StoredValues:
    """Decodes a file to its stored values.

    Args:
        data: its bytes.
        path: its name, for messages.
        kind: its format, see `formats.detect`; not `mat`.
        max_pixels: the largest height x width that is decoded.

    Raises:
        RejectError: with any of the reasons of files, LOSSY_MASK, or UNSUPPORTED_MASK.
    """
    if kind in ('jpeg', 'webp'):
        raise _lossy(path, f'a {kind.upper()} mask')
    # Before Pillow opens the file: of a type of pixels that it does not know, it says that the header is damaged.
    if kind == 'tiff':
        _check_tiff(_tiff_tags(data, path), data[:2] == b'MM', path)
    if kind == 'bmp':
        _check_bmp(data, path)
    header = formats.open_checked(data, path, kind, max_pixels)
    # An orientation is rejected, not applied: it may be a copy of the image's EXIF data although the mask was drawn on
    # the upright image. Nothing in the file tells, and a mask that is rotated wrongly is a silent error.
    if (turned := formats.orientation(header, data, kind)) != 1:
        raise _unsupported(path, f'a mask with EXIF orientation {turned}: save it upright')
    if kind == 'png':
        return _decode_png(data, path)
    return _decode_tiff(header, path) if kind == 'tiff' else _decode_bmp(header, data, path)


def _unsupported(path: str, what: str) -> RejectError:
    return RejectError(rejects.UNSUPPORTED_MASK, f'{path}: {what}')


def _lossy(path: str, what: str) -> RejectError:
    message = f'{path}: {what}; its compression changes ids along edges: give the PNG originals'
    return RejectError(rejects.LOSSY_MASK, message)


def _check_opaque(alpha: NDArray[np.uint8], path: str) -> None:
    """Rejects transparent pixels, whose colour is undefined: editors leave any value there."""
    if (lowest := int(alpha.min())) < 255:
        raise _unsupported(path, f'a mask with transparent pixels, alpha down to {lowest}')


# PNG.


def _decode_png(data: bytes, path: str) -> StoredValues:
    bits, color_type = data[24], data[25]  # of the IHDR, which is always the first chunk
    is_single_channel = color_type in (formats.GREY, formats.PALETTE)
    if bits == 16 and not is_single_channel:
        raise _unsupported(path, 'colours of 16 bits a channel, wanted 8')
    values: NDArray[np.uint8] | None = cv2.imdecode(
        np.frombuffer(formats.bare_png(data), np.uint8), cv2.IMREAD_UNCHANGED
    )
    if values is None:
        raise RejectError(rejects.DAMAGED, f'{path}: cannot be decoded as png')
    if is_single_channel:
        if bits < 8:
            # libpng scales grey of b bits to 0..255, by the factor 255 / (2**b - 1), an integer for 1, 2 and 4 bits;
            # the division undoes that.
            values = values // np.uint8(255 // (2**bits - 1))
        palette = _png_palette(data) if color_type == formats.PALETTE else None
        return StoredValues(values, bits, palette, is_grey=palette is None)
    if values.shape[2] == 4:
        _check_opaque(values[..., 3], path)
    if color_type == _GREY_ALPHA:
        return StoredValues(np.ascontiguousarray(values[..., 0]))
    return StoredValues(np.ascontiguousarray(values[..., 2::-1]), is_grey=False)  # BGR or BGRA to RGB


def _png_palette(data: bytes) -> NDArray[np.uint8]:
    chunks = {name: data[start + 8 : end - 4] for name, start, end in formats.png_chunks(data) if name in _PNG_PALETTE}
    colors = np.frombuffer(chunks.get(b'PLTE', b''), np.uint8)
    palette = np.full((len(colors) // 3, 4), 255, np.uint8)
    palette[:, :3] = colors[: 3 * len(palette)].reshape(-1, 3)
    alpha = np.frombuffer(chunks.get(b'tRNS', b''), np.uint8)[: len(palette)]
    palette[: len(alpha), 3] = alpha
    return palette


_PNG_PALETTE = (b'PLTE', b'tRNS')


# TIFF.


def _tiff_tags(data: bytes, path: str) -> TiffImagePlugin.ImageFileDirectory_v2:
    """The tags of the first image of a TIFF, by the same code with which Pillow will decode it."""
    try:
        file = io.BytesIO(data)
        tags = TiffImagePlugin.ImageFileDirectory_v2(file.read(8))
        file.seek(tags.next)
        tags.load(file)
        found = [tag for tag in _DECISIVE_TAGS if tags.get(tag) is not None]
    except MemoryError:
        raise
    except Exception as error:  # as in `formats.open_checked`
        raise RejectError(rejects.DAMAGED, f'{path}: no valid tiff header: {error}') from error
    # Pillow drops tags that are cut off, and reads the pixels as if they had never been there.
    if sorted(found) != sorted(tag for tag in _declared_tags(data, path) if tag in _DECISIVE_TAGS):
        raise RejectError(rejects.DAMAGED, f'{path}: its tags are cut off, or there twice')
    return tags


def _declared_tags(data: bytes, path: str) -> list[int]:
    """The numbers of the tags that the directory of a TIFF lists (TIFF 6.0, section 2)."""
    order: Literal['little', 'big'] = 'little' if data[:2] == b'II' else 'big'
    start = int.from_bytes(data[4:8], order)
    end = start + 2 + 12 * int.from_bytes(data[start : start + 2], order)
    if end > len(data):
        raise RejectError(rejects.DAMAGED, f'{path}: truncated: {len(data)} bytes, its tags end at {end}')
    return [int.from_bytes(data[entry : entry + 2], order) for entry in range(start + 2, end, 12)]


def _check_tiff(tags: TiffImagePlugin.ImageFileDirectory_v2, is_big_endian: bool, path: str) -> None:
    """Rejects a TIFF whose pixels are not certain to be decoded to their stored values."""
    compression = tags.get(_COMPRESSION, 1)
    if compression in _LOSSY:
        raise _lossy(path, f'a TIFF with {_LOSSY[compression]} inside')
    if compression not in _LOSSLESS:
        raise _unsupported(path, f'a TIFF with compression {compression}: save it with LZW or without')
    _check_tiff_pixels(tags, path)
    _check_tiff_bytes(tags, is_big_endian, path)


def _check_tiff_pixels(tags: TiffImagePlugin.ImageFileDirectory_v2, path: str) -> None:
    photometric, bits, samples, kinds = _tiff_pixels(tags)
    if photometric == _MIN_IS_WHITE:
        # Some readers return the stored values of such a file and others invert them: what its values mean depends on
        # the program that wrote it.
        raise _unsupported(path, 'a TIFF whose values are stored inverted (min-is-white): save it as min-is-black')
    if photometric not in (_MIN_IS_BLACK, _RGB, _COLORS_OF_PALETTE):
        raise _unsupported(path, f'a TIFF of {_OTHER_PHOTOMETRICS.get(photometric, f"photometric {photometric}")}')
    if (kind := next((kind for kind in kinds if kind not in (_UNSIGNED, _SIGNED)), None)) is not None:
        raise _unsupported(path, f'pixels of type {_SAMPLE_FORMATS.get(kind, kind)}, wanted integer ids')
    wanted = {_MIN_IS_BLACK: (1, 2, 4, 8, 16, 32), _RGB: (8,), _COLORS_OF_PALETTE: (1, 2, 4, 8)}[photometric]
    allowed_samples = {_MIN_IS_BLACK: (1, 2), _RGB: (3, 4), _COLORS_OF_PALETTE: (1,)}[photometric]
    if photometric == _RGB and set(bits) == {16}:
        raise _unsupported(path, 'colours of 16 bits a channel, wanted 8')
    if len(set(bits)) != 1 or bits[0] not in wanted or samples not in allowed_samples:
        shown = ', '.join(map(str, bits))
        raise _unsupported(path, f'a TIFF of {samples} channels of {shown} bits, wanted {_either(wanted)} bits')
    if photometric == _MIN_IS_BLACK and samples == 2 and (bits[0], tags.get(_EXTRA)) != (8, (_ALPHA,)):
        raise _unsupported(path, 'a TIFF of 2 channels that are not grey and alpha of 8 bits')
    if _SIGNED in kinds and (photometric != _MIN_IS_BLACK or samples > 1 or bits[0] < 8):
        raise _unsupported(path, f'signed pixels of {bits[0]} bits, wanted integer ids')


def _check_tiff_bytes(tags: TiffImagePlugin.ImageFileDirectory_v2, is_big_endian: bool, path: str) -> None:
    """Rejects orders of bits and bytes, and predictors, that Pillow is not known to undo."""
    photometric, (bits, *_), _, kinds = _tiff_pixels(tags)
    # Pillow swaps the bytes of such pixels twice if they are compressed, and does not know unsigned ones of 32 bits.
    if is_big_endian and (bits == 32 or (bits == 16 and _SIGNED in kinds)):
        raise _unsupported(path, f'pixels of {bits} bits, signed or more than 16, in a big-endian TIFF: save it anew')
    if tags.get(_FILL_ORDER, 1) != 1 and (photometric == _COLORS_OF_PALETTE or bits > 8):
        what = 'a palette' if photometric == _COLORS_OF_PALETTE else f'pixels of {bits} bits'
        raise _unsupported(path, f'{what} in a TIFF whose bits are in reverse order (FillOrder 2): save it anew')
    # TIFF 6.0 defines the predictor for LZW. Without compression some readers undo it and others do not.
    predictor = tags.get(_PREDICTOR, 1)
    if predictor != 1 and (predictor != _HORIZONTAL or bits < 8 or tags.get(_COMPRESSION, 1) not in _WITH_PREDICTOR):
        raise _unsupported(path, f'a TIFF with predictor {predictor}, {bits} bits and its compression: save it anew')


def _either(numbers: tuple[int, ...]) -> str:
    return ' or '.join(map(str, numbers))


def _tiff_pixels(tags: TiffImagePlugin.ImageFileDirectory_v2) -> tuple[int, tuple[int, ...], int, tuple[int, ...]]:
    """Photometric interpretation, bits of each channel, the number of channels, and the type of each.

    What is not said has the value that TIFF 6.0 gives it. For the photometric interpretation there is none; Pillow
    reads a file without it as min-is-white.
    """
    photometric = tags.get(_PHOTOMETRIC, _MIN_IS_WHITE)
    samples = tags.get(_SAMPLES, 1)
    return photometric, tuple(tags.get(_BITS, (1,))), samples, tuple(tags.get(_SAMPLE_FORMAT, (_UNSIGNED,)))


def _decode_tiff(header: Image.Image, path: str) -> StoredValues:
    tags: TiffImagePlugin.ImageFileDirectory_v2 = getattr(header, 'tag_v2')  # noqa: B009
    _, (bits, *_), _, (kind, *_) = _tiff_pixels(tags)
    image = images.load(header, path)
    if image.mode in ('RGBA', 'LA'):
        _check_opaque(np.asarray(image.getchannel('A')), path)
        image = image.convert(image.mode[:-1])
    values = np.asarray(image)
    if image.mode == 'RGB':
        return StoredValues(values, is_grey=False)
    if image.mode == 'P':  # the array has the indices
        return StoredValues(values, bits, _tiff_palette(tags), is_grey=False)
    if image.mode == '1':
        return StoredValues(values.astype(np.uint8), bits)
    if image.mode == 'L' and bits < 8:  # Pillow scales these as libpng does
        return StoredValues(values // np.uint8(255 // (2**bits - 1)), bits)
    if image.mode == 'L':  # Pillow takes signed for unsigned
        return StoredValues(values.view(np.int8).astype(np.int64) if kind == _SIGNED else values, bits)
    if image.mode.startswith('I'):
        return StoredValues(values, bits)
    raise _unsupported(path, f'pixels of type {image.mode}, wanted integer ids')


def _tiff_palette(tags: TiffImagePlugin.ImageFileDirectory_v2) -> NDArray[np.uint8]:
    channels = np.array(tags.get(_COLOR_MAP, ()), np.int64)
    # The map has 16 bits: 65535 is white. Some programs write 8 bits; libtiff too takes a map of small values for that.
    if channels.max(initial=0) > 255:
        channels = channels >> 8
    palette = np.full((len(channels) // 3, 4), 255, np.uint8)
    palette[:, :3] = channels[: 3 * len(palette)].reshape(3, -1).T  # all reds, all greens, all blues
    return palette


# BMP.


@dataclasses.dataclass(frozen=True)
class _BmpHeader:
    """What the headers of a BMP say: BITMAPFILEHEADER, and BITMAPCOREHEADER (12 bytes) or a longer one."""

    offset: int  # of the pixels
    size: int  # of the second header
    width: int
    height: int
    is_top_down: bool
    bits: int
    compression: int
    num_colors: int

    @classmethod
    def of(cls, data: bytes) -> '_BmpHeader':
        def number(position: int, length: int) -> int:
            return int.from_bytes(data[position : position + length], 'little')

        offset, size = number(10, 4), number(14, 4)
        if size == 12:
            bits = number(24, 2)
            return cls(offset, size, number(18, 2), number(20, 2), False, bits, 0, 2 ** min(bits, 8))
        height = int.from_bytes(data[22:26], 'little', signed=True)
        bits = number(28, 2)
        return cls(
            offset,
            size,
            number(18, 4),
            abs(height),
            height < 0,
            bits,
            number(30, 4),
            number(46, 4) or 2 ** min(bits, 8),
        )


def _check_bmp(data: bytes, path: str) -> None:
    """Rejects a BMP that does not hold its values as they are: compressed, or colours of 16 bits a pixel."""
    header = _BmpHeader.of(data)
    if header.compression == _BMP_JPEG:
        raise _lossy(path, 'a BMP with JPEG inside')
    if header.compression in _BMP_COMPRESSIONS:
        raise _unsupported(path, f'a BMP with {_BMP_COMPRESSIONS[header.compression]} compression: save it without')
    if header.bits == 16:
        raise _unsupported(path, 'colours of 16 bits a pixel, 5 or 6 a channel, wanted 8 a channel')
    if header.bits == 2:
        raise _unsupported(path, 'a BMP of 2 bits a pixel, wanted 1, 4, 8, 24 or 32')


def _decode_bmp(header: Image.Image, data: bytes, path: str) -> StoredValues:
    info = _BmpHeader.of(data)
    # Pillow takes each palette of black and white for one bit a pixel, so the indices are unpacked here.
    if info.bits <= 8:
        palette = _bmp_palette(info, data)
        return StoredValues(_bmp_indices(info, data, path), info.bits, palette, _is_ramp(palette, info.bits))
    image = images.load(header, path)
    if image.mode == 'RGBA':
        _check_opaque(np.asarray(image.getchannel('A')), path)
        image = image.convert('RGB')
    if image.mode != 'RGB':
        raise _unsupported(path, f'pixels of type {image.mode}, wanted integer ids')
    return StoredValues(np.asarray(image), is_grey=False)


def _bmp_indices(info: _BmpHeader, data: bytes, path: str) -> NDArray[np.uint8]:
    stride = (info.width * info.bits + 31) // 32 * 4  # a row fills whole words of 32 bits
    needed = info.offset + stride * info.height
    if needed > len(data):
        raise RejectError(rejects.DAMAGED, f'{path}: truncated: {len(data)} bytes, its pixels need {needed}')
    rows = np.frombuffer(data, np.uint8, stride * info.height, info.offset).reshape(info.height, stride)
    # The leftmost pixel has the highest bits of a byte.
    shifts = np.arange(8 - info.bits, -1, -info.bits, dtype=np.uint8)
    indices = (rows[..., None] >> shifts & np.uint8(2**info.bits - 1)).reshape(info.height, -1)[:, : info.width]
    return np.ascontiguousarray(indices if info.is_top_down else indices[::-1])


def _bmp_palette(info: _BmpHeader, data: bytes) -> NDArray[np.uint8]:
    start, num_bytes = 14 + info.size, 3 if info.size == 12 else 4
    # A header may claim more colours than there are indices, or than fit in front of the pixels.
    end = min(start + num_bytes * min(info.num_colors, 2**info.bits), info.offset)
    entries = np.frombuffer(data[start:end], np.uint8)
    entries = entries[: len(entries) // num_bytes * num_bytes].reshape(-1, num_bytes)
    palette = np.full((len(entries), 4), 255, np.uint8)
    palette[:, :3] = entries[:, 2::-1]  # blue, green, red
    return palette


def _is_ramp(palette: NDArray[np.uint8], bits: int) -> bool:
    """Whether a palette is grey from black to white: that of its depth, or of two colours."""
    ramp = np.linspace(0, 255, 2**bits).astype(np.uint8)
    if len(palette) == 2:
        ramp = np.array([0, 255], np.uint8)
    return len(palette) > 0 and bool((palette[:, :3] == ramp[: len(palette), None]).all())
