"""ArrayRecord files: the random-access format that `tfds.data_source` and Grain read.

They are written and read by the package `array_record` (github.com/google/array_record), which opens files by path and
raises RuntimeError for everything. A file is a sequence of chunks, each with a hash, and an index at its end.
"""

import contextlib
import errno
import importlib.util
from collections.abc import Iterator
from typing import Any

from seg_pipeline import errors, storage
from seg_pipeline.plurals import counted
from seg_pipeline.records.payload import DamagedRecordError, Payload
from seg_pipeline.storage import checksums

# One record in each chunk, so that a record can be read, and its hash checked, without any other. Not compressed,
# because PNG and JPEG are already, and so that the bytes of a file do not depend on the version of a compressor.
_WRITER_OPTIONS = 'group_size:1,uncompressed'
# No reading ahead: otherwise the reader would meet damage before the record that is asked for, and name a wrong one.
_READER_OPTIONS = 'readahead_buffer_size:0,max_parallelism:0'


def check_installed() -> None:
    """Checks that the format's package is installed, which exists for Linux only.

    Raises:
        UserError: if it is not.
    """
    if importlib.util.find_spec('array_record') is None:
        raise errors.UserError(
            '--file_format=array_record needs the package array_record, which is made for Linux; use tfrecord here'
        )


class ChunkWriter:
    """Writes one file.

    Attributes:
        num_records, payload_bytes: as of `tfrecord.FrameWriter`.
        num_bytes, sha256: as of `tfrecord.FrameWriter`, but 0 and empty until `close`.
    """

    def __init__(self, path: str) -> None:
        """Creates a file on this disk."""
        # Imported here, because the package is optional.
        from array_record.python import array_record_module

        self._path = path
        self._writer = array_record_module.ArrayRecordWriter(path, _WRITER_OPTIONS)
        self.num_records = 0
        self.payload_bytes = 0
        self.num_bytes = 0
        self.sha256 = ''

    def write(self, payload: bytes) -> None:
        """Appends one record. Raises `OSError` if it cannot be written."""
        with _os_errors(self._path):
            self._writer.write(payload)
        self.num_records += 1
        self.payload_bytes += len(payload)

    def close(self) -> None:
        """Completes the file. Raises `OSError` if it could not be written completely."""
        with _os_errors(self._path):
            self._writer.close()
        # Read again for its hash: the package writes to the path itself, and the bytes never pass through here.
        found = checksums.digest(self._path)
        self.num_bytes, self.sha256 = found.num_bytes, found.sha256


@contextlib.contextmanager
def _os_errors(path: str) -> Iterator[None]:
    """Raises the package's RuntimeErrors as OSErrors, which is what callers expect of a file."""
    try:
        yield
    except RuntimeError as error:
        raise OSError(errno.EIO, str(error).partition(';')[0], path) from error


def read_payloads(path: str) -> Iterator[Payload]:
    """Reads a file record by record and checks the hash of each.

    Args:
        path: the file, on this disk or in a remote store.

    Raises:
        DamagedRecordError: at the first damaged record, or at record 0 if the file has no valid index.
        OSError: if the file cannot be read.
    """
    with storage.local_copy(path) as local, _open(local, path) as reader:
        for index in range(reader.num_records()):
            yield _read(reader, path, index)


def count(path: str) -> int:
    """The number of records of a file on this disk, by its index.

    Raises:
        DamagedRecordError: if the file has no valid index.
        OSError: if the file cannot be read.
    """
    with _open(path, path) as reader:
        return int(reader.num_records())


def read_payload(path: str, index: int) -> Payload:
    """Reads one record.

    Args:
        path: the file, on this disk or in a remote store.
        index: which record, from 0.

    Raises:
        DamagedRecordError: if the record is damaged, or the file ends before it.
        OSError: if the file cannot be read.
    """
    with storage.local_copy(path) as local, _open(local, path) as reader:
        if index >= reader.num_records():
            raise DamagedRecordError(path, index, None, f'the file has {counted(reader.num_records(), "record")}')
        return _read(reader, path, index)


@contextlib.contextmanager
def _open(local: str, path: str) -> Iterator[Any]:
    """The package's reader of a file; closed at the end, whoever still holds it, as the traceback of an error does."""
    from array_record.python import array_record_module

    # Opened only to raise the OSError: the package treats a file that it cannot open as one without records.
    with open(local, 'rb'):
        pass
    reader = None
    try:
        try:
            reader = array_record_module.ArrayRecordReader(local, _READER_OPTIONS)
            if not reader.ok():  # the reason is in the error of a read
                reader.read_all()
        except RuntimeError as error:
            raise DamagedRecordError(path, 0, None, str(error)) from error
        yield reader
    finally:
        if reader is not None:
            with contextlib.suppress(RuntimeError):  # of a damaged file it was told already
                reader.close()


def _read(reader: Any, path: str, index: int) -> Payload:
    try:
        data = reader.read([index])[0]
    except (RuntimeError, IndexError) as error:
        raise DamagedRecordError(path, index, None, str(error)) from error
    # No record is empty. The package takes a block of its own that was copied to another place for one that is.
    if not data:
        raise DamagedRecordError(path, index, None, 'an empty record')
    return Payload(index, None, data)
