"""Reads from EXIF data how a picture is turned, and rejects those in which readers find different orientations.

Of damaged EXIF data one decoder takes an orientation that another does not see. An image that is turned against its
mask is an error that nothing else finds.
"""

import dataclasses
from typing import Literal

from seg_pipeline.imaging import rejects
from seg_pipeline.imaging.rejects import RejectError

ORIENTATION = 0x0112  # the tag; 1 is upright
_PREFIX = b'Exif\x00\x00'  # of the segment of a JPEG; some programs copy it into other formats
_BYTE_ORDERS: dict[bytes, Literal['little', 'big']] = {b'II*\x00': 'little', b'MM\x00*': 'big'}
_SHORT, _ENTRY_BYTES = 3, 12
# The bytes of one value of each type (TIFF 6.0, section 2).
_VALUE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}


def orientation(block: bytes, path: str) -> int:
    """The orientation that EXIF data say.

    Args:
        block: the data, which have the form of a TIFF file, or such a file itself.
        path: the name of the picture's file, for messages.

    Returns:
        1 to 8; 1 (upright) also if there is none, or one of the reserved numbers: all readers ignore those.

    Raises:
        RejectError: DAMAGED if the first directory, which has the orientation, is not there as a whole, or has it twice
            or in another form than one number of 16 bits (Exif 2.32, 4.6.4); or if the picture is turned, and a tag
            in front of the orientation is damaged: OpenCV and Pillow read no further.
    """
    while block.startswith(_PREFIX):
        block = block[len(_PREFIX) :]
    if not block:
        return 1
    order = _BYTE_ORDERS.get(block[:4])
    if order is None:
        raise RejectError(rejects.DAMAGED, f'{path}: its EXIF data begin with {block[:4]!r}, not as a TIFF')
    start = int.from_bytes(block[4:8], order)
    end = start + 2 + _ENTRY_BYTES * int.from_bytes(block[start : start + 2], order)
    if end > len(block) or start < 8:
        raise RejectError(rejects.DAMAGED, f'{path}: its EXIF tags end at byte {end} of {len(block)}')
    entries = [_Entry.of(block[at : at + _ENTRY_BYTES], order) for at in range(start + 2, end, _ENTRY_BYTES)]
    found = [i for i, entry in enumerate(entries) if entry.tag == ORIENTATION]
    if not found:
        return 1
    entry = entries[found[0]]
    if len(found) > 1 or (entry.kind, entry.count) != (_SHORT, 1):
        form = f'type {entry.kind}, count {entry.count}'
        message = f'{path}: {len(found)} EXIF orientations of {form}; wanted one of type {_SHORT}, count 1'
        raise RejectError(rejects.DAMAGED, message)
    value = int.from_bytes(entry.content[:2], order)
    if not 2 <= value <= 8:
        return 1
    for before in entries[: found[0]]:
        if not before.is_whole(len(block), order):
            message = f'{path}: EXIF orientation {value}, but the tag {before.tag} in front of it is damaged'
            raise RejectError(rejects.DAMAGED, message)
    return value


@dataclasses.dataclass(frozen=True)
class _Entry:
    tag: int
    kind: int
    count: int
    content: bytes  # the value, or where it is

    @classmethod
    def of(cls, data: bytes, order: Literal['little', 'big']) -> '_Entry':
        tag, kind, count = (int.from_bytes(data[a:b], order) for a, b in ((0, 2), (2, 4), (4, 8)))
        return cls(tag, kind, count, data[8:])

    def is_whole(self, block_bytes: int, order: Literal['little', 'big']) -> bool:
        """Whether its type is known and its value in the data."""
        if self.kind not in _VALUE_BYTES:
            return False
        size = _VALUE_BYTES[self.kind] * self.count
        return size <= len(self.content) or int.from_bytes(self.content, order) + size <= block_bytes
