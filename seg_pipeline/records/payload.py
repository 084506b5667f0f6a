"""The bytes of one record and where they are, whatever the format of the file; and the error of a damaged one."""

import dataclasses


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
