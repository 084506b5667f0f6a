"""One pair: read, checked, resized and serialised. What every worker does with every pair, and nothing else.

A `SourcePair` (paths) becomes a `PreparedPair` (arrays), and that the bytes of a record.
"""

import dataclasses
import hashlib
from collections.abc import Callable
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from seg_pipeline import trial, watchdog
from seg_pipeline.building.config import RecordOptions, SourceFolders
from seg_pipeline.dataset import ignored
from seg_pipeline.imaging import images, masks, rejects, resizing
from seg_pipeline.planning.pairing import SourcePair
from seg_pipeline.records import example_proto, schemas
from seg_pipeline.storage.attempts import Attempt

_T = TypeVar('_T')
_MOST_DEATHS = 2  # a third process that ends at a pair is none that happened to be killed


@dataclasses.dataclass(frozen=True)
class PreparedPair:
    """An image and its mask, decoded and checked.

    Attributes:
        image: (height, width, 3) uint8 RGB.
        mask: (height, width) uint8 ids.
        original_size: (height, width) of the source in pixels.
        image_sha256: of the image file, in hex.
        mask_sha256: of the mask file, in hex.
    """

    image: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    original_size: tuple[int, int]
    image_sha256: str
    mask_sha256: str


class Files(NamedTuple):
    """The bytes of the two files of a pair."""

    image: bytes
    mask: bytes


def read(sources: SourceFolders, options: RecordOptions, pair: SourcePair) -> PreparedPair:
    """Reads, checks and resizes one pair.

    Raises:
        RejectError: with the reason why it cannot be part of the data set.
    """
    return prepare(read_files(sources, options, pair), options, pair)


def read_files(sources: SourceFolders, options: RecordOptions, pair: SourcePair) -> Files:
    """Reads the files of one pair, and decodes nothing.

    Raises:
        RejectError: UNREADABLE, EMPTY_FILE or TOO_LARGE.
    """
    with rejects.decoding(_image_name(pair)):
        image = images.read_bytes(sources.image_path(pair.image), options.max_pixels, _image_name(pair))
    with rejects.decoding(_mask_name(pair)):
        return Files(image, images.read_bytes(sources.mask_path(pair.mask), options.max_pixels, _mask_name(pair)))


def read_image_file(sources: SourceFolders, options: RecordOptions, pair: SourcePair) -> Files:
    """As `read_files`, without the mask: its bytes are empty."""
    with rejects.decoding(_image_name(pair)):
        image = images.read_bytes(sources.image_path(pair.image), options.max_pixels, _image_name(pair))
        return Files(image, b'')


def handle(
    work: Callable[[Files, RecordOptions, SourcePair], _T],
    sources: SourceFolders,
    options: RecordOptions,
    pair: SourcePair,
    attempt: Attempt,
    read: Callable[[SourceFolders, RecordOptions, SourcePair], Files] = read_files,
) -> _T:
    """Reads the files of one pair, and does some work with them: for a suspect, in a process of its own.

    What comes of a suspect is that process's: here, nothing of it is decoded, so that this process survives it.

    Args:
        work: a function of a module, that gets files, options and pair.
        sources: where the files are.
        options: for the work.
        pair: the pair.
        attempt: notes the pair, and knows the suspects.
        read: reads what the work needs.

    Raises:
        RejectError: that of the work; DECODER_FAILED if it ends its process, or does not end, or if several processes
            ended while they were at this pair.
    """
    names = f'{_image_name(pair)}, {_mask_name(pair)}'
    if not attempt(pair.key):
        files = read(sources, options, pair)  # not timed: a store may be slow, and says so in the end
        with watchdog.timed(names):
            return work(files, options, pair)
    try:
        if (deaths := attempt.num_deaths(pair.key)) > _MOST_DEATHS:
            what = f'{deaths} processes ended while they were at them; to try again, remove the notes *.attempt of them'
            raise rejects.RejectError(rejects.DECODER_FAILED, f'{names}: {what}')
        return try_alone(work, read(sources, options, pair), options, pair)
    except rejects.RejectError as error:
        if error.reason == rejects.DECODER_FAILED:
            attempt.keep(pair.key)
        raise


def try_alone(
    work: Callable[[Files, RecordOptions, SourcePair], _T], files: Files, options: RecordOptions, pair: SourcePair
) -> _T:
    """Does some work with one pair in a process of its own; arguments and errors are those of `handle`.

    The files are read by the caller: its stores have the options of the command.
    """
    try:
        return trial.call(work, files, options, pair)
    except MemoryError:  # here, not there: of a copy of the files for the process
        with rejects.decoding(_image_name(pair)):
            raise
    except trial.FailedError as error:
        message = f'{_image_name(pair)}, {_mask_name(pair)}: decoding them {error}'
        raise rejects.RejectError(rejects.DECODER_FAILED, message) from error


def prepare(files: Files, options: RecordOptions, pair: SourcePair) -> PreparedPair:
    """Checks, decodes and resizes one pair.

    Raises:
        RejectError: with the reason why it cannot be part of the data set.
    """
    # Around all of it: resizing can run out of memory too, and a bad pair must never end a worker.
    with rejects.decoding(_image_name(pair)):
        return resize(options, decode(files, options, pair))


def prepare_record(files: Files, options: RecordOptions, pair: SourcePair) -> tuple[PreparedPair, bytes]:
    """As `prepare`, and serialises the pair: all that a worker does with one."""
    prepared = prepare(files, options, pair)
    with rejects.decoding(_image_name(pair)):
        return prepared, serialize(options, pair, prepared)


def decode(files: Files, options: RecordOptions, pair: SourcePair) -> PreparedPair:
    """Checks and decodes one pair, in the size of its files.

    Raises:
        RejectError: with the reason why it cannot be part of the data set.
    """
    image_name, mask_name = _image_name(pair), _mask_name(pair)
    image_data, mask_data = files
    image = images.decode_image(image_data, image_name, options.max_pixels)
    # Before the mask is decoded: who gives one folder twice should read that, and not that a colour is unknown.
    if image_data == mask_data:
        raise rejects.RejectError(rejects.SAME_FILE, f'{mask_name}: is the {image_name}, byte for byte')
    mask = masks.decode(mask_data, mask_name, options.mask_reader, options.max_pixels)
    if image.shape[:2] != mask.shape:
        sizes = f'{mask_name}: is {mask.shape[0]}x{mask.shape[1]}, its {image_name} {image.shape[0]}x{image.shape[1]}'
        raise rejects.RejectError(rejects.SIZE_MISMATCH, f'{sizes} (height x width)')
    # After remapping, which may ignore the only classes of a mask. Such a record would count for nothing.
    if (mask == options.label_map.ignore_id).all():
        message = f'{mask_name}: all {mask.size} pixels have the ignored id {options.label_map.ignore_id}'
        raise rejects.RejectError(rejects.ALL_IGNORED, message)
    height, width = mask.shape
    # Of the files, not of the pixels: `existing` compares them without decoding anything.
    return PreparedPair(image, mask, (height, width), _sha256(image_data), _sha256(mask_data))


# Messages are published with the data set, where the root would say whose disk it was: so they have the path in it. And
# which of the roots, since image and mask often have equal names.
def _image_name(pair: SourcePair) -> str:
    return f'image {pair.image}'


def _mask_name(pair: SourcePair) -> str:
    return f'mask {pair.mask}'


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def resize(options: RecordOptions, decoded: PreparedPair) -> PreparedPair:
    """The same pair in the size of the records; as it is where they keep the size of each pair."""
    if options.image_size is None:
        return decoded
    return dataclasses.replace(
        decoded,
        image=resizing.resize_image(decoded.image, options.image_size, options.resize),
        mask=resize_mask(options, decoded.mask),
    )


def resize_mask(options: RecordOptions, mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The mask of a pair, (H, W) uint8 ids, in the size of the records."""
    if options.image_size is None:
        return mask
    # The borders of a letterbox are no class: they get the ignored id, so that no loss and no metric counts them.
    return resizing.resize_mask(
        mask, options.image_size, options.resize, options.mask_resize, border=options.label_map.ignore_id
    )


def ignored_share(options: RecordOptions, prepared: PreparedPair) -> float:
    """The share of the pixels of a resized mask that are ignored, 0..1; the border of a letterbox does not count."""
    return ignored.share(prepared.mask, prepared.original_size, options.resize, options.label_map.ignore_id)


def serialize(options: RecordOptions, pair: SourcePair, prepared: PreparedPair) -> bytes:
    """The tf.train.Example of one pair."""
    height, width = prepared.mask.shape
    stored = schemas.StoredRecord(
        file_name=pair.image,
        image=images.encode_image(prepared.image, options.image_encoding),
        mask=images.encode_png(prepared.mask),
        original_size=prepared.original_size,
    )
    features = schemas.to_features(
        options.schema, stored, key=pair.key, size=(height, width), image_encoding=options.image_encoding
    )
    return example_proto.serialize(features)
