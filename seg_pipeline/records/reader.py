"""Reads the shards of a data set: records as numpy arrays, without TensorFlow, in order or by index.

TFRecord and ArrayRecord files are told apart by their names, and read by `tfrecord` and `array_record`. The payload of
each record is a tf.train.Example (`example_proto`) whose features have the names of `schemas`.
"""

import dataclasses
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import IO, overload

import numpy as np
from numpy.typing import NDArray

from seg_pipeline import storage
from seg_pipeline.imaging import images, masks
from seg_pipeline.records import array_record, example_proto, schemas, tfrecord
from seg_pipeline.records.payload import DamagedRecordError, Payload


@dataclasses.dataclass(frozen=True)
class Record:
    """One image and its mask.

    Attributes:
        index: the record's index in its file, from 0.
        offset: byte offset of the record in the file; None in an ArrayRecord file.
        file_name: the image's path in the source folder.
        image: (H, W, 3) uint8 RGB.
        mask: (H, W) uint8 class ids.
        original_size: (height, width) of the source image in pixels.
    """

    index: int
    offset: int | None
    file_name: str
    image: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    original_size: tuple[int, int]


def read_payloads(path: str) -> Iterator[Payload]:
    """Reads a file record by record and checks the checksums of each.

    Args:
        path: the shard, on this disk or in a remote store.

    Raises:
        DamagedRecordError: at the first record that is cut off or has a wrong checksum.
        OSError: if the file cannot be read.
    """
    if is_array_record(path):
        yield from array_record.read_payloads(path)
    else:
        yield from read_frames(path)


def read_frames(path: str) -> Iterator[Payload]:
    """As `read_payloads`, of a TFRecord file of any name."""
    with storage.local_copy(path) as local, open(local, 'rb') as file:
        offset = index = 0
        while (data := tfrecord.read_frame(file, path, index, offset)) is not None:
            yield Payload(index, offset, data)
            offset += len(data) + tfrecord.FRAME_BYTES
            index += 1


def inspect(path: str) -> Iterator[Payload | DamagedRecordError]:
    """As `read_payloads`, but yields the error of a damaged record in its place and continues behind it.

    After a damaged length, the places of the records that follow are unknown: its error is the last. In an ArrayRecord
    file, the first error is the last.

    Args:
        path: the shard.

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
                data = tfrecord.read_frame(file, path, index, offset)
            except DamagedRecordError as error:
                yield error
                # `read_frame` reads beyond the header only if the length is right and the file long enough. If it has
                # not, the next record cannot be found.
                if file.tell() <= offset + tfrecord.HEADER_BYTES:
                    return
            else:
                if data is None:
                    return
                yield Payload(index, offset, data)
            offset, index = file.tell(), index + 1


def is_array_record(path: str) -> bool:
    """Whether a file's name says that it is an ArrayRecord file."""
    return '.array_record' in os.path.basename(path)


def read(path: str) -> Iterator[Record]:
    """Reads a shard as numpy arrays, without TensorFlow.

    Args:
        path: the shard, on this disk or in a remote store.

    Raises:
        DamagedRecordError: at the first record that is damaged or does not have an image and a mask.
        OSError: if the file cannot be read.
    """
    for payload in read_payloads(path):
        yield _decoded(path, payload)


def _decoded(path: str, payload: Payload) -> Record:
    try:
        return decode(payload)
    except (ValueError, KeyError, IndexError) as error:
        raise DamagedRecordError(path, payload.index, payload.offset, f'{type(error).__name__}: {error}') from error


def decode(payload: Payload) -> Record:
    """Decodes one record.

    Raises:
        ValueError, KeyError, IndexError: if the payload is not a record of this package, or an image cannot be decoded.
    """
    stored = schemas.from_features(example_proto.parse(payload.data))
    return Record(
        index=payload.index,
        offset=payload.offset,
        file_name=stored.file_name,
        image=images.decode_image(stored.image, 'image'),
        mask=masks.decode(stored.mask, 'segmentation_mask'),
        original_size=stored.original_size,
    )


def offsets(path: str) -> list[int | None]:
    """Finds the byte offset of every record; only lengths are read.

    Args:
        path: the shard.

    Returns:
        One offset for each record; all are None for an ArrayRecord file, where `read_at` needs none.

    Raises:
        DamagedRecordError: if a length is damaged. Contents are not checked, except in an ArrayRecord file.
        OSError: if the file cannot be read.
    """
    if is_array_record(path):
        return [payload.offset for payload in read_payloads(path)]
    found: list[int | None] = []
    offset = 0
    with storage.local_copy(path) as local, open(local, 'rb') as file:
        while (length := tfrecord.read_length(file, path, len(found), offset)) is not None:
            found.append(offset)
            offset += length + tfrecord.FRAME_BYTES
            file.seek(offset)
    return found


class RecordSequence(Sequence[Record]):
    """A shard as a sequence: `shard[k]` reads record k and no other.

    For example `RecordSequence(path)[-1].mask`, or `random.sample(RecordSequence(path), 5)`. The offsets are read once;
    the file is opened anew for each record, so that a sequence can be pickled and used by several threads.

    Attributes:
        path: the shard.
    """

    def __init__(self, path: str) -> None:
        """Reads the offsets of all records. Raises as `offsets`."""
        self.path = path
        self._offsets = offsets(path)

    def __len__(self) -> int:
        return len(self._offsets)

    @overload
    def __getitem__(self, place: int) -> Record: ...

    @overload
    def __getitem__(self, place: slice) -> list[Record]: ...

    def __getitem__(self, place: int | slice) -> Record | list[Record]:
        """Reads one record, or a list of them.

        Raises:
            DamagedRecordError: if one is damaged.
            IndexError: if there is no such record.
        """
        # A range of all indices resolves negative ones and slices, and raises IndexError, as every sequence does.
        found = range(len(self))[place]
        if isinstance(found, range):
            return [self[index] for index in found]
        return read_at(self.path, found, self._offsets[found])


def read_at(path: str, index: int, offset: int | None) -> Record:
    """Reads one record.

    Args:
        path: the shard.
        index: the record's index in it; for a TFRecord file, only for `Record.index` and messages.
        offset: its byte offset, from `offsets`.

    Raises:
        DamagedRecordError: if there is no intact record there.
        OSError: if the file cannot be read.
    """
    if offset is None:
        return _decoded(path, array_record.read_payload(path, index))
    with storage.local_copy(path) as local, open(local, 'rb') as file:
        return _read_at(file, path, index, offset)


def _read_at(file: IO[bytes], path: str, index: int, offset: int) -> Record:
    file.seek(offset)
    data = tfrecord.read_frame(file, path, index, offset)
    if data is None:
        raise DamagedRecordError(path, index, offset, 'the file ends before it')
    return _decoded(path, Payload(index, offset, data))


def read_some(path: str, indices: Iterable[int]) -> Iterator[Record]:
    """Reads some records of a shard; of those between them, only the lengths are read.

    Args:
        path: the shard.
        indices: which records, from 0, in any order; repetitions are ignored.

    Yields:
        The records in the order of the file.

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
                length = tfrecord.read_length(file, path, index, offset)
                if length is None:
                    raise DamagedRecordError(path, index, offset, f'the file ends before record {wanted}')
                offset += length + tfrecord.FRAME_BYTES
                index += 1
            yield _read_at(file, path, index, offset)
