"""From the shards of a split to decoded images and masks, in the order of the files; and which shard is damaged."""

import contextlib
import math
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from seg_pipeline import errors, records
from seg_pipeline.dataset.dataset_split import DatasetSplit, Split
from seg_pipeline.dataset.tfds_directory import TfdsSplit
from seg_pipeline.input import tfds_decoding
from seg_pipeline.input.augmentation import ImageMask
from seg_pipeline.plurals import counted
from seg_pipeline.records import writer
from seg_pipeline.records.schemas import IMAGE, MASK

# tensorflow::Allocator::kAllocatorAlignment, in bytes.
_TENSOR_ALIGNMENT = 64

_BYTES_PER_PIXEL = 3 + 1  # RGB and the class id


def options() -> tf.data.Options:
    """Returns the options of every tf.data pipeline here: the same order of elements in every run."""
    result = tf.data.Options()
    result.deterministic = True
    # The default rewriting of the graph copies every tensor that a mapped function captures. Here that is the decoded
    # split held in memory, and there is nothing in these graphs for it to improve.
    result.experimental_optimization.apply_default_optimizations = False
    return result


def num_examples(split: Split) -> int:
    """Returns how many examples a split holds. Raises `UserError` if it holds none."""
    if not split.num_records:
        raise errors.UserError(f'split {split.name} of {split.dataset_dir} holds no example')
    return split.num_records


def decoded_bytes(split: Split) -> int:
    """Returns the bytes that the images and masks of a split take in memory."""
    height, width = split.image_size
    return split.num_records * height * width * _BYTES_PER_PIXEL


def shard_reader(split: Split) -> Callable[[tf.Tensor], tf.data.Dataset]:
    """Returns the function from the path of a shard, a string tensor, to its serialized records, in their order."""
    file_format = writer.TFRECORD
    if isinstance(split, TfdsSplit):
        file_format = split.directory.file_format
    elif isinstance(split, DatasetSplit):
        file_format = str(split.manifest.options.get('file_format', file_format))
    return tfds_decoding.shard_reader(file_format)


def decoder(split: Split) -> Callable[[tf.Tensor], ImageMask]:
    """Returns the function from a serialized record to (image uint8 (h, w, 3), mask uint8 (h, w, 1))."""
    if isinstance(split, TfdsSplit):
        return tfds_decoding.decoder(split)
    features = {name: tf.io.FixedLenFeature((), tf.string) for name in (IMAGE, MASK)}

    def decode(serialized: tf.Tensor) -> ImageMask:
        example = tf.io.parse_single_example(serialized, features)
        # decode_image takes PNG and JPEG alike; without expand_animations=False it returns a tensor of unknown rank.
        image = tf.io.decode_image(example[IMAGE], channels=3, expand_animations=False)
        mask = tf.io.decode_png(example[MASK], channels=1)
        return tf.ensure_shape(image, (*split.image_size, 3)), tf.ensure_shape(mask, (*split.image_size, 1))

    return decode


def decoded_in_order(split: Split) -> tf.data.Dataset:
    """Returns the decoded (image, mask) of a split in the order of its files.

    Another number of records than the manifest says is an error, `tf.errors.FailedPreconditionError`: without the check
    a shard that was cut off between two records would shorten the split and nobody would notice.
    """
    # One shard after the other: `flat_map`, unlike `interleave`, mixes none of their records.
    serialized = tf.data.Dataset.from_tensor_slices(split.shard_paths).flat_map(shard_reader(split))
    serialized = serialized.apply(tf.data.experimental.assert_cardinality(split.num_records))
    return serialized.map(decoder(split), tf.data.AUTOTUNE)


def load_split(split: Split) -> ImageMask:
    """Reads and decodes a complete split, in the order of its files, into host memory.

    Args:
        split: what to read.

    Returns:
        images uint8 (num_records, height, width, 3) and masks uint8 (num_records, height, width, 1).

    Raises:
        UserError: the split is empty, or a shard cannot be read; names the shard.
    """
    count = num_examples(split)
    images = _aligned_array((count, *split.image_size, 3))
    masks = _aligned_array((count, *split.image_size, 1))
    with naming_damaged_shards(split):
        pairs = decoded_in_order(split).prefetch(tf.data.AUTOTUNE).with_options(options())
        for row, (image, mask) in enumerate(pairs.as_numpy_iterator()):
            images[row], masks[row] = image, mask
    # DLPack (https://dmlc.github.io/dlpack) hands the memory of an array over without a copy, and the tensor keeps the
    # array alive. tf.convert_to_tensor holds three times the split at its peak, and puts it on an accelerator if there
    # is one, whose memory is for the network.
    from_dlpack = tf.experimental.dlpack.from_dlpack
    return from_dlpack(images.__dlpack__()), from_dlpack(masks.__dlpack__())


def _aligned_array(shape: tuple[int, ...]) -> np.ndarray:
    """Returns an uninitialized uint8 array that begins where TensorFlow lets a tensor begin.

    TensorFlow takes it for granted that the memory it gets by DLPack is aligned as its own allocator aligns it, and
    aborts the process when it is not. NumPy aligns to 16 bytes only, so the array is a part of a larger one: -address
    modulo 64 is the distance from there to the next multiple of 64.
    """
    size = math.prod(shape)
    memory = np.empty(size + _TENSOR_ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _TENSOR_ALIGNMENT
    return memory[start : start + size].reshape(shape)


@contextlib.contextmanager
def naming_damaged_shards(*splits: Split) -> Iterator[None]:
    """Turns what TensorFlow raises for a damaged shard, which names no file, into an error that names it.

    Put it around whatever iterates the batches of `splits`. The shards are only read again, without TensorFlow, after
    an error: it costs nothing while all is well.

    Raises:
        UserError: reading failed and a shard is missing or damaged, or has records of another size or number than
            the manifest says, or a record of a TFDS data set is no pair. Where all is well, the original error is
            raised.
    """
    try:
        yield
    except tf.errors.OpError:
        for split in splits:
            if isinstance(split, TfdsSplit):
                tfds_decoding.check_records(split)
            elif isinstance(split, DatasetSplit):
                _check_records(split)
        raise


def _check_records(split: DatasetSplit) -> None:
    """Raises UserError for the first shard of a split whose records are not those of the manifest."""
    again = 'prepare the data set again'
    for shard, path in zip(split.shards, split.shard_paths, strict=True):
        found = 0
        try:
            for record in records.read(path):
                found += 1
                if not record.image.shape[:2] == record.mask.shape == split.image_size:
                    sizes = f'image {record.image.shape[:2]}, mask {record.mask.shape}'
                    raise errors.UserError(
                        f'{path}: record {record.index}: {sizes}, the manifest says {split.image_size}; {again}'
                    )
        except (OSError, records.DamagedRecordError) as error:
            raise errors.UserError(f'{error}; {again}') from error
        if found != shard.num_records:
            raise errors.UserError(
                f'{path}: {counted(found, "record")}, the manifest says {shard.num_records}; {again}'
            )
