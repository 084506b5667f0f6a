"""The files of records that TFDS writes, beside those of this package: how many records one has, and their bytes."""

import importlib.util
import os
from collections.abc import Iterator
from typing import Any

from seg_pipeline import errors
from seg_pipeline.records import array_record, reader, tfrecord
from seg_pipeline.records.payload import DamagedRecordError, Payload
from seg_pipeline.records.writer import ARRAY_RECORD, TFRECORD

PARQUET = 'parquet'
# Not riegeli: its package is in no registry.
FORMATS_OF_TFDS = (TFRECORD, ARRAY_RECORD, PARQUET)

_COLUMN = 'data'  # of TFDS's parquet files: serialized tf.train.Examples
_ROWS_AT_ONCE = 32


def check_installed(file_format: str) -> None:
    """Raises `UserError` where the package that reads a format is not installed, as on systems that are not Linux."""
    if file_format == ARRAY_RECORD and importlib.util.find_spec('array_record') is None:
        raise errors.UserError(
            'reading array_record files needs the package array_record, which is made for Linux; use a data set of '
            'tfrecord files here'
        )


def count(path: str, file_format: str) -> int:
    """Counts the records of a file on this disk; their contents are not read.

    Args:
        path: the file.
        file_format: one of `FORMATS_OF_TFDS`.

    Raises:
        DamagedRecordError: a length is damaged, the file is cut off, or it has no valid index.
        OSError: the file cannot be read.
    """
    if file_format == ARRAY_RECORD:
        return array_record.count(path)
    if file_format == PARQUET:
        with _parquet(path) as file:
            return int(file.metadata.num_rows)
    return _count_frames(path)


def payloads(path: str, file_format: str) -> Iterator[Payload]:
    """Reads a file on this disk record by record; memory holds a few of them.

    Args:
        path: the file.
        file_format: one of `FORMATS_OF_TFDS`.

    Raises:
        DamagedRecordError: at the first record that is damaged.
        OSError: the file cannot be read.
    """
    if file_format == ARRAY_RECORD:
        yield from array_record.read_payloads(path)
    elif file_format == PARQUET:
        yield from _parquet_payloads(path)
    else:
        yield from reader.read_frames(path)


def _count_frames(path: str) -> int:
    size = os.stat(path).st_size
    number = offset = 0
    with open(path, 'rb') as file:
        while (length := tfrecord.read_length(file, path, number, offset)) is not None:
            offset += length + tfrecord.FRAME_BYTES
            if offset > size:
                raise DamagedRecordError(path, number, offset, f'the file ends at byte {size}')
            file.seek(offset)
            number += 1
    return number


def _parquet(path: str) -> Any:
    # Imported here, because it is slow to load and only these files need it.
    import pyarrow
    from pyarrow import parquet

    try:
        return parquet.ParquetFile(path)
    except pyarrow.ArrowInvalid as error:
        raise DamagedRecordError(path, 0, None, str(error)) from error


def _parquet_payloads(path: str) -> Iterator[Payload]:
    import pyarrow

    index = 0
    with _parquet(path) as file:
        try:
            for batch in file.iter_batches(_ROWS_AT_ONCE, columns=[_COLUMN]):
                for value in batch.column(0):
                    yield Payload(index, None, value.as_py())
                    index += 1
        except (pyarrow.ArrowException, OSError) as error:
            raise DamagedRecordError(path, index, None, str(error)) from error
