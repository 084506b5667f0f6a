"""Reads the headers of a BMP, rejects those that contradict themselves, and unpacks the indices of a palette.

Decoders make different pictures of a header that does not fit its file. Pillow also takes each palette of black and
white for one bit a pixel, however many there are.
"""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from seg_pipeline.plurals import counted

NOT_COMPRESSED, RLE8, RLE4, BIT_FIELDS, JPEG, PNG = 0, 1, 2, 3, 4, 5  # values of biCompression
MOST_INDEX_BITS = 8  # with more bits, a pixel is a colour

_FILE_HEADER, _CORE_HEADER, _INFO_HEADER = 14, 12, 40  # bytes
_BITS_OF = {RLE8: (8,), RLE4: (4,), BIT_FIELDS: (16, 24, 32)}
_MASKS_BYTES = 12  # of the bit fields, behind the shortest header that can have them
_SPARE_BYTES = 4  # some programs count the bytes with which they fill the file up to whole words


@dataclasses.dataclass(frozen=True)
class BmpHeader:
    """What the headers of a BMP say: BITMAPFILEHEADER, and BITMAPCOREHEADER (12 bytes) or a longer one.

    Attributes:
        offset: of the pixels, in bytes.
        size: of the second header, in bytes.
        width: of the picture.
        height: of the picture.
        is_top_down: whether the first row is the highest.
        planes: always 1.
        bits: of a pixel.
        compression: biCompression.
        image_bytes: of the pixels, or 0.
        num_colors: of the palette, also if it is not said; the core header says none.
    """

    offset: int
    size: int
    width: int
    height: int
    is_top_down: bool
    planes: int
    bits: int
    compression: int
    image_bytes: int
    num_colors: int

    @classmethod
    def of(cls, data: bytes) -> 'BmpHeader':
        """Reads the headers; what is not there is 0."""

        def number(position: int, length: int) -> int:
            return int.from_bytes(data[position : position + length], 'little')

        offset, size = number(10, 4), number(14, 4)
        if size == _CORE_HEADER:
            bits = number(24, 2)
            colors = 2 ** min(bits, MOST_INDEX_BITS)
            return cls(offset, size, number(18, 2), number(20, 2), False, number(22, 2), bits, 0, 0, colors)
        height = int.from_bytes(data[22:26], 'little', signed=True)
        bits = number(28, 2)
        colors = number(46, 4) or 2 ** min(bits, MOST_INDEX_BITS)
        return cls(
            offset,
            size,
            number(18, 4),
            abs(height),
            height < 0,
            number(26, 2),
            bits,
            number(30, 4),
            number(34, 4),
            colors,
        )

    @property
    def has_indices(self) -> bool:
        """Whether pixels are indices of a palette."""
        return self.bits <= MOST_INDEX_BITS

    @property
    def row_bytes(self) -> int:
        """A row without compression fills whole words of 32 bits."""
        return (self.width * self.bits + 31) // 32 * 4

    @property
    def palette_start(self) -> int:
        return _FILE_HEADER + self.size

    @property
    def color_bytes(self) -> int:
        return 3 if self.size == _CORE_HEADER else 4


def problem(data: bytes) -> str | None:
    """What is wrong in the headers of a BMP, or None.

    Args:
        data: the file's bytes.
    """
    declared = int.from_bytes(data[2:6], 'little')
    if declared > len(data):
        return f'truncated: {counted(len(data), "byte")}, its header says {declared}'
    header = BmpHeader.of(data)
    if header.planes != 1:
        return f'{counted(header.planes, "plane")}, wanted 1'
    if header.bits not in _BITS_OF.get(header.compression, (header.bits,)):
        return f'{header.bits} bits a pixel with compression {header.compression}'
    return _problem_of_palette(header) or _problem_of_pixels(header, len(data))


def _problem_of_palette(header: BmpHeader) -> str | None:
    end = header.palette_start
    if header.has_indices:
        if header.num_colors > 2**header.bits:
            return f'a palette of {counted(header.num_colors, "colour")} for {counted(header.bits, "bit")} a pixel'
        # The core header does not say how many there are: as many as there is room for.
        end += header.color_bytes * (1 if header.size == _CORE_HEADER else header.num_colors)
    elif header.compression == BIT_FIELDS and header.size == _INFO_HEADER:
        end += _MASKS_BYTES
    if header.offset < end:
        return f'its pixels begin at byte {header.offset}, its header and palette end at {end}'
    return None


def _problem_of_pixels(header: BmpHeader, num_bytes: int) -> str | None:
    if header.compression not in (NOT_COMPRESSED, BIT_FIELDS):
        return None
    needed = header.row_bytes * header.height
    if header.offset + needed > num_bytes:
        return f'truncated: {counted(num_bytes, "byte")}, its pixels need {header.offset + needed}'
    # Some programs count the bytes without those that fill up the rows.
    least = header.width * header.bits // 8 * header.height
    if header.image_bytes and not least <= header.image_bytes <= needed + _SPARE_BYTES:
        size = f'{header.width}x{header.height} pixels of {header.bits} bits'
        return f'its header says {header.image_bytes} bytes for the {needed} of {size}'
    return None


def indices(header: BmpHeader, data: bytes) -> NDArray[np.uint8]:
    """The indices of a BMP without compression of which `problem` finds none.

    Returns:
        (H, W) uint8, the highest row first.
    """
    num_bytes = header.row_bytes * header.height
    rows = np.frombuffer(data, np.uint8, num_bytes, header.offset).reshape(header.height, header.row_bytes)
    # The leftmost pixel has the highest bits of a byte.
    shifts = np.arange(8 - header.bits, -1, -header.bits, dtype=np.uint8)
    found = (rows[..., None] >> shifts & np.uint8(2**header.bits - 1)).reshape(header.height, -1)[:, : header.width]
    return np.ascontiguousarray(found if header.is_top_down else found[::-1])


def palette(header: BmpHeader, data: bytes) -> NDArray[np.uint8]:
    """The colours of the indices.

    Returns:
        (n, 4) uint8 RGBA, all opaque.
    """
    num_bytes = header.color_bytes
    # The core header may claim more colours than fit in front of the pixels.
    end = min(header.palette_start + num_bytes * header.num_colors, header.offset)
    entries = np.frombuffer(data[header.palette_start : end], np.uint8)
    entries = entries[: len(entries) // num_bytes * num_bytes].reshape(-1, num_bytes)
    result = np.full((len(entries), 4), 255, np.uint8)
    result[:, :3] = entries[:, 2::-1]  # blue, green, red
    return result
