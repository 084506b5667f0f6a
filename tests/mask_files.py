"""Writes mask files by hand, from the specifications: PNG, BMP and TIFF of every depth and type of pixels.

No library takes part, so what a file stores is known, whatever libraries make of it.
"""

import struct
import zlib
from collections.abc import Sequence

import numpy as np

_TIFF_TYPES = {'H': 3, 'I': 4}
NONE, LZW, DEFLATE, OLD_DEFLATE, PACK_BITS = 1, 5, 8, 32946, 32773


def packed(values: np.ndarray, bits: int, byte_order: str = '>') -> list[bytes]:
    """The rows of (H, W) or (H, W, channels) integers, `bits` each, the first in the highest bits of the first byte."""
    rows = values.reshape(len(values), -1)
    if bits > 8:
        kind = {16: 'u2', 32: 'u4', 64: 'u8'}[bits] if rows.dtype.kind != 'f' else f'f{bits // 8}'
        return [row.astype(byte_order + kind).tobytes() for row in rows]
    texts = [''.join(f'{int(value) & (2**bits - 1):0{bits}b}' for value in row) for row in rows]
    return [bytes(int(text[i : i + 8].ljust(8, '0'), 2) for i in range(0, len(text), 8)) for text in texts]


# PNG (W3C recommendation).


def png(
    values: np.ndarray,
    bits: int = 8,
    color_type: int = 0,
    palette: Sequence[Sequence[int]] | None = None,
    alpha: Sequence[int] = (),
    is_interlaced: bool = False,
) -> bytes:
    """A PNG; `color_type` is 0 grey, 2 RGB, 3 palette, 4 grey and alpha, 6 RGBA."""
    height, width = values.shape[:2]
    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    parts = [values[top::down, left::right] for top, left, down, right in passes] if is_interlaced else [values]
    rows = b''.join(b'\0' + row for part in parts if part.size for row in packed(part, bits))
    header = struct.pack('>IIBBBBB', width, height, bits, color_type, 0, 0, is_interlaced)
    found = b'\x89PNG\r\n\x1a\n' + _chunk(b'IHDR', header)
    if palette is not None:
        found += _chunk(b'PLTE', bytes(np.array(palette, np.uint8)))
    if len(alpha):
        found += _chunk(b'tRNS', bytes(alpha))
    return found + _chunk(b'IDAT', zlib.compress(rows)) + _chunk(b'IEND', b'')


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack('>I', len(content)) + kind + content + struct.pack('>I', zlib.crc32(kind + content))


# BMP (the Windows SDK: wingdi.h).


def bmp(
    values: np.ndarray,
    bits: int,
    palette: Sequence[Sequence[int]] = (),
    *,
    header: int = 40,
    is_top_down: bool = False,
    compression: int = 0,
    pixels: bytes | None = None,
) -> bytes:
    """A BMP: indices (H, W), or (H, W, channels) with blue first. `header` is 12, 40, 108 or 124 bytes."""
    height, width = values.shape[:2]
    rows = [row + bytes(-len(row) % 4) for row in packed(values, min(bits, 8))]
    body = b''.join(rows if is_top_down else rows[::-1]) if pixels is None else pixels
    colors = [tuple(color)[::-1] for color in palette]
    if header == 12:
        info = struct.pack('<IHHHH', 12, width, height, 1, bits)
        table = b''.join(bytes(color) for color in colors)
    else:
        sign = -1 if is_top_down else 1
        info = struct.pack(
            '<IiiHHIIiiII', header, width, sign * height, 1, bits, compression, len(body), 2835, 2835, len(colors), 0
        )
        info += bytes(header - 40)
        table = b''.join(bytes(color) + b'\0' for color in colors)
    offset = 14 + len(info) + len(table)
    return b'BM' + struct.pack('<IHHI', offset + len(body), 0, 0, offset) + info + table + body


# TIFF 6.0.


def tiff(
    values: np.ndarray,
    bits: int,
    photometric: int = 1,
    *,
    byte_order: str = '<',
    palette: Sequence[Sequence[int]] | None = None,
    compression: int = NONE,
    rows_per_strip: int | None = None,
    tile: int | None = None,
    sample_format: int | None = None,
    extra: Sequence[int] = (),
    fill_order: int | None = None,
    is_planar: bool = False,
    has_predictor: bool = False,
) -> bytes:
    """A TIFF of one image: (H, W), or (H, W, channels)."""
    height, width = values.shape[:2]
    samples = values.shape[2] if values.ndim == 3 else 1
    planes = [values[..., i] for i in range(samples)] if is_planar else [values]
    blocks = [block for plane in planes for block in _blocks(plane, rows_per_strip or height, tile)]
    if has_predictor:  # each value is stored as its difference from the one to the left
        wide = [block.astype(np.int64) for block in blocks]
        blocks = [np.diff(block, axis=1, prepend=0 * block[:, :1]) % 2**bits for block in wide]
    bodies = [_compressed(b''.join(packed(block, bits, byte_order)), compression) for block in blocks]
    if fill_order == 2:
        bodies = [bytes(int(f'{byte:08b}'[::-1], 2) for byte in body) for body in bodies]
    tags: dict[int, tuple[str, Sequence[int]]] = {
        256: ('I', [width]),
        257: ('I', [height]),
        258: ('H', [bits] * samples),
        259: ('H', [compression]),
        262: ('H', [photometric]),
        277: ('H', [samples]),
    }
    if tile:
        tags |= {322: ('I', [tile]), 323: ('I', [tile])}
    else:
        tags |= {278: ('I', [rows_per_strip or height])}
    if fill_order:
        tags[266] = 'H', [fill_order]
    if has_predictor:
        tags[317] = 'H', [2]
    if is_planar:
        tags[284] = 'H', [2]
    if palette is not None:
        full = np.zeros((2**bits, 3), np.int64)
        full[: len(palette)] = np.array(palette, np.int64) * 257
        tags[320] = 'H', full.T.ravel().tolist()
    if extra:
        tags[338] = 'H', list(extra)
    if sample_format:
        tags[339] = 'H', [sample_format] * samples
    return _tiff_file(tags, bodies, (324, 325) if tile else (273, 279), byte_order)


def _blocks(values: np.ndarray, rows_per_strip: int, tile: int | None) -> list[np.ndarray]:
    """The strips of an image, or its tiles, which are padded with zeros."""
    height, width = values.shape[:2]
    if not tile:
        return [values[top : top + rows_per_strip] for top in range(0, height, rows_per_strip)]
    more = [(0, -height % tile), (0, -width % tile), (0, 0)][: values.ndim]
    full = np.pad(values, more)
    tops, lefts = range(0, full.shape[0], tile), range(0, full.shape[1], tile)
    return [full[top : top + tile, left : left + tile] for top in tops for left in lefts]


def _tiff_file(
    tags: dict[int, tuple[str, Sequence[int]]], bodies: list[bytes], places: tuple[int, int], order: str
) -> bytes:
    """Header, blocks, long values, and the directory last."""
    found = (b'II' if order == '<' else b'MM') + struct.pack(order + 'HI', 42, 0)
    starts = []
    for body in bodies:
        starts.append(len(found))
        found += body + bytes(len(body) % 2)
    tags = {**tags, places[0]: ('I', starts), places[1]: ('I', [len(body) for body in bodies])}
    entries = b''
    for tag in sorted(tags):
        kind, numbers = tags[tag]
        value = struct.pack(f'{order}{len(numbers)}{kind}', *numbers)
        if len(value) > 4:
            place, found = len(found), found + value + bytes(len(value) % 2)
            value = struct.pack(order + 'I', place)
        entries += struct.pack(order + 'HHI', tag, _TIFF_TYPES[kind], len(numbers)) + value.ljust(4, b'\0')
    start = len(found)
    found += struct.pack(order + 'H', len(tags)) + entries + bytes(4)
    return found[:4] + struct.pack(order + 'I', start) + found[8:]


def _compressed(data: bytes, compression: int) -> bytes:
    if compression in (DEFLATE, OLD_DEFLATE):
        return zlib.compress(data)
    if compression == LZW:
        return _lzw(data)
    if compression == PACK_BITS:  # literal runs alone, of at most 128 bytes
        parts = [data[i : i + 128] for i in range(0, len(data), 128)]
        return b''.join(bytes([len(part) - 1]) + part for part in parts)
    return data


def _lzw(data: bytes) -> bytes:
    """Literal codes alone: with a clear code after each 200 bytes, the table stays below 9 bits and is never used."""
    codes = []
    for i, byte in enumerate(data):
        codes += [256, byte] if i % 200 == 0 else [byte]
    bits = ''.join(f'{code:09b}' for code in [*codes, 257])
    bits += '0' * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, 'big')
