"""Reads, decodes and encodes images.

OpenCV decodes PNG, because it is faster, and simplejpeg JPEG, because it reports the warnings of libjpeg, with the same
pixels. Pillow decodes the other formats, and JPEG in CMYK. `formats` checks beforehand that a file is complete.
"""

from collections.abc import Callable

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from seg_pipeline import storage
from seg_pipeline.imaging import bmp, formats, rejects, tiff_tags
from seg_pipeline.imaging.rejects import RejectError
from seg_pipeline.plurals import counted

ENCODINGS = ('png', 'jpeg')
JPEG_QUALITY = 95

# The largest file that can hold an accepted image: RGBA of 16 bits without compression, and 16 MiB of metadata.
_BYTES_PER_PIXEL = 8
_HEADER_BYTES = 1 << 24

# What is done to the rows and columns of an image for each value of the EXIF orientation.
_UPRIGHT: dict[int, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {
    2: np.fliplr,
    3: lambda pixels: np.rot90(pixels, 2),
    4: np.flipud,
    5: lambda pixels: np.swapaxes(pixels, 0, 1),
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: np.swapaxes(np.rot90(pixels, 2), 0, 1),
    8: np.rot90,
}
# Of libjpeg's warnings, those that say that the compressed data are not what was written. "Invalid SOS parameters for
# sequential JPEG" is none: it is about three bytes that say nothing to a sequential decoder, and that many phones of
# Samsung write wrongly.
_JPEG_DAMAGE = ('Corrupt JPEG data', 'Premature end of JPEG file', 'Inconsistent progression sequence')
_JPEG_END = b'\xff\xd9'
# Markers of JPEG. The frames are those whose every scan takes a table for DC and one for AC.
_SEQUENTIAL, _HUFFMAN_TABLES, _START_OF_SCAN = (0xC0, 0xC1), 0xC4, 0xDA
# As many bytes at the end no encoder leaves without which a picture could be decoded; one, some cameras do.
_JPEG_SPARE_BYTES = 2
# As many bytes at the end are more than any encoder leaves without which a picture could be decoded: 3 and 1.
_WEBP_SPARE_BYTES = {b'VP8 ': 4, b'VP8L': 3}


def read_bytes(path: str, max_pixels: int = formats.DEFAULT_MAX_PIXELS, name: str | None = None) -> bytes:
    """Reads a file.

    Args:
        path: where it is.
        max_pixels: a file with more bytes than this many pixels can take is not read.
        name: its name, for messages; the path if None.

    Returns:
        Its bytes, at least one.

    Raises:
        RejectError: UNREADABLE, EMPTY_FILE or TOO_LARGE.
    """
    name = path if name is None else name
    limit = max_pixels * _BYTES_PER_PIXEL + _HEADER_BYTES
    try:
        data = storage.read_at_most(path, limit)
    except storage.FileTooLargeError as error:
        message = f'{name}: {error.num_bytes} bytes, more than the {limit} that --max_pixels={max_pixels} can take'
        raise RejectError(rejects.TOO_LARGE, message) from error
    except OSError as error:
        raise RejectError(rejects.UNREADABLE, f'{name}: {error.strerror}') from error
    if not data:
        raise RejectError(rejects.EMPTY_FILE, f'{name}: 0 bytes')
    return data


def read_image(path: str, max_pixels: int = formats.DEFAULT_MAX_PIXELS) -> NDArray[np.uint8]:
    """Reads an image file: `read_bytes`, then `decode_image`."""
    return decode_image(read_bytes(path, max_pixels), path, max_pixels)


def decode_image(data: bytes, path: str, max_pixels: int = formats.DEFAULT_MAX_PIXELS) -> NDArray[np.uint8]:
    """Decodes a PNG, JPEG, WebP, BMP or TIFF image.

    Grey becomes RGB, transparency is dropped, 16 bits are cut to 8, CMYK is converted, and the EXIF orientation is
    applied. Colour profiles and gamma are not applied.

    Args:
        data: the file's bytes.
        path: its name, for messages.
        max_pixels: the largest height x width that is decoded.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        RejectError: with any of the reasons of files, see `rejects`.
    """
    with rejects.decoding(path):
        kind = formats.detect(data, path)
        if kind in formats.MASK_ONLY:
            raise RejectError(rejects.UNKNOWN_FORMAT, f'{path}: a {kind} file, which can be a mask; wanted an image')
        header = formats.open_checked(data, path, kind, max_pixels)
        turn = _UPRIGHT.get(formats.orientation(header, data, path, kind))
        pixels = _decode(data, header, path, kind, max_pixels)
        # A TIFF is turned by Pillow.
        return pixels if turn is None or kind == 'tiff' else np.ascontiguousarray(turn(pixels))


def _decode(data: bytes, header: Image.Image, path: str, kind: str, max_pixels: int) -> NDArray[np.uint8]:
    """Decodes to (H, W, 3) uint8 RGB, as it is stored: not turned."""
    if kind == 'png':
        return _decode_with_opencv(formats.without_texts(data), path, kind)
    if kind == 'jpeg':
        return _decode_jpeg(data, header, path)
    if kind == 'bmp' and (info := bmp.BmpHeader.of(data)).has_indices:
        return _decode_indices(info, header, data, path)
    if kind == 'webp':
        _check_webp_end(data, path, max_pixels)
    return _decode_with_pillow(header, path)


def _decode_jpeg(data: bytes, header: Image.Image, path: str) -> NDArray[np.uint8]:
    """Decodes a JPEG, and rejects one that libjpeg warns of: it fills with grey what is missing, and goes on."""
    is_cmyk = header.mode == 'CMYK'
    _check_jpeg_tables(data, path)
    pixels, warning = _strictly_decoded(data, is_cmyk)
    if warning is not None and warning.startswith(_JPEG_DAMAGE):
        raise RejectError(rejects.DAMAGED, f'{path}: {warning}')
    _check_jpeg_end(data, path, is_cmyk)
    # Without pixels: sampling that TurboJPEG's interface does not know, or a warning that is not about the pixels.
    if pixels is None:
        return _decode_with_pillow(header, path) if is_cmyk else _decode_with_opencv(data, path, 'jpeg')
    return _decode_with_pillow(header, path) if is_cmyk else pixels


def _strictly_decoded(data: bytes, is_cmyk: bool) -> tuple[NDArray[np.uint8] | None, str | None]:
    """The pixels of a JPEG, or else the warning or error of libjpeg."""
    try:
        return simplejpeg.decode_jpeg(data, 'CMYK' if is_cmyk else 'RGB', strict=True), None
    except ValueError as error:
        return None, str(error)


def _check_jpeg_tables(data: bytes, path: str) -> None:
    """Rejects a sequential JPEG in which a scan names a Huffman table that is not in the file, though others are.

    libjpeg takes the example tables of the standard (ITU-T T.81, Annex K) for those that are missing, and goes on
    without a word. That is right where a file has none at all, as a picture of a webcam; else the name is damaged.
    """
    tables: set[int] = set()  # class (0 DC, 1 AC) times 16, and number
    is_sequential = False
    for marker, start, end in formats.jpeg_segments(data):
        if marker in _SEQUENTIAL:
            is_sequential = True
        elif marker == _HUFFMAN_TABLES:
            place = start + 4
            while place < end:
                tables.add(data[place])
                place += 17 + sum(data[place + 1 : place + 17])  # of each length of codes how many; then their values
        elif marker == _START_OF_SCAN and is_sequential and tables:
            for names in data[start + 6 : start + 5 + 2 * data[start + 4] : 2]:
                if missing := {names >> 4, 16 + (names & 15)} - tables:
                    message = f'a scan with Huffman table {min(missing):#04x}, which the file does not have'
                    raise RejectError(rejects.DAMAGED, f'{path}: {message}')


def _check_jpeg_end(data: bytes, path: str, is_cmyk: bool) -> None:
    """Rejects a JPEG that was cut off, filled up with zeros and closed by an end marker, see `_check_webp_end`."""
    spare = bytes(_JPEG_SPARE_BYTES)
    *_, (_, _, begin), (_, end, _) = formats.jpeg_segments(data)  # of the last scan's data
    # A zero behind 0xFF is no data, but says that 0xFF is.
    if not data.endswith(spare, begin, end) or data[end - len(spare) - 1] == 0xFF:
        return
    _, warning = _strictly_decoded(data[: end - len(spare)] + _JPEG_END, is_cmyk)
    if warning is None or not warning.startswith(_JPEG_DAMAGE):
        raise RejectError(rejects.DAMAGED, f'{path}: truncated, and filled up with zeros to {len(data)} bytes')


def _decode_indices(info: bmp.BmpHeader, header: Image.Image, data: bytes, path: str) -> NDArray[np.uint8]:
    """Decodes a BMP with a palette; Pillow only unpacks those that are compressed."""
    is_packed = info.compression != bmp.NOT_COMPRESSED
    indices = np.asarray(load(header, path)) if is_packed else bmp.indices(info, data)
    return _apply_palette(bmp.palette(info, data)[:, :3], indices, path)


def _apply_palette(palette: NDArray[np.uint8], indices: NDArray[np.uint8], path: str) -> NDArray[np.uint8]:
    if (highest := int(indices.max(initial=0))) >= len(palette):
        raise RejectError(rejects.DAMAGED, f'{path}: index {highest} in a palette of {counted(len(palette), "colour")}')
    return palette[indices]


def _check_webp_end(data: bytes, path: str, max_pixels: int) -> None:
    """Rejects a WebP file that was cut off and filled up with zeros.

    Its decoder reads zeros like any other bits. But it needs fewer of them than of what was there, so it comes to the
    end of the picture before the end of the data: such a file can be decoded without its last bytes, and no other can.
    """
    for name, start, end in formats.webp_chunks(data):
        spare = _WEBP_SPARE_BYTES.get(name)
        if spare is None or any(data[end - spare : end]):
            continue
        try:
            shorter = formats.bare_webp(name, data[start : end - spare])
            load(formats.open_checked(shorter, path, 'webp', max_pixels), path)
        except RejectError:
            continue
        raise RejectError(rejects.DAMAGED, f'{path}: truncated, and filled up with zeros to {len(data)} bytes')


def _decode_with_opencv(data: bytes, path: str, kind: str) -> NDArray[np.uint8]:
    # Three channels of 8 bits. OpenCV would take an orientation from EXIF data that no other reader understands.
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if image is None:
        raise RejectError(rejects.DAMAGED, f'{path}: cannot be decoded as {kind}')
    result: NDArray[np.uint8] = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    return result


def _decode_with_pillow(header: Image.Image, path: str) -> NDArray[np.uint8]:
    image = load(header, path)
    # Pillow's own conversion of 16 bits to 8 clips at 255 instead of scaling: nearly all of the image would be white.
    if image.mode.startswith('I;16'):
        grey: NDArray[np.uint8] = (np.asarray(image, np.uint16) >> 8).astype(np.uint8)
        # Values of up to 8 bits Pillow has inverted already.
        grey = 255 - grey if tiff_tags.is_min_is_white(header) else grey
        return np.repeat(grey[..., None], 3, axis=2)
    if image.mode == 'P' and (palette := tiff_tags.palette_of_8_bits(header)) is not None:
        return _apply_palette(palette, np.asarray(image), path)
    if image.mode in ('F', 'I'):
        raise RejectError(rejects.UNKNOWN_FORMAT, f'{path}: pixels of type {image.mode}, wanted 8 or 16 bits a channel')
    return np.asarray(image if image.mode == 'RGB' else image.convert('RGB'))


def load(image: Image.Image, path: str) -> Image.Image:
    """Decodes what `formats.open_checked` opened.

    Args:
        image: an opened image.
        path: its name, for messages.

    Returns:
        The same object, with its pixels in memory.

    Raises:
        RejectError: DAMAGED if it cannot be decoded.
        MemoryError: if there is not enough memory, which says nothing about the file.
    """
    try:
        image.load()
    except MemoryError:
        raise
    except Exception as error:  # Pillow's plugins raise errors of many types on malformed data
        raise RejectError(rejects.DAMAGED, f'{path}: {error}') from error
    return image


def encode_png(image: NDArray[np.uint8] | NDArray[np.uint16]) -> bytes:
    """Encodes an image or a mask as PNG; equal arrays give equal bytes.

    Args:
        image: (H, W, 3) RGB or (H, W) grey, uint8 or uint16. OpenCV casts other dtypes to uint8.

    Raises:
        ValueError: if the array cannot be encoded.
    """
    return _encode(image, '.png', [])


def encode_image(image: NDArray[np.uint8], encoding: str) -> bytes:
    """Encodes an image.

    Args:
        image: (H, W, 3) uint8 RGB.
        encoding: one of `ENCODINGS`; JPEG has the quality `JPEG_QUALITY`.

    Raises:
        ValueError: if the array cannot be encoded.
    """
    if encoding == 'png':
        return encode_png(image)
    return _encode(image, '.jpg', [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])


def _encode(image: NDArray[np.uint8] | NDArray[np.uint16], suffix: str, parameters: list[int]) -> bytes:
    pixels = cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if image.ndim == 3 else image
    done, data = cv2.imencode(suffix, pixels, parameters)
    if not done:
        raise ValueError(f'an array of shape {image.shape} and dtype {image.dtype} cannot be encoded as {suffix}')
    return bytes(data)
