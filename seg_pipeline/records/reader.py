"""Reads the shards of a data set: records as numpy arrays, without TensorFlow, one after the other or by their place.

TFRecord and ArrayRecord files are told apart by their names; `tfrecord` and `array_record` know their bytes. The
payload of each record is a tf.train.Example (`example_proto`) whose features have the names of `schemas`.
"""

import dataclasses
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import IO, overload

import numpy as np

from seg_pipeline import storage
from seg_pipeline.imaging import images, masks
from seg_pipeline.records import array_record, example_proto, schemas, tfrecord
from seg_pipeline.records.payload import DamagedRecordError, Payload


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


def read_payloads(path: str) -> Iterator[Payload]:
    """Reads a file record by record, checking the checksums of each.

    Raises:
        DamagedRecordError: at the first record that is cut off or whose checksum does not hold.
        OSError: if the file cannot be read.
    """
    if is_array_record(path):
        yield from array_record.read_payloads(path)
        return
    with storage.local_copy(path) as local, open(local, 'rb') as file:
        offset = index = 0
        while (data := tfrecord.read_frame(file, path, index, offset)) is not None:
            yield Payload(index, offset, data)
            offset += len(data) + tfrecord.FRAME_BYTES
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
                data = tfrecord.read_frame(file, path, index, offset)
            except DamagedRecordError as error:
                yield error
                if file.tell() <= offset + tfrecord.HEADER_BYTES:  # its contents were not read: no length to trust
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
        while (length := tfrecord.read_length(file, path, len(found), offset)) is not None:
            found.append(offset)
            offset += length + tfrecord.FRAME_BYTES
            file.seek(offset)
    return found


class RecordSequence(Sequence[Record]):
    """A shard as a sequence: `shard[k]` reads record k and nothing else; its length is known without reading any.

    For example `RecordSequence(path)[-1].mask`, or `random.sample(RecordSequence(path), 5)`. The index is made once,
    from the lengths; the file is opened for each record, so that a shard can be pickled and used by many threads.
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
        return decode(array_record.read_payload(path, index))
    with storage.local_copy(path) as local, open(local, 'rb') as file:
        return _read_at(file, path, index, offset)


def _read_at(file: IO[bytes], path: str, index: int, offset: int) -> Record:
    file.seek(offset)
    data = tfrecord.read_frame(file, path, index, offset)
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
                length = tfrecord.read_length(file, path, index, offset)
                if length is None:
                    raise DamagedRecordError(path, index, offset, f'the file ends before record {wanted}')
                offset += length + tfrecord.FRAME_BYTES
                index += 1
            yield _read_at(file, path, index, offset)
