"""The records of a shard: TFRecord files, written and read without TensorFlow.

The functions that read take ArrayRecord files too, known by their names, and leave them to `array_records`.

A TFRecord file is a sequence of records, each framed as (all integers little-endian)

    uint64 length | uint32 masked CRC-32C of the length | the payload | uint32 masked CRC-32C of the payload

where masked(crc) = rotate_right(crc, 15) + 0xa282ead8 (tensorflow/core/lib/hash/crc32c.h). The payload is a
tf.train.Example, see `examples`.
"""

import dataclasses
import hashlib
import os
import struct
import types
from collections.abc import Iterable, Iterator, Sequence
from typing import IO, overload

import google_crc32c
import numpy as np

from seg_pipeline import examples, storage

FRAME_BYTES = 16  # length, its checksum and the payload's: what a record takes beside its payload
_LENGTH = struct.Struct('<Q')
_CRC = struct.Struct('<I')
_MASK_DELTA = 0xA282EAD8


class DamagedRecordError(ValueError):
    """A file whose bytes contradict themselves; the message names file, record and, of a TFRecord, byte offset."""

    def __init__(self, path: str, index: int, offset: int | None, problem: str) -> None:
        super().__init__(f'{path}: {place(index, offset)}: {problem}')
        self.index = index
        self.offset = offset


def place(index: int, offset: int | None) -> str:
    """How messages name a record: `record 3 at byte 4711`; ArrayRecord files tell no offsets."""
    return f'record {index}' if offset is None else f'record {index} at byte {offset}'


@dataclasses.dataclass(frozen=True)
class Payload:
    """The bytes of one record and where they are: `index` in its file, `offset` of a TFRecord's frame in bytes."""

    index: int
    offset: int | None
    data: bytes


@dataclasses.dataclass(frozen=True)
class Record:
    """One image and its mask.

    Attributes:
        index: place in the file, from 0.
        offset: byte offset of the record in the file; None in an ArrayRecord file.
        file_name: the image's path in the source folder.
        image: (H, W, 3) uint8 RGB.
        mask: (H, W) uint8 class ids.
        original_size: (height, width) of the source in pixels.
    """

    index: int
    offset: int | None
    file_name: str
    image: np.ndarray
    mask: np.ndarray
    original_size: tuple[int, int]


def masked_crc(data: bytes) -> int:
    """The masked CRC-32C that TFRecord files store: 32 bits, unsigned."""
    crc = google_crc32c.value(data)
    return (((crc >> 15) | (crc << 17)) + _MASK_DELTA) & 0xFFFFFFFF


def frame(payload: bytes) -> bytes:
    """One record of a TFRecord file."""
    length = _LENGTH.pack(len(payload))
    return b''.join((length, _CRC.pack(masked_crc(length)), payload, _CRC.pack(masked_crc(payload))))


class Writer:
    """Appends records to a binary file and keeps account of them.

    Attributes:
        num_records: records written so far.
        payload_bytes: their bytes without framing (what TFDS calls num_bytes).
        num_bytes: their bytes with framing: the size of the file.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self.num_records = 0
        self.payload_bytes = 0

    @property
    def num_bytes(self) -> int:
        return self.payload_bytes + FRAME_BYTES * self.num_records

    @property
    def sha256(self) -> str:
        """SHA-256 of everything written so far, in hex."""
        return self._digest.hexdigest()

    def write(self, payload: bytes) -> None:
        """Appends one record."""
        framed = frame(payload)
        self._file.write(framed)
        self._digest.update(framed)
        self.num_records += 1
        self.payload_bytes += len(payload)

    def close(self) -> None:
        """There is nothing to do; the file is the caller's."""


def read_payloads(path: str) -> Iterator[Payload]:
    """Reads a file record by record, checking the checksums of each.

    Raises:
        DamagedRecordError: at the first record that is cut off or whose checksum does not hold.
        OSError: if the file cannot be read.
    """
    if is_array_record(path):
        yield from _array_records().read_payloads(path)
        return
    with storage.local_copy(path) as local, open(local, 'rb') as file:
        offset = index = 0
        while (data := _read_frame(file, path, index, offset)) is not None:
            yield Payload(index, offset, data)
            offset += len(data) + FRAME_BYTES
            index += 1


def inspect(path: str) -> Iterator[Payload | DamagedRecordError]:
    """As `read_payloads`, but yields the error of a damaged record in its place and goes on behind it.

    Where a length is damaged nobody knows what follows: its error is the last. So is the first in an ArrayRecord file.

    Raises:
        OSError: if the file cannot be read.
    """
    if is_array_record(path):
        try:
            yield from read_payloads(path)
        except DamagedRecordError as error:
            yield error
        return
    with storage.local_copy(path) as local, open(local, 'rb') as file:
        offset = index = 0
        while True:
            try:
                data = _read_frame(file, path, index, offset)
            except DamagedRecordError as error:
                yield error
                if file.tell() <= offset + _LENGTH.size + _CRC.size:  # its contents were not read: no length to trust
                    return
            else:
                if data is None:
                    return
                yield Payload(index, offset, data)
            offset, index = file.tell(), index + 1


def is_array_record(path: str) -> bool:
    """Whether a file's name says that it is an ArrayRecord file."""
    return '.array_record' in os.path.basename(path)


def _array_records() -> types.ModuleType:
    from seg_pipeline import array_records

    return array_records


def _read_frame(file: IO[bytes], path: str, index: int, offset: int) -> bytes | None:
    """The payload of the record that begins where the file stands; None at the end of the file."""
    length = _read_length(file, path, index, offset)
    if length is None:
        return None
    left = os.fstat(file.fileno()).st_size - file.tell()
    if left < length + 4:  # asked before reading: the length may be larger than memory
        raise DamagedRecordError(path, index, offset, f'the file ends after {left} of {length + 4} bytes')
    body = file.read(length + 4)
    _check_crc(body[:length], body[length:], 'data', path, index, offset)
    return body[:length]


def _read_length(file: IO[bytes], path: str, index: int, offset: int) -> int | None:
    """The length of the payload that follows; None at the end of the file."""
    header = file.read(12)
    if not header:
        return None
    if len(header) < 12:
        raise DamagedRecordError(path, index, offset, f'the file ends after {len(header)} of 12 header bytes')
    _check_crc(header[:8], header[8:], 'length', path, index, offset)
    return _LENGTH.unpack(header[:8])[0]


def _check_crc(data: bytes, stored: bytes, what: str, path: str, index: int, offset: int) -> None:
    found, expected = masked_crc(data), _CRC.unpack(stored)[0]
    if found != expected:
        raise DamagedRecordError(path, index, offset, f'checksum of the {what} is {found:08x}, not {expected:08x}')


def read(path: str) -> Iterator[Record]:
    """Reads a shard as numpy arrays, without TensorFlow.

    Raises:
        DamagedRecordError: at the first record that is damaged or does not hold an image and a mask.
        OSError: if the file cannot be read.
    """
    for payload in read_payloads(path):
        try:
            yield decode(payload)
        except (ValueError, KeyError, IndexError) as error:
            raise DamagedRecordError(path, payload.index, payload.offset, f'{type(error).__name__}: {error}') from error


def decode(payload: Payload) -> Record:
    """Decodes one record.

    Raises:
        ValueError, KeyError, IndexError: if the payload is not a record of this package.
    """
    from seg_pipeline import images, masks, schemas

    stored = schemas.from_features(examples.parse(payload.data))
    return Record(
        index=payload.index,
        offset=payload.offset,
        file_name=stored.file_name,
        image=images.decode_image(stored.image, 'image'),
        mask=masks.decode(stored.mask, 'segmentation_mask'),
        original_size=stored.original_size,
    )


def offsets(path: str) -> list[int | None]:
    """The byte offset of every record, of which only the lengths are read.

    In an ArrayRecord file each is None, and `read_at` does without.

    Raises:
        DamagedRecordError: if a length is damaged; contents are checked when they are read.
        OSError: if the file cannot be read.
    """
    if is_array_record(path):
        return [payload.offset for payload in read_payloads(path)]
    found: list[int | None] = []
    offset = 0
    with storage.local_copy(path) as local, open(local, 'rb') as file:
        while (length := _read_length(file, path, len(found), offset)) is not None:
            found.append(offset)
            offset += length + FRAME_BYTES
            file.seek(offset)
    return found


class Shard(Sequence[Record]):
    """A shard as a sequence: `shard[k]` reads record k and nothing else; its length is known without reading any.

    For example `Shard(path)[-1].mask`, or `random.sample(Shard(path), 5)`. The index is made once, from the
    lengths; the file is opened for each record, so that a shard can be pickled and used by many threads.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._offsets = offsets(path)

    def __len__(self) -> int:
        return len(self._offsets)

    @overload
    def __getitem__(self, place: int) -> Record: ...

    @overload
    def __getitem__(self, place: slice) -> list[Record]: ...

    def __getitem__(self, place: int | slice) -> Record | list[Record]:
        """Reads one record, or a list of them. Raises `DamagedRecordError` if one is damaged."""
        found = range(len(self))[place]  # negative places, and IndexError beyond the end, as of every sequence
        if isinstance(found, range):
            return [self[index] for index in found]
        return read_at(self.path, found, self._offsets[found])


def read_at(path: str, index: int, offset: int | None) -> Record:
    """Reads one record.

    Args:
        path: the shard.
        index: the record's place in it, for `Record.index` and messages.
        offset: its byte offset, from `offsets`.

    Raises:
        DamagedRecordError: if no whole record begins there.
    """
    if offset is None:
        return decode(_array_records().read_payload(path, index))
    with storage.local_copy(path) as local, open(local, 'rb') as file:
        return _read_at(file, path, index, offset)


def _read_at(file: IO[bytes], path: str, index: int, offset: int) -> Record:
    file.seek(offset)
    data = _read_frame(file, path, index, offset)
    if data is None:
        raise DamagedRecordError(path, index, offset, 'the file ends before it')
    return decode(Payload(index, offset, data))


def read_some(path: str, indices: Iterable[int]) -> Iterator[Record]:
    """Reads some records of a shard, in their order; of those between them, only the lengths are read.

    Args:
        path: the shard.
        indices: places of records in it.

    Raises:
        DamagedRecordError: if one of them, or the length of one before it, is damaged or missing.
        OSError: if the file cannot be read.
    """
    if is_array_record(path):
        for wanted in sorted(set(indices)):
            yield read_at(path, wanted, None)
        return
    offset = index = 0
    with storage.local_copy(path) as local, open(local, 'rb') as file:
        for wanted in sorted(set(indices)):
            while index < wanted:
                file.seek(offset)
                length = _read_length(file, path, index, offset)
                if length is None:
                    raise DamagedRecordError(path, index, offset, f'the file ends before record {wanted}')
                offset += length + FRAME_BYTES
                index += 1
            yield _read_at(file, path, index, offset)
