"""ArrayRecord files: the random-access format that `tfds.data_source` and Grain read.

The module of the format works on paths, and its files carry a hash for each chunk, which is one record here. Chunks are
stored uncompressed: PNG and JPEG are compressed already, and so the bytes depend on no compression library.
"""

import contextlib
import errno
import importlib.util
from collections.abc import Iterator
from typing import Any

from seg_pipeline import errors, storage
from seg_pipeline.records.payload import DamagedRecordError, Payload
from seg_pipeline.storage import checksums

_WRITER_OPTIONS = 'group_size:1,uncompressed'
# Without reading ahead: the reader then meets damage at the record that is asked for, not before it.
_READER_OPTIONS = 'readahead_buffer_size:0,max_parallelism:0'


def check_installed() -> None:
    """Raises `UserError` where the format's module is missing: it is made for Linux only."""
    if importlib.util.find_spec('array_record') is None:
        raise errors.UserError(
            '--file_format=array_record needs the package array_record, which is made for Linux; use tfrecord here'
        )


class Writer:
    """Writes one file; the attributes are those of `tfrecord.Writer`, final after `close`."""

    def __init__(self, path: str) -> None:
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
        """Ends the file. Raises `OSError` if it could not be written whole."""
        with _os_errors(self._path):
            self._writer.close()
        found = checksums.digest(self._path)
        self.num_bytes, self.sha256 = found.num_bytes, found.sha256


@contextlib.contextmanager
def _os_errors(path: str) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:  # the module's only exception
        raise OSError(errno.EIO, str(error).partition(';')[0], path) from error


def read_payloads(path: str) -> Iterator[Payload]:
    """Reads a file record by record; the hash of each is checked.

    Raises:
        DamagedRecordError: at the first record that is damaged, or at record 0 if the file as a whole is.
        OSError: if the file cannot be read.
    """
    with storage.local_copy(path) as local:
        reader = _open(local, path)
        for index in range(reader.num_records()):
            yield _read(reader, path, index)


def read_payload(path: str, index: int) -> Payload:
    """Reads one record. Raises as `read_payloads`, and `DamagedRecordError` if the file ends before it."""
    with storage.local_copy(path) as local:
        reader = _open(local, path)
        if index >= reader.num_records():
            raise DamagedRecordError(path, index, None, f'the file has {reader.num_records()} records')
        return _read(reader, path, index)


def _open(local: str, path: str) -> Any:
    from array_record.python import array_record_module

    with open(local, 'rb'):
        pass  # the module takes a file that it cannot open for one without records
    try:
        reader = array_record_module.ArrayRecordReader(local, _READER_OPTIONS)
        if not reader.ok():  # it says why only when something is read
            reader.read_all()
    except RuntimeError as error:
        raise DamagedRecordError(path, 0, None, str(error)) from error
    return reader


def _read(reader: Any, path: str, index: int) -> Payload:
    try:
        return Payload(index, None, reader.read([index])[0])
    except (RuntimeError, IndexError) as error:
        raise DamagedRecordError(path, index, None, str(error)) from error
