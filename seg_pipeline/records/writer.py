"""Which file formats a shard can have, and the writer of each."""

from typing import IO

from seg_pipeline.records import array_record, tfrecord

TFRECORD, ARRAY_RECORD = 'tfrecord', 'array_record'
FILE_FORMATS = (TFRECORD, ARRAY_RECORD)

RecordWriter = tfrecord.FrameWriter | array_record.ChunkWriter


def open_writer(file_format: str, file: IO[bytes]) -> RecordWriter:
    """The writer of a format, into a file that the caller opened and closes; close the writer first.

    Args:
        file_format: one of `FILE_FORMATS`.
        file: a new file on this disk. ArrayRecord's module opens it again by its name.
    """
    if file_format == ARRAY_RECORD:
        return array_record.ChunkWriter(file.name)
    return tfrecord.FrameWriter(file)
