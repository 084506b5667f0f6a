"""From the shards of any TFDS data set to images and masks of one size, and which record is damaged or is no pair."""

import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from seg_pipeline import errors, records
from seg_pipeline.dataset.tfds_directory import TfdsSplit
from seg_pipeline.input import resizing
from seg_pipeline.input.augmentation import ImageMask
from seg_pipeline.records import example_proto, schemas, writer


def shard_reader(file_format: str) -> Callable[[tf.Tensor], tf.data.Dataset]:
    """Returns the function from the path of a shard to its serialized records, in their order.

    Only of TFRecord files TensorFlow itself is a reader; of the others the records come from Python, one at a time.

    Args:
        file_format: one of `records.FORMATS_OF_TFDS`.
    """
    if file_format == writer.TFRECORD:
        reader: Callable[[tf.Tensor], tf.data.Dataset] = tf.data.TFRecordDataset
        return reader

    def payloads(path: bytes) -> Iterator[bytes]:
        return (payload.data for payload in records.payloads(path.decode(), file_format))

    return lambda path: tf.data.Dataset.from_generator(
        payloads, args=(path,), output_signature=tf.TensorSpec((), tf.string)
    )


def decoder(split: TfdsSplit) -> Callable[[tf.Tensor], ImageMask]:
    """Returns the function from a serialized record to (image uint8 (h, w, 3), mask uint8 (h, w, 1)).

    TFDS's own features decode the two that make the pair; the others are not parsed. The function raises a
    `tf.errors.OpError` for a pair that is none: image and mask of two sizes, or a value in the mask without a class.
    """
    parse = _parser(split)
    num_classes, ignore_id = split.label_map.num_classes, split.label_map.ignore_id

    def decode(serialized: tf.Tensor) -> ImageMask:
        image, values = parse(serialized)
        tf.debugging.assert_equal(tf.shape(image)[:2], tf.shape(values))
        ids = values + split.label_offset
        is_ignored = tf.logical_or(values == ignore_id, ids < 0)
        # Checked before it is resized, which may leave out the one pixel that tells that the offset is wrong.
        tf.debugging.assert_less(tf.where(is_ignored, tf.zeros_like(ids), ids), tf.cast(num_classes, ids.dtype))
        mask = tf.cast(tf.where(is_ignored, tf.cast(ignore_id, ids.dtype), ids), tf.uint8)
        return resizing.resize_image(image, split.image_size), resizing.resize_mask(mask, split.image_size)[..., None]

    return decode


def check_records(split: TfdsSplit) -> None:
    """Reads all records, one by one, to find what is wrong with them.

    Raises:
        UserError: for the first record that is damaged, cannot be decoded or is no pair, or the first shard with
            another number of them than dataset_info.json says; names the shard, the record and the values.
    """
    parse = _parser(split)
    for shard in split.shards:
        try:
            for payload in records.payloads(shard.path, split.directory.file_format):
                if problem := _problem(split, parse, payload.data):
                    where = f'{shard.path}: {records.place(payload.index, payload.offset)}{_source(payload.data)}'
                    raise errors.UserError(f'{where}: {problem}')
        except (OSError, records.DamagedRecordError) as error:
            raise errors.UserError(f'{error}; build the data set again') from error
    split.check_shards()


def _parser(split: TfdsSplit) -> Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
    """Returns the function from a serialized record to image (H, W, 3) uint8 and mask (H, W) of whole numbers."""
    import tensorflow_datasets as tfds

    features = tfds.features.FeaturesDict(split.pair_only)
    pair = split.pair

    def parse(serialized: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        example = features.deserialize_example(serialized)
        image, mask = _member(example, pair.image), _member(example, pair.mask)
        if len(mask.shape) == 3:
            mask = mask[..., 0]
        # Wide enough for every value with the offset added.
        return image, tf.cast(mask, tf.int32 if mask.dtype.size < 4 else tf.int64)

    return parse


def _member(example: dict[str, Any], name: str) -> tf.Tensor:
    """The feature of a name, in which `/` leads into dictionaries."""
    return functools.reduce(lambda found, part: found[part], name.split('/'), example)


def _problem(split: TfdsSplit, parse: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]], data: bytes) -> str | None:
    """What is wrong with one record, with the values; None if nothing is."""
    try:
        image, values = (tensor.numpy() for tensor in parse(tf.constant(data)))
    except (tf.errors.OpError, ValueError) as error:
        return f'cannot be decoded: {errors.one_line(str(error))[:200]}'
    if image.shape[:2] != values.shape:
        sizes = f'{split.pair.image} is {image.shape[:2]} pixels, {split.pair.mask} {values.shape}'
        return f'{sizes}: not a photo and its mask'
    return _wrong_value(split, values)


def _wrong_value(split: TfdsSplit, values: NDArray[Any]) -> str | None:
    labels, offset = split.label_map, split.label_offset
    classes = (int(value) + offset for value in np.unique(values) if value != labels.ignore_id)
    wrong = [number for number in classes if number >= labels.num_classes]
    if not wrong:
        return None
    return (
        f'{split.pair.mask} holds {wrong[0] - offset}, which with --label_offset={offset} is class {wrong[0]} of '
        f'{labels.num_classes}: set --num_classes, or --label_offset where the masks begin at 1; {labels.ignore_id} is '
        'ignored'
    )


def _source(data: bytes) -> str:
    """The name of a record's photo, where the record has one under the name that most data sets use."""
    try:
        found = example_proto.parse(data).get(schemas.FILE_NAME)
    except ValueError:
        return ''
    return f' ({found[0].decode(errors="replace")})' if found and isinstance(found[0], bytes) else ''
