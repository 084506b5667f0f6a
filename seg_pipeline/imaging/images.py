"""One photo: read, decode, encode. Bytes and numpy arrays, no TensorFlow.

OpenCV decodes what it decodes fast and rightly (PNG, JPEG), Pillow everything else; `formats` makes sure beforehand
that the file is whole.
"""

import cv2
import numpy as np
from PIL import Image, ImageOps

from seg_pipeline import storage
from seg_pipeline.imaging import formats, rejects
from seg_pipeline.imaging.rejects import RejectError

ENCODINGS = ('png', 'jpeg')
JPEG_QUALITY = 95

_BYTES_PER_PIXEL = 8  # RGBA of 16 bits, not compressed
_HEADER_BYTES = 1 << 24

cv2.setNumThreads(1)  # the unit of parallel work is a shard; threads inside one image only get in each other's way


def read_bytes(path: str, max_pixels: int = formats.DEFAULT_MAX_PIXELS) -> bytes:
    """Reads a file.

    Args:
        path: its name.
        max_pixels: a file with more bytes than this many pixels can take is not read.

    Raises:
        RejectError: UNREADABLE, EMPTY_FILE or TOO_LARGE.
    """
    limit = max_pixels * _BYTES_PER_PIXEL + _HEADER_BYTES
    try:
        data = storage.read_at_most(path, limit)
    except storage.FileTooLargeError as error:
        message = f'{path}: {error.num_bytes} bytes, more than the {limit} that --max_pixels={max_pixels} can take'
        raise RejectError(rejects.TOO_LARGE, message) from error
    except OSError as error:
        raise RejectError(rejects.UNREADABLE, f'{path}: {error.strerror}') from error
    if not data:
        raise RejectError(rejects.EMPTY_FILE, f'{path}: 0 bytes')
    return data


def read_image(path: str, max_pixels: int = formats.DEFAULT_MAX_PIXELS) -> np.ndarray:
    """Reads a photo; see `decode_image`."""
    return decode_image(read_bytes(path, max_pixels), path, max_pixels)


def decode_image(data: bytes, path: str, max_pixels: int = formats.DEFAULT_MAX_PIXELS) -> np.ndarray:
    """Decodes a PNG, JPEG, WebP, BMP or TIFF photo.

    Grey becomes RGB, transparency is dropped, 16 bits are cut to 8, CMYK is converted, and a photo whose EXIF data say
    that it was taken sideways is turned upright. Colour profiles and gamma are not applied.

    Args:
        data: the file's bytes.
        path: its name, for messages.
        max_pixels: height x width that is still decoded.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        RejectError: with any of the reasons of files.
    """
    with rejects.decoding(path):
        kind = formats.of(data, path)
        if kind == 'mat':
            raise RejectError(rejects.UNKNOWN_FORMAT, f'{path}: a MATLAB file, wanted an image')
        header = formats.open_checked(data, path, kind, max_pixels)
        if kind in ('png', 'jpeg') and header.mode != 'CMYK':
            return _decode_with_opencv(data, path, kind)
        return _decode_with_pillow(header, path)


def _decode_with_opencv(data: bytes, path: str, kind: str) -> np.ndarray:
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise RejectError(rejects.DAMAGED, f'{path}: cannot be decoded as {kind}')
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _decode_with_pillow(header: Image.Image, path: str) -> np.ndarray:
    upright = ImageOps.exif_transpose(load(header, path))
    if upright.mode.startswith('I;16'):
        return np.repeat((np.asarray(upright, np.uint16) >> 8).astype(np.uint8)[..., None], 3, axis=2)
    if upright.mode in ('F', 'I'):
        raise RejectError(
            rejects.UNKNOWN_FORMAT, f'{path}: pixels of type {upright.mode}, wanted 8 or 16 bits a channel'
        )
    return np.asarray(upright.convert('RGB'))


def load(image: Image.Image, path: str) -> Image.Image:
    """Decodes what `formats.open_checked` opened. Raises `RejectError` DAMAGED if that fails."""
    try:
        image.load()
    except MemoryError:
        raise
    except Exception as error:  # Pillow's plugins raise whatever their parsing hits
        raise RejectError(rejects.DAMAGED, f'{path}: {error}') from error
    return image


def encode_png(image: np.ndarray) -> bytes:
    """Encodes (H, W, 3) uint8 RGB or (H, W) uint8 as PNG; equal arrays give equal bytes."""
    return _encode(image, '.png', [])


def encode_image(image: np.ndarray, encoding: str) -> bytes:
    """Encodes (H, W, 3) uint8 RGB as `png` or `jpeg` (quality 95)."""
    if encoding == 'png':
        return encode_png(image)
    return _encode(image, '.jpg', [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])


def _encode(image: np.ndarray, suffix: str, parameters: list[int]) -> bytes:
    pixels = cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if image.ndim == 3 else image
    done, data = cv2.imencode(suffix, pixels, parameters)
    if not done:
        raise ValueError(f'an array of shape {image.shape} and dtype {image.dtype} cannot be encoded as {suffix}')
    return data.tobytes()
