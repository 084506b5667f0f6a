"""TFRecord files, written and read without TensorFlow.

A TFRecord file is a sequence of records, each framed as (all integers little-endian)

    uint64 length | uint32 masked CRC-32C of the length | the payload | uint32 masked CRC-32C of the payload

where masked(crc) = rotate_right(crc, 15) + 0xa282ead8 (tensorflow/core/lib/hash/crc32c.h). The mask is there because a
CRC over data that holds CRCs is a weak check: the authors of the format wanted to be able to nest it.
"""

import hashlib
import os
import struct
from typing import IO

import google_crc32c

from seg_pipeline.records.payload import DamagedRecordError

FRAME_BYTES = 16  # length, its checksum and the payload's: what a record takes beside its payload
HEADER_BYTES = 12  # length and its checksum
_LENGTH = struct.Struct('<Q')
_CRC = struct.Struct('<I')
_MASK_DELTA = 0xA282EAD8


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


def read_frame(file: IO[bytes], path: str, index: int, offset: int) -> bytes | None:
    """The payload of the record that begins where the file stands; None at the end of the file."""
    length = read_length(file, path, index, offset)
    if length is None:
        return None
    left = os.fstat(file.fileno()).st_size - file.tell()
    if left < length + 4:  # asked before reading: the length may be larger than memory
        raise DamagedRecordError(path, index, offset, f'the file ends after {left} of {length + 4} bytes')
    body = file.read(length + 4)
    _check_crc(body[:length], body[length:], 'data', path, index, offset)
    return body[:length]


def read_length(file: IO[bytes], path: str, index: int, offset: int) -> int | None:
    """The length of the payload that follows; None at the end of the file."""
    header = file.read(HEADER_BYTES)
    if not header:
        return None
    if len(header) < HEADER_BYTES:
        problem = f'the file ends after {len(header)} of {HEADER_BYTES} header bytes'
        raise DamagedRecordError(path, index, offset, problem)
    _check_crc(header[:8], header[8:], 'length', path, index, offset)
    return _LENGTH.unpack(header[:8])[0]


def _check_crc(data: bytes, stored: bytes, what: str, path: str, index: int, offset: int) -> None:
    found, expected = masked_crc(data), _CRC.unpack(stored)[0]
    if found != expected:
        raise DamagedRecordError(path, index, offset, f'checksum of the {what} is {found:08x}, not {expected:08x}')
