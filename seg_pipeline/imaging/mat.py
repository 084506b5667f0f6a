"""Reads the mask of a MATLAB 5 file: its two-dimensional array of numbers `groundtruth`.

Own code, because a decoder that meets any bytes must neither end its process nor take memory without bound. It reads
what a mask can be (dense real numbers and logicals) and skips everything else by its length.

The format (MATLAB, MAT-File Format, chapter 1): a header of 128 bytes, then elements. An element is a tag (type and
number of bytes, 4 bytes each), data, and zeros up to a multiple of 8. An array is an element whose data are elements:
flags, dimensions, name, numbers in column-major order. A compressed element is the zlib stream of one array.
"""

import dataclasses
import math
import zlib
from collections.abc import Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from seg_pipeline.imaging import rejects
from seg_pipeline.imaging.rejects import RejectError
from seg_pipeline.plurals import counted

ARRAY = 'groundtruth'
VERSION_7_3 = b'MATLAB 7.3 MAT-file'  # HDF5 behind a header that looks like the others

_HEADER_BYTES, _TAG_BYTES = 128, 8
_MATRIX, _COMPRESSED = 14, 15  # types of elements
_NUMBERS = {1: 'i1', 2: 'u1', 3: 'i2', 4: 'u2', 5: 'i4', 6: 'u4', 7: 'f4', 9: 'f8', 12: 'i8', 13: 'u8'}
_OTHER_CLASSES = {1: 'cell', 2: 'struct', 3: 'object', 4: 'char', 5: 'sparse'}
_NUMERIC_CLASSES = range(6, 16)  # double to uint64; their numbers may be stored in a narrower type than the class
_COMPLEX_FLAG = 0x08
# Far more than any array of a mask has: what is longer is damage, and nothing is unpacked for it.
_MAX_ELEMENTS, _MAX_HEADER_FIELD = 10_000, 4096
_PIECE_BYTES = 1 << 16
_BAND_PIXELS = 1 << 18


class _DamagedError(Exception):
    """The file contradicts itself; the message says how."""


class _Source(Protocol):
    def read(self, num_bytes: int) -> bytes | memoryview:
        """The next bytes, exactly as many as asked for."""


class _Stored:
    """An element as it is."""

    def __init__(self, data: memoryview) -> None:
        self._data, self._position = data, 0

    def read(self, num_bytes: int) -> memoryview:
        start, self._position = self._position, self._position + num_bytes
        if self._position > len(self._data):
            raise _DamagedError(f'an array of {counted(len(self._data), "byte")} needs {self._position}')
        return self._data[start : self._position]


class _Inflated:
    """A compressed element, unpacked no further than it is read."""

    def __init__(self, data: memoryview) -> None:
        self._pieces = (bytes(data[start : start + _PIECE_BYTES]) for start in range(0, len(data), _PIECE_BYTES))
        self._stream = zlib.decompressobj()
        self._packed = b''

    def read(self, num_bytes: int) -> bytes:
        parts: list[bytes] = []
        missing = num_bytes
        while missing and not self._stream.eof:
            self._packed = self._packed or next(self._pieces, b'')
            ended = not self._packed
            parts.append(self._stream.decompress(self._packed, missing))
            self._packed = self._stream.unconsumed_tail
            missing -= len(parts[-1])
            if ended and not parts[-1]:
                break
        if missing:
            raise _DamagedError(f'a compressed array ends {counted(missing, "byte")} too early')
        return b''.join(parts)

    def check_end(self) -> None:
        """Reads the checksum, which is behind the last byte."""
        while not self._stream.eof:
            self._packed = self._packed or next(self._pieces, b'')
            if not self._packed:
                raise _DamagedError('a compressed array has no checksum')
            if self._stream.decompress(self._packed, 1):
                raise _DamagedError('a compressed array has bytes behind its end')
            self._packed = self._stream.unconsumed_tail


@dataclasses.dataclass(frozen=True)
class _Array:
    """An array whose numbers are not read yet: they are what `source` gives next."""

    name: str
    shape: tuple[int, ...]
    kind: str  # `numbers`, or what else it is
    order: str
    num_bytes: int
    source: _Source

    def __str__(self) -> str:
        return f'{self.name} {self.shape}' + ('' if self.kind == 'numbers' else f' {self.kind}')


def decode(data: bytes, path: str, max_pixels: int) -> NDArray[np.unsignedinteger]:
    """Reads the array `groundtruth`.

    Beside the file it takes the memory of the result and of a band of columns.

    Args:
        data: the file's bytes.
        path: its name, for messages.
        max_pixels: the largest height x width that is read; no more is unpacked.

    Returns:
        (H, W) of the narrowest unsigned type that holds all values.

    Raises:
        RejectError: DAMAGED, TOO_LARGE, UNKNOWN_FORMAT for version 7.3, or UNSUPPORTED_MASK if there is no such array
            or a value is negative or fractional.
    """
    if data.startswith(VERSION_7_3):
        message = f"{path}: a MATLAB 7.3 file, which is HDF5: save it with save(..., '-v7')"
        raise RejectError(rejects.UNKNOWN_FORMAT, message)
    try:
        arrays = list(_arrays(memoryview(data)))
        found = [array for array in arrays if array.name == ARRAY]
        if len(found) > 1:
            raise _DamagedError(f'{len(found)} arrays are called {ARRAY}')
        if found:
            _check_size(found[0], path, max_pixels)
        if not found or found[0].kind != 'numbers' or len(found[0].shape) != 2 or not math.prod(found[0].shape):
            holds = ', '.join(map(str, arrays)) or 'nothing'
            message = f'{path}: holds no two-dimensional array of numbers `{ARRAY}`; it holds {holds}'
            raise RejectError(rejects.UNSUPPORTED_MASK, message)
        return _read_ids(found[0], path)
    except (_DamagedError, zlib.error) as error:
        raise RejectError(rejects.DAMAGED, f'{path}: cannot be read as MATLAB: {error}') from error


def _check_size(array: _Array, path: str, max_pixels: int) -> None:
    pixels = math.prod(array.shape)
    if pixels > max_pixels:
        message = f'{path}: an array of shape {array.shape} is {pixels} pixels, more than --max_pixels={max_pixels}'
        raise RejectError(rejects.TOO_LARGE, message)


def _arrays(data: memoryview) -> Iterator[_Array]:
    """All arrays of a file that have a name, their numbers not read."""
    mark = bytes(data[_HEADER_BYTES - 2 : _HEADER_BYTES])
    if mark not in (b'IM', b'MI'):
        raise _DamagedError(f'its header ends with {mark!r}, wanted IM or MI')
    order = '<' if mark == b'IM' else '>'
    position = _HEADER_BYTES
    for _ in range(_MAX_ELEMENTS):
        if position == len(data):
            return
        kind, num_bytes = _integers(data[position : position + _TAG_BYTES], order, 2)
        start, position = position + _TAG_BYTES, position + _TAG_BYTES + num_bytes
        if position > len(data):
            raise _DamagedError(
                f'truncated: {counted(len(data), "byte")}, the array at byte {start} ends at {position}'
            )
        if kind not in (_MATRIX, _COMPRESSED):
            raise _DamagedError(f'an element of type {kind} at byte {start - _TAG_BYTES}, wanted an array')
        source: _Source = _Stored(data[start:position])
        if kind == _COMPRESSED:
            source = _Inflated(data[start:position])
            kind, num_bytes = _integers(source.read(_TAG_BYTES), order, 2)
            if kind != _MATRIX:
                raise _DamagedError(f'a compressed element of type {kind}, wanted an array')
        if num_bytes and (array := _read_header(source, num_bytes, order)):
            yield array
    raise _DamagedError(f'more than {_MAX_ELEMENTS} arrays')


def _read_header(source: _Source, num_bytes: int, order: str) -> _Array | None:
    """What precedes the numbers of an array; None for one of a class that has no such header."""
    flags, _ = _integers(_read_field(source, order), order, 2)
    array_class = flags & 0xFF
    if array_class not in _OTHER_CLASSES and array_class not in _NUMERIC_CLASSES:
        return None
    sizes = _read_field(source, order)
    shape = tuple(_integers(sizes, order, len(sizes) // 4))
    name = bytes(_read_field(source, order)).decode('latin-1')
    kind = _OTHER_CLASSES.get(array_class, 'complex' if flags >> 8 & _COMPLEX_FLAG else 'numbers')
    return _Array(name, shape, kind, order, num_bytes, source)


def _read_field(source: _Source, order: str) -> bytes | memoryview:
    """The data of a short element inside of an array."""
    _, num_bytes, small = _read_tag(source, order)
    if small is not None:
        return small
    if num_bytes > _MAX_HEADER_FIELD:
        raise _DamagedError(f'{counted(num_bytes, "byte")} in the header of an array')
    return source.read(num_bytes + -num_bytes % 8)[:num_bytes]


def _read_tag(source: _Source, order: str) -> tuple[int, int, bytes | memoryview | None]:
    """Type and number of bytes of an element, and its data if they are within the tag: at most 4 bytes may be."""
    tag = source.read(_TAG_BYTES)
    kind, num_bytes = _integers(tag, order, 2)
    if not kind >> 16:
        return kind, num_bytes, None
    kind, num_bytes = kind & 0xFFFF, kind >> 16
    if num_bytes > 4:
        raise _DamagedError(f'{counted(num_bytes, "byte")} in an element of 4')
    return kind, num_bytes, tag[4 : 4 + num_bytes]


def _read_ids(array: _Array, path: str) -> NDArray[np.unsignedinteger]:
    kind, num_bytes, small = _read_tag(array.source, array.order)
    height, width = array.shape
    if kind not in _NUMBERS:
        raise _DamagedError(f'numbers of type {kind}')
    dtype = np.dtype(array.order + _NUMBERS[kind])
    if num_bytes != height * width * dtype.itemsize:
        raise _DamagedError(
            f'{counted(num_bytes, "byte")} of numbers, its shape {array.shape} needs {height * width} of {dtype}'
        )
    source = array.source if small is None else _Stored(memoryview(small))
    ids: NDArray[np.unsignedinteger] = np.empty((height, width), np.uint8)
    step = max(1, _BAND_PIXELS // height)
    for first in range(0, width, step):
        last = min(first + step, width)
        numbers = np.frombuffer(source.read((last - first) * height * dtype.itemsize), dtype)
        narrowest = np.min_scalar_type(_check_ids(numbers, path))
        if narrowest.itemsize > ids.itemsize:
            ids = ids.astype(narrowest)
        ids[:, first:last] = numbers.reshape(last - first, height).T
    if isinstance(array.source, _Inflated):
        if small is None:
            array.source.read(-num_bytes % 8)
        array.source.check_end()
    return ids


def _check_ids(numbers: NDArray[np.generic], path: str) -> int:
    """The largest number of a band, all of which must be ids."""
    smallest, largest = numbers.min(), numbers.max()
    # MATLAB saves doubles by default, so integers stored as floats are accepted. NaN is neither smaller nor larger.
    is_float = numbers.dtype.kind == 'f'
    if not smallest >= 0 or (is_float and not (largest < 2**63 and np.array_equal(numbers, np.floor(numbers)))):
        raise RejectError(rejects.UNSUPPORTED_MASK, f'{path}: holds fractional or negative ids')
    return int(largest)


def _integers(data: bytes | memoryview, order: str, count: int) -> list[int]:
    if len(data) < 4 * count:
        raise _DamagedError(f'{counted(len(data), "byte")} where {4 * count} are needed')
    result: list[int] = np.frombuffer(data, order + 'u4', count).tolist()
    return result
