"""Decodes a mask file to the values that are stored in it, whatever they mean: grey, indices of a palette, or RGB.

Decoders are made for pictures: they scale few bits to 0..255, apply palettes, and take any palette of black and white
for one bit a pixel. All of that changes class ids without an error. Here, what a file says of its pixels is read first;
what is not known to be decoded to its stored values is rejected by name. docs/mask_conformance.md has the table.
"""

import dataclasses
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from seg_pipeline.imaging import bmp, formats, images, rejects, tiff_tags
from seg_pipeline.imaging.rejects import RejectError

# More than 8 bits, signed or RGB.
Values = NDArray[np.integer[Any]]

_GREY_ALPHA = 4  # colour type of PNG

_BMP_COMPRESSIONS = {bmp.RLE8: 'RLE8', bmp.RLE4: 'RLE4', bmp.PNG: 'PNG'}


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
        raise rejects.lossy_mask(path, f'a {kind.upper()} mask')
    # Before Pillow opens the file: of a type of pixels that it does not know, it says that the header is damaged.
    pixels = tiff_tags.check(data, path) if kind == 'tiff' else None
    if kind == 'bmp':
        _check_bmp(data, path)
    header = formats.open_checked(data, path, kind, max_pixels)
    # An orientation is rejected, not applied: it may be a copy of the image's EXIF data although the mask was drawn on
    # the upright image. Nothing in the file tells, and a mask that is rotated wrongly is a silent error.
    if (turned := formats.orientation(header, data, path, kind)) != 1:
        raise rejects.unsupported_mask(path, f'a mask with EXIF orientation {turned}: save it upright')
    if kind == 'png':
        return _decode_png(data, path)
    return _decode_tiff(header, pixels, path) if pixels else _decode_bmp(header, data, path)


def _check_opaque(alpha: NDArray[np.uint8], path: str) -> None:
    """Rejects transparent pixels, whose colour is undefined: editors leave any value there."""
    if (lowest := int(alpha.min())) < 255:
        raise rejects.unsupported_mask(path, f'a mask with transparent pixels, alpha down to {lowest}')


# PNG.


def _decode_png(data: bytes, path: str) -> StoredValues:
    bits, color_type = data[24], data[25]  # of the IHDR, which is always the first chunk
    is_single_channel = color_type in (formats.GREY, formats.PALETTE)
    if bits == 16 and not is_single_channel:
        raise rejects.unsupported_mask(path, 'colours of 16 bits a channel, wanted 8')
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


def _decode_tiff(header: Image.Image, pixels: tiff_tags.TiffPixels, path: str) -> StoredValues:
    image = images.load(header, path)
    if image.mode in ('RGBA', 'LA'):
        _check_opaque(np.asarray(image.getchannel('A')), path)
        image = image.convert(image.mode[:-1])
    values = np.asarray(image)
    if image.mode == 'RGB':
        return StoredValues(values, is_grey=False)
    if image.mode == 'P':  # the array has the indices
        return StoredValues(values, pixels.bits, pixels.palette, is_grey=False)
    if image.mode == '1':
        return StoredValues(values.astype(np.uint8), pixels.bits)
    if image.mode == 'L' and pixels.bits < 8:  # Pillow scales these as libpng does
        return StoredValues(values // np.uint8(255 // (2**pixels.bits - 1)), pixels.bits)
    if image.mode == 'L':  # Pillow takes signed for unsigned
        return StoredValues(values.view(np.int8) if pixels.is_signed else values, pixels.bits)
    if image.mode.startswith('I'):
        return StoredValues(values, pixels.bits)
    raise rejects.unsupported_mask(path, f'pixels of type {image.mode}, wanted integer ids')


# BMP.


def _check_bmp(data: bytes, path: str) -> None:
    """Rejects a BMP that does not hold its values as they are: compressed, or colours of 16 bits a pixel."""
    header = bmp.BmpHeader.of(data)
    if header.compression == bmp.JPEG:
        raise rejects.lossy_mask(path, 'a BMP with JPEG inside')
    if header.compression in _BMP_COMPRESSIONS:
        raise rejects.unsupported_mask(
            path, f'a BMP with {_BMP_COMPRESSIONS[header.compression]} compression: save it without'
        )
    if header.bits == 16:
        raise rejects.unsupported_mask(path, 'colours of 16 bits a pixel, 5 or 6 a channel, wanted 8 a channel')
    if header.bits == 2:
        raise rejects.unsupported_mask(path, 'a BMP of 2 bits a pixel, wanted 1, 4, 8, 24 or 32')


def _decode_bmp(header: Image.Image, data: bytes, path: str) -> StoredValues:
    info = bmp.BmpHeader.of(data)
    if info.has_indices:
        palette = bmp.palette(info, data)
        return StoredValues(bmp.indices(info, data), info.bits, palette, _is_ramp(palette, info.bits))
    image = images.load(header, path)
    if image.mode == 'RGBA':
        _check_opaque(np.asarray(image.getchannel('A')), path)
        image = image.convert('RGB')
    if image.mode != 'RGB':
        raise rejects.unsupported_mask(path, f'pixels of type {image.mode}, wanted integer ids')
    return StoredValues(np.asarray(image), is_grey=False)


def _is_ramp(palette: NDArray[np.uint8], bits: int) -> bool:
    """Whether a palette is grey from black to white: that of its depth, or of two colours."""
    ramp = np.linspace(0, 255, 2**bits).astype(np.uint8)
    if len(palette) == 2:
        ramp = np.array([0, 255], np.uint8)
    return len(palette) > 0 and bool((palette[:, :3] == ramp[: len(palette), None]).all())
