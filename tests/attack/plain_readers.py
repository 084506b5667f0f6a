"""Reads the stored values of masks without any library: what files say, for comparison with what the program reads.

Short and slow, from the specifications, for the ordinary forms only: None is returned for everything else.
"""

import struct
import zlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_PASSES = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
_MOST_PIXELS = 1 << 20
_MAT_INTEGERS = {1: 'i1', 2: 'u1', 3: 'i2', 4: 'u2', 5: 'i4', 6: 'u4', 7: 'f4', 9: 'f8', 12: 'i8', 13: 'u8'}


def png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yields name and content of each chunk."""
    at = 8
    while at + 12 <= len(data):
        (length,) = struct.unpack_from('>I', data, at)
        yield data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        at += 12 + length


def png(data: bytes) -> NDArray[np.integer] | None:
    """The values of a PNG: (H, W), or (H, W, channels). Raises any error if it is damaged."""
    chunks = list(png_chunks(data))
    width, height, bits, color_type, _, _, is_interlaced = struct.unpack('>IIBBBBB', chunks[0][1])
    if width * height > _MOST_PIXELS:
        return None
    channels = _PNG_CHANNELS[color_type]
    rows = zlib.decompress(b''.join(content for name, content in chunks if name == b'IDAT'))
    values = np.zeros((height, width, channels), np.uint16)
    at = 0
    for top, left, down, right in _PASSES if is_interlaced else ((0, 0, 1, 1),):
        part = values[top::down, left::right]
        if part.size:
            size = (part.shape[1] * channels * bits + 7) // 8
            raw = _unfiltered(rows[at:], part.shape[0], size, max(1, channels * bits // 8))
            at += part.shape[0] * (size + 1)
            part[...] = _unpacked(raw, bits, part.shape[1] * channels, '>').reshape(part.shape)
    return values[..., 0] if channels == 1 else values


def _unfiltered(rows: bytes, height: int, size: int, step: int) -> NDArray[np.uint8]:
    """Undoes the filters of PNG's scanlines (PNG specification, 9.2)."""
    result = np.zeros((height + 1, size + step), np.int64)  # a row above, and a pixel to the left, of zeros
    for y in range(height):
        kind = rows[y * (size + 1)]
        line = np.frombuffer(rows, np.uint8, size, y * (size + 1) + 1).astype(np.int64)
        above = result[y]
        here = result[y + 1]
        if kind in (0, 2):
            here[step:] = (line + (above[step:] if kind else 0)) & 255
            continue
        for x in range(size):
            a, b, c = int(here[x]), int(above[x + step]), int(above[x])
            here[x + step] = (line[x] + _predicted(kind, a, b, c)) & 255
    return result[1:, step:].astype(np.uint8)


def _predicted(kind: int, a: int, b: int, c: int) -> int:
    if kind == 1:
        return a
    if kind == 3:
        return (a + b) // 2
    if kind != 4:
        raise ValueError(f'filter {kind}')
    p = a + b - c
    return min((abs(p - a), 0, a), (abs(p - b), 1, b), (abs(p - c), 2, c))[2]


def _unpacked(rows: NDArray[np.uint8], bits: int, count: int, order: str) -> NDArray[np.integer]:
    """(H, bytes) to the first `count` values of each row, the first in the highest bits."""
    if bits == 16:
        return np.ascontiguousarray(rows).view(f'{order}u2')[:, :count].astype(np.uint16)
    if bits == 8:
        return rows[:, :count]
    shifts = np.arange(8 - bits, -1, -bits)
    return ((rows[..., None] >> shifts) & (2**bits - 1)).reshape(len(rows), -1)[:, :count]


def bmp(data: bytes) -> NDArray[np.integer] | None:
    """The values of an uncompressed BMP: (H, W) indices, or (H, W, 3) RGB."""
    offset, header, width, height = struct.unpack_from('<IIii', data, 10)
    planes, bits, compression = struct.unpack_from('<HHI', data, 26)
    if (
        header < 40
        or offset < 14 + header
        or compression
        or planes != 1
        or bits not in (1, 4, 8, 24)
        or width <= 0
        or height == 0
    ):
        return None
    if width * abs(height) > _MOST_PIXELS:
        return None
    size = (width * bits + 31) // 32 * 4
    rows = np.frombuffer(data, np.uint8, size * abs(height), offset).reshape(abs(height), size)
    rows = rows[::-1] if height > 0 else rows
    if bits == 24:
        return rows[:, : 3 * width].reshape(abs(height), width, 3)[..., ::-1]
    return _unpacked(rows, bits, width, '<')


def _tiff_tags(data: bytes) -> dict[int, tuple[int, ...]]:
    """The tags of the first directory that hold integers. Raises `ValueError` if one is there twice."""
    order = '<' if data[:2] == b'II' else '>'
    (at,) = struct.unpack_from(f'{order}I', data, 4)
    (count,) = struct.unpack_from(f'{order}H', data, at)
    tags: dict[int, tuple[int, ...]] = {}
    for i in range(count):
        tag, kind, number = struct.unpack_from(f'{order}HHI', data, at + 2 + 12 * i)
        if tag in tags:
            raise ValueError(f'tag {tag} is there twice')
        if kind in (3, 4) and number < 10_000:
            code = 'H' if kind == 3 else 'I'
            place = at + 2 + 12 * i + 8
            if struct.calcsize(code) * number > 4:
                (place,) = struct.unpack_from(f'{order}I', data, place)
            tags[tag] = struct.unpack_from(f'{order}{number}{code}', data, place)
    return tags


def tiff(data: bytes) -> NDArray[np.integer] | None:
    """The values of a TIFF of one channel, or of RGB, in strips or tiles that are not compressed."""
    tags = _tiff_tags(data)
    plain = {259: 1, 266: 1, 274: 1, 339: 1, 284: 1, 338: 0}
    if any(tags.get(tag, (value,)) != (value,) * len(tags.get(tag, (0,))) for tag, value in plain.items()):
        return None
    (width,), (height,), (samples,) = tags[256], tags[257], tags.get(277, (1,))
    bits = tags.get(258, (1,))[0]
    wanted = {1: ((1,), (3,)), 3: ((2,),)}.get(samples, ())
    if tags.get(262) not in wanted or bits not in (1, 2, 4, 8, 16) or width * height > _MOST_PIXELS:
        return None
    if samples == 3 and bits != 8:
        return None
    order = '<' if data[:2] == b'II' else '>'
    if 322 in tags:
        return _tiles(data, tags, bits, order)[:height, :width] if samples == 1 else None
    body = b''.join(data[start : start + size] for start, size in zip(tags[273], tags[279], strict=True))
    row = (width * bits * samples + 7) // 8
    rows = np.frombuffer(body, np.uint8, row * height).reshape(height, row)
    values = _unpacked(rows, bits, width * samples, order)
    return values if samples == 1 else values.reshape(height, width, samples)


def _tiles(data: bytes, tags: dict[int, tuple[int, ...]], bits: int, order: str) -> NDArray[np.integer]:
    """The values of all tiles of one channel side by side: those at the right and at the bottom stand out."""
    (tile_width,), (tile_height,) = tags[322], tags[323]
    across, down = -(-tags[256][0] // tile_width), -(-tags[257][0] // tile_height)
    if across * tile_width * down * tile_height > 4 * _MOST_PIXELS:
        raise ValueError(f'tiles of {tile_width} x {tile_height}')
    row = (tile_width * bits + 7) // 8
    values = np.zeros((down * tile_height, across * tile_width), np.uint16)
    for i in range(down * across):
        rows = np.frombuffer(data, np.uint8, row * tile_height, tags[324][i]).reshape(tile_height, row)
        top, left = i // across * tile_height, i % across * tile_width
        values[top : top + tile_height, left : left + tile_width] = _unpacked(rows, bits, tile_width, order)
    return values


def tiff_palette(data: bytes) -> NDArray[np.uint8]:
    """The colours of a TIFF of indices, (n, 3) RGB."""
    return (np.array(_tiff_tags(data)[320]).reshape(3, -1).T >> 8).astype(np.uint8)


def is_packed_tiff(data: bytes) -> bool:
    """Whether a TIFF of 8 bits a channel is compressed; by its tags, which may be wrong."""
    tags = _tiff_tags(data)
    return tags.get(259, (1,)) != (1,) and set(tags.get(258, (1,))) == {8} and tags.get(262) in ((1,), (2,))


def mat(data: bytes) -> NDArray[np.generic] | None:
    """The array `groundtruth` of a little-endian MATLAB 5 file; None also if there are several of that name."""
    if data[126:128] != b'IM':
        return None
    found = list(_mat_arrays(data[128:], b'groundtruth'))
    return found[0] if len(found) == 1 else None


def _mat_elements(data: bytes, *, is_aligned: bool) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 8 <= len(data):
        kind, size = struct.unpack_from('<II', data, at)
        if kind >> 16:  # a small element: its size is in the upper half of the type
            yield kind & 0xFFFF, data[at + 4 : at + 4 + (kind >> 16)]
            at += 8
        else:
            yield kind, data[at + 8 : at + 8 + size]
            at += 8 + size + (-size % 8 if is_aligned else 0)


def _mat_arrays(data: bytes, wanted: bytes) -> Iterator[NDArray[np.generic]]:
    for kind, content in _mat_elements(data, is_aligned=False):
        if kind == 15:
            yield from _mat_arrays(zlib.decompressobj().decompress(content, 1 << 24), wanted)
        elif kind == 14:
            flags, dimensions, name, *values = _mat_elements(content, is_aligned=True)
            if name[1] == wanted and 6 <= flags[1][0] <= 15:  # of numbers
                shape = np.frombuffer(dimensions[1], '<i4')
                if shape.min() < 0:
                    raise ValueError(f'shape {shape}')
                found = np.frombuffer(values[0][1], f'<{_MAT_INTEGERS[values[0][0]]}')
                yield found[: int(np.prod(shape))].reshape(shape, order='F')
