"""TFRecord files, written and read without TensorFlow.

A TFRecord file is a sequence of records, each framed as (all integers little-endian)

    uint64 length | uint32 masked CRC-32C of the length | the payload | uint32 masked CRC-32C of the payload

where masked(crc) = rotate_right(crc, 15) + 0xa282ead8 (tensorflow/core/lib/hash/crc32c.h). The mask comes from LevelDB,
whose authors found it "problematic to compute the CRC of a string that contains embedded CRCs": without it, the CRC
over data with its own CRC behind it would be the same constant for all data.

The length has a checksum of its own, because a reader needs it before it can find the payload's: with a damaged length
it would look for all later records in wrong places.
"""

import hashlib
import os
import struct
from typing import IO

import google_crc32c

from seg_pipeline.records.payload import DamagedRecordError

FRAME_BYTES = 16  # of each record, besides its payload: the length and two checksums
HEADER_BYTES = 12  # the length and its checksum
_LENGTH = struct.Struct('<Q')
_CRC = struct.Struct('<I')
_MASK_DELTA = 0xA282EAD8


def masked_crc(data: bytes) -> int:
    """The masked CRC-32C that TFRecord files store: 32 bits, unsigned."""
    crc: int = google_crc32c.value(data)
    # The shift to the left and the sum go beyond 32 bits, which C drops and Python keeps: hence the last step.
    return (((crc >> 15) | (crc << 17)) + _MASK_DELTA) & 0xFFFFFFFF


def frame(payload: bytes) -> bytes:
    """The bytes of one record of a TFRecord file."""
    length = _LENGTH.pack(len(payload))
    return b''.join((length, _CRC.pack(masked_crc(length)), payload, _CRC.pack(masked_crc(payload))))


class FrameWriter:
    """Writes records to a binary file, and counts and hashes them; `array_record.ChunkWriter` has the same methods.

    Attributes:
        num_records: records written so far.
        payload_bytes: their bytes without framing (what TFDS calls num_bytes).
        num_bytes: their bytes with framing: the size of the file.
    """

    def __init__(self, file: IO[bytes]) -> None:
        """Takes a file that is open for writing; the caller closes it."""
        self._file = file
        # Hashed while it is written, so that the file does not have to be read again for the manifest.
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
        """Appends one record. Raises `OSError` if it cannot be written."""
        framed = frame(payload)
        self._file.write(framed)
        self._digest.update(framed)
        self.num_records += 1
        self.payload_bytes += len(payload)

    def close(self) -> None:
        """Does nothing: the file is the caller's. `array_record.ChunkWriter` needs a call."""


def read_frame(file: IO[bytes], path: str, index: int, offset: int) -> bytes | None:
    """Reads the record at the current position of a file, and checks both checksums.

    Args:
        file: an open file.
        path: its name, for messages.
        index: the record's index in it, for messages.
        offset: its byte offset, for messages.

    Returns:
        The payload, or None at the end of the file.

    Raises:
        DamagedRecordError: if the record is cut off or a checksum is wrong. If only the payload's is, the file's
            position is then behind the record; otherwise at most behind its header.
    """
    length = read_length(file, path, index, offset)
    if length is None:
        return None
    # Compared with the size of the file before reading: a length with a right checksum may still be absurd, and
    # `read` would allocate it.
    left = os.fstat(file.fileno()).st_size - file.tell()
    if left < length + 4:
        raise DamagedRecordError(path, index, offset, f'the file ends after {left} of {length + 4} bytes')
    body = file.read(length + 4)
    _check_crc(body[:length], body[length:], 'data', path, index, offset)
    return body[:length]


def read_length(file: IO[bytes], path: str, index: int, offset: int) -> int | None:
    """Reads the header of the record at the current position of a file, and checks its checksum.

    Args:
        file: an open file.
        path: its name, for messages.
        index: the record's index in it, for messages.
        offset: its byte offset, for messages.

    Returns:
        The length of the payload in bytes, or None at the end of the file.

    Raises:
        DamagedRecordError: if the header is cut off or its checksum is wrong.
    """
    header = file.read(HEADER_BYTES)
    if not header:
        return None
    if len(header) < HEADER_BYTES:
        problem = f'the file ends after {len(header)} of {HEADER_BYTES} header bytes'
        raise DamagedRecordError(path, index, offset, problem)
    _check_crc(header[:8], header[8:], 'length', path, index, offset)
    length: int = _LENGTH.unpack(header[:8])[0]
    return length


def _check_crc(data: bytes, stored: bytes, what: str, path: str, index: int, offset: int) -> None:
    found, expected = masked_crc(data), _CRC.unpack(stored)[0]
    if found != expected:
        raise DamagedRecordError(path, index, offset, f'checksum of the {what} is {found:08x}, not {expected:08x}')
