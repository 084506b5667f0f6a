"""The bytes of one record and where they are, in a file of either format, and the error of a damaged record."""

import dataclasses


class DamagedRecordError(ValueError):
    """A file whose bytes contradict its own checksums or lengths; the message names the file and the record.

    Attributes:
        index: the record's index in its file, from 0.
        offset: the byte offset of the record; None in an ArrayRecord file.
    """

    def __init__(self, path: str, index: int, offset: int | None, problem: str) -> None:
        super().__init__(f'{path}: {place(index, offset)}: {problem}')
        self.index = index
        self.offset = offset


def place(index: int, offset: int | None) -> str:
    """How messages name a record: `record 3 at byte 4711`, or `record 3` if there is no offset."""
    return f'record {index}' if offset is None else f'record {index} at byte {offset}'


@dataclasses.dataclass(frozen=True)
class Payload:
    """The bytes of one record and where they are.

    Attributes:
        index: the record's index in its file, from 0.
        offset: the byte offset of a TFRecord's frame; None in an ArrayRecord file, whose module does not tell it.
        data: the record without its frame, a serialized tf.train.Example.
    """

    index: int
    offset: int | None
    data: bytes
