"""Why a file or pair cannot be part of a data set: reason codes, and the form in which a reject is recorded.

The codes are part of the format of `rejected.jsonl`: they do not change from version to version, messages may.
"""

import contextlib
import dataclasses
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from seg_pipeline import errors

# Pairing.
NO_MASK = 'no_mask'
NO_IMAGE = 'no_image'
NO_KEY = 'no_key'
DUPLICATE_KEY = 'duplicate_key'
UNUSABLE_NAME = 'unusable_name'
# Splitting.
IN_NO_LIST = 'in_no_list'
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
PALETTE_MISMATCH = 'palette_mismatch'
AMBIGUOUS_GREY = 'ambiguous_grey'
AMBIGUOUS_BINARY = 'ambiguous_binary'
ALL_IGNORED = 'all_ignored'
SAME_FILE = 'same_file'

EXPLANATIONS = {
    NO_MASK: 'An image whose key no mask has.',
    NO_IMAGE: 'A mask whose key no image has.',
    NO_KEY: 'A file whose path does not match the regular expression that gives its key.',
    DUPLICATE_KEY: 'Two images, or two masks, with one key.',
    UNUSABLE_NAME: 'A file whose name is not UTF-8.',
    IN_NO_LIST: 'A pair that no list of --split_files names; it is left out as asked for, whatever --on_error says.',
    UNREADABLE: 'The file cannot be read: permissions, a broken link, a pipe or a device.',
    EMPTY_FILE: 'The file has no bytes.',
    UNKNOWN_FORMAT: 'The first bytes are not those of a supported format.',
    DAMAGED: 'The file is truncated, or its contents contradict its own checksums or structure.',
    TOO_LARGE: 'The file has more bytes or pixels than --max_pixels allows; nothing was decoded.',
    SEVERAL_IMAGES: 'The file holds several images: an animation, or pages.',
    OUT_OF_MEMORY: 'There is not enough memory to decode the file: lower --max_pixels, or run fewer workers.',
    DECODER_FAILED: 'The decoder failed with an error that the message names, or ended its process, or did not end.',
    LOSSY_MASK: 'The mask is stored with lossy compression (JPEG, WebP, a TIFF of those), which changes ids.',
    UNSUPPORTED_MASK: 'The mask is fractional, transparent, rotated by EXIF, of 16 bits a channel, or not one of ids.',
    SIZE_MISMATCH: 'Image and mask differ in height or width.',
    UNKNOWN_ID: 'The mask holds an id that the label table does not have.',
    UNKNOWN_COLOR: 'The mask holds a colour that the label table does not have.',
    PALETTE_MISMATCH: 'The palette of the mask and the colours of the label table contradict each other.',
    AMBIGUOUS_GREY: 'The grey values of the mask are ids and, as colours, other classes of the label table.',
    AMBIGUOUS_BINARY: 'The mask holds only 0 and 255, and with two classes 255 may mean class 1 or ignored.',
    ALL_IGNORED: 'Every pixel of the mask has the ignored id.',
    SAME_FILE: 'The mask is the image itself, byte for byte.',
}

# What most likely helps where many files have one fault in common.
REMEDIES = {
    NO_MASK: 'if they do have masks, say how to find the key: --image_key_regex, --mask_key_regex',
    NO_IMAGE: 'if they do have images, say how to find the key: --image_key_regex, --mask_key_regex',
    NO_KEY: 'alter --image_key_regex or --mask_key_regex, or choose the files by --image_glob and --mask_glob',
    UNREADABLE: 'give this user the right to read them',
    UNKNOWN_FORMAT: 'choose the files by --image_glob and --mask_glob',
    TOO_LARGE: 'raise --max_pixels',
    OUT_OF_MEMORY: 'run fewer workers, as by --direct_num_workers=1',
    LOSSY_MASK: 'give the originals of the masks, as PNG',
    UNKNOWN_ID: 'add it to the label table; or, if it means no class, give it as --ignore_id, or map it with --remap',
    UNKNOWN_COLOR: 'add it to the label table, or say how the masks are to be read, by --mask_format',
    PALETTE_MISMATCH: 'say how the masks are to be read, by --mask_format',
    AMBIGUOUS_GREY: 'say how the masks are to be read, by --mask_format',
    AMBIGUOUS_BINARY: 'say how the masks are to be read, by --mask_format',
    ALL_IGNORED: 'compare --ignore_id with the ids of the masks',
    SAME_FILE: 'give the folder of the masks as --masks',
}

_OPENCV_NO_MEMORY = -4  # the code of a `cv2.error`: cv::Error::StsNoMem
_LESS_MEMORY = 'it takes up to 20 bytes a pixel: run fewer workers (--direct_num_workers), or lower --max_pixels'


@dataclasses.dataclass(frozen=True)
class Reject:
    """A file or pair that is not in the data set.

    Attributes:
        key: the pair's key, or a path where there is no key.
        reason: one of the codes of this module.
        message: one line that names the files and the values found and expected; control characters become escapes.
        image: path of the image, relative to its root, if there is one.
        mask: path of the mask, relative to its root, if there is one.
        value: the id in the mask that is wrong, if it is one id.

    Raises:
        ValueError: if the reason is not a code of this module.
    """

    key: str
    reason: str
    message: str
    image: str | None = None
    mask: str | None = None
    value: int | None = None

    def __post_init__(self) -> None:
        if self.reason not in EXPLANATIONS:
            raise ValueError(f'{self.reason!r} is not a reason code')
        object.__setattr__(self, 'message', errors.one_line(self.message))  # the dataclass is frozen

    @property
    def is_intended(self) -> bool:
        """Whether an option asked for it: nothing is wrong with the files, and no job fails because of it."""
        return self.reason == IN_NO_LIST

    def to_json(self) -> str:
        """One line of `rejected.jsonl`; it has a value where there is one."""
        members = dataclasses.asdict(self)
        if self.value is None:
            del members['value']
        return json.dumps(members, ensure_ascii=False, sort_keys=True)


def unintended(rejects: Iterable[Reject]) -> list[Reject]:
    """Those with which something is wrong, and that `--on_error` decides about."""
    return [reject for reject in rejects if not reject.is_intended]


def summary(rejects: Sequence[Reject]) -> list[str]:
    """One line for each reason, the most frequent one last, where a reader of a long list looks: what likely helps."""
    lines = []
    for (reason, value), number in reversed(Counter((reject.reason, reject.value) for reject in rejects).most_common()):
        what = EXPLANATIONS[reason].rstrip('.')
        remedy = REMEDIES.get(reason, '')
        if reason == UNKNOWN_ID and value is not None:
            what, remedy = what.replace('an id', f'id {value}'), remedy.replace('--ignore_id,', f'--ignore_id={value},')
        lines.append(f'{number} of {len(rejects)}: {reason}: {"; ".join(filter(None, (what, remedy)))}')
    return lines


class RejectError(ValueError):
    """Raised by the readers of images and masks.

    Attributes:
        reason: one of the codes of this module.
        value: see `Reject`.
    """

    def __init__(self, reason: str, message: str, value: int | None = None) -> None:
        super().__init__(errors.one_line(message))
        self.reason, self.value = reason, value

    def __reduce__(self) -> tuple[type['RejectError'], tuple[str, str, int | None]]:
        return type(self), (self.reason, str(self), self.value)  # by default, it would be made of the message alone

    def of(self, key: str, image: str, mask: str) -> Reject:
        """The reject of the pair in which it was raised."""
        return Reject(key, self.reason, str(self), image, mask, self.value)


def unsupported_mask(path: str, what: str) -> RejectError:
    """The reject of a mask whose pixels are of a kind that is not read.

    Args:
        path: its name.
        what: what it is, and what can be done.
    """
    return RejectError(UNSUPPORTED_MASK, f'{path}: {what}')


def lossy_mask(path: str, what: str) -> RejectError:
    """The reject of a mask that is stored with lossy compression.

    Args:
        path: its name.
        what: what it is.
    """
    return RejectError(LOSSY_MASK, f'{path}: {what}; its compression changes ids along edges: give the PNG originals')


@contextlib.contextmanager
def decoding(path: str) -> Iterator[None]:
    """A context in which every exception becomes a RejectError, so that no file can end a worker.

    Args:
        path: the name of the file that is decoded, for messages.

    Raises:
        RejectError: the one that the block raised; OUT_OF_MEMORY or DECODER_FAILED for other exceptions.
    """
    try:
        yield
    except RejectError:
        raise
    except Exception as error:  # not BaseException: an interrupt still ends the process
        if isinstance(error, MemoryError) or getattr(error, 'code', None) == _OPENCV_NO_MEMORY:
            # An error of numpy says how much it wanted, one of Python nothing.
            what = f'not enough memory to decode it{f" ({error})" if str(error) else ""}'
            raise RejectError(OUT_OF_MEMORY, f'{path}: {what}; {_LESS_MEMORY}') from error
        raise RejectError(DECODER_FAILED, f'{path}: {type(error).__name__}: {error}') from error
