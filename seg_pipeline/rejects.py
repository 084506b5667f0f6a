"""Why a file or pair cannot be part of a data set: stable reason codes and the record of one reject."""

import dataclasses
import json

# Pairing.
NO_MASK = 'no_mask'
NO_IMAGE = 'no_image'
NO_KEY = 'no_key'
DUPLICATE_KEY = 'duplicate_key'
# Files.
UNREADABLE = 'unreadable'
EMPTY_FILE = 'empty_file'
UNKNOWN_FORMAT = 'unknown_format'
DAMAGED = 'damaged'
TOO_LARGE = 'too_large'
# Masks.
LOSSY_MASK = 'lossy_mask'
UNSUPPORTED_MASK = 'unsupported_mask'
SIZE_MISMATCH = 'size_mismatch'
UNKNOWN_ID = 'unknown_id'
UNKNOWN_COLOR = 'unknown_color'
AMBIGUOUS_BINARY = 'ambiguous_binary'
ALL_IGNORED = 'all_ignored'
SAME_FILE = 'same_file'

EXPLANATIONS = {
    NO_MASK: 'An image whose key no mask has.',
    NO_IMAGE: 'A mask whose key no image has.',
    NO_KEY: 'A file in whose path the given regular expression finds no key.',
    DUPLICATE_KEY: 'Two images, or two masks, with one key.',
    UNREADABLE: 'The file cannot be opened: permissions, a link that leads nowhere, a directory.',
    EMPTY_FILE: 'The file has no bytes.',
    UNKNOWN_FORMAT: 'The first bytes are those of no image format that is read here.',
    DAMAGED: 'The file is truncated, or its contents contradict its own checksums or structure.',
    TOO_LARGE: 'The header promises more pixels than --max_pixels; nothing was decoded.',
    LOSSY_MASK: 'The mask is stored with lossy compression (JPEG, WebP), which changes ids.',
    UNSUPPORTED_MASK: 'The mask is fractional, has an alpha channel that is used, or no array of ids.',
    SIZE_MISMATCH: 'Image and mask differ in height or width.',
    UNKNOWN_ID: 'The mask holds an id that the label table does not have.',
    UNKNOWN_COLOR: 'The mask holds a colour that the label table does not have.',
    AMBIGUOUS_BINARY: 'The mask holds only 0 and 255, and with two classes 255 may mean class 1 or ignored.',
    ALL_IGNORED: 'Every pixel of the mask has the ignored id.',
    SAME_FILE: 'The mask is the image itself, byte for byte.',
}


@dataclasses.dataclass(frozen=True)
class Reject:
    """A file or pair that is left out.

    Attributes:
        key: the pair's key, or a path where there is no key.
        reason: one of the codes of this module.
        message: one line that names the files and the values found and expected.
        image: path of the image, relative to its root, if there is one.
        mask: path of the mask, relative to its root, if there is one.
    """

    key: str
    reason: str
    message: str
    image: str | None = None
    mask: str | None = None

    def __post_init__(self) -> None:
        if self.reason not in EXPLANATIONS:
            raise ValueError(f'{self.reason!r} is no reason code')

    def to_json(self) -> str:
        """One line of `rejected.jsonl`."""
        return json.dumps(dataclasses.asdict(self), ensure_ascii=False, sort_keys=True)


class RejectError(ValueError):
    """Raised by the readers of images and masks; carries the reason code beside the message."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
