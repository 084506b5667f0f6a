"""Why a file or pair cannot be part of a data set: stable reason codes and the record of one reject."""

import contextlib
import dataclasses
import json
import unicodedata
from collections.abc import Iterator

# Pairing.
NO_MASK = 'no_mask'
NO_IMAGE = 'no_image'
NO_KEY = 'no_key'
DUPLICATE_KEY = 'duplicate_key'
UNUSABLE_NAME = 'unusable_name'
# Files.
UNREADABLE = 'unreadable'
EMPTY_FILE = 'empty_file'
UNKNOWN_FORMAT = 'unknown_format'
DAMAGED = 'damaged'
TOO_LARGE = 'too_large'
SEVERAL_IMAGES = 'several_images'
OUT_OF_MEMORY = 'out_of_memory'
DECODER_FAILED = 'decoder_failed'
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
    UNUSABLE_NAME: 'A file whose name is not UTF-8.',
    UNREADABLE: 'The file cannot be read: permissions, a link that leads nowhere, a pipe or device.',
    EMPTY_FILE: 'The file has no bytes.',
    UNKNOWN_FORMAT: 'The first bytes are those of no image format that is read here.',
    DAMAGED: 'The file is truncated, or its contents contradict its own checksums or structure.',
    TOO_LARGE: 'The file has, or its header promises, more than --max_pixels allows; nothing was decoded.',
    SEVERAL_IMAGES: 'The file holds several images: an animation, or pages.',
    OUT_OF_MEMORY: 'Decoding takes more memory than there is: lower --max_pixels, or run fewer workers.',
    DECODER_FAILED: 'The decoder stopped with an error that no check foresaw; the message has its name.',
    LOSSY_MASK: 'The mask is stored with lossy compression (JPEG, WebP), which changes ids.',
    UNSUPPORTED_MASK: 'The mask is fractional, transparent, turned by EXIF, of 16 bits a channel, or no array of ids.',
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
        object.__setattr__(self, 'message', one_line(self.message))

    def to_json(self) -> str:
        """One line of `rejected.jsonl`."""
        return json.dumps(dataclasses.asdict(self), ensure_ascii=False, sort_keys=True)


class RejectError(ValueError):
    """Raised by the readers of images and masks; carries the reason code beside the message."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(one_line(message))
        self.reason = reason


@contextlib.contextmanager
def decoding(path: str) -> Iterator[None]:
    """Turns whatever a decoder raises into a reject of the file: no file takes a worker down.

    Raises:
        RejectError: the one that the block raised; OUT_OF_MEMORY or DECODER_FAILED for anything else.
    """
    try:
        yield
    except RejectError:
        raise
    except MemoryError as error:
        raise RejectError(OUT_OF_MEMORY, f'{path}: {error or "not enough memory to decode it"}') from error
    except Exception as error:
        raise RejectError(DECODER_FAILED, f'{path}: {type(error).__name__}: {error}') from error


def one_line(text: str) -> str:
    """The same text with line breaks, other control characters and bytes that are no UTF-8 written as escapes."""
    if text.isprintable():
        return text
    escaped = (char.encode('unicode_escape').decode() if _breaks_a_line(char) else char for char in text)
    return ''.join(escaped)


def _breaks_a_line(char: str) -> bool:
    return unicodedata.category(char) in ('Cc', 'Cs', 'Zl', 'Zp')
