"""From the TFRecord shards of a data set to batches: to train on for ever, or to evaluate on once.

Training elements form one endless stream, numbered g = 0, 1, 2, ... With N examples in the split, element g belongs to
pass g // N and is the example at place g % N of that pass's order, which is drawn from (seed, pass); its augmentation
is drawn from (seed, g). Global step k takes elements k * global_batch_size and the following. A batch is therefore a
pure function of (seed, step): a run that starts at step k gets what a run that came to step k would have got, whatever
the number of parallel calls, of replicas or of workers.

Where the decoded split fits `cache_budget_bytes` it is read and decoded once and held in memory as uint8; where it
does not, every pass streams the shards. The two draw different orders, so a run keeps to one of them.
"""

import contextlib
import math
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from seg_pipeline import errors, records
from seg_pipeline.dataset.manifest import Manifest
from seg_pipeline.input import augmentation

AUTOTUNE = tf.data.AUTOTUNE

# Shards that are read at the same time.
_OPEN_SHARDS = 16

# tensorflow::Allocator::kAllocatorAlignment, in bytes.
_TENSOR_ALIGNMENT = 64

# What a seed is used for; uses with different numbers draw independently.
_ORDER_OF_EXAMPLES, _ORDER_OF_SHARDS, _ORDER_IN_WINDOW, _AUGMENTATION = range(4)

_Fetch = Callable[[tf.Tensor], augmentation.Pair]


def train_batches(
    dataset_dir: str,
    manifest: Manifest,
    split: str,
    *,
    batch_size: int,
    global_batch_size: int,
    seed: int,
    start_step: int,
    policy: augmentation.Policy,
    cache_budget_bytes: int,
    shuffle_buffer: int = 1000,
    num_workers: int = 1,
    worker: int = 0,
) -> tf.data.Dataset:
    """Returns the endless batches of a split, shuffled anew in every pass and augmented.

    Every batch is full: one that comes to the end of a pass goes on with the next pass. In each pass every example
    occurs exactly once.

    Example:
        batches = train_batches(
          dataset_dir, manifest.read(dataset_dir), 'train', batch_size=64, global_batch_size=64, seed=0, start_step=0,
          policy=augmentation.ARTICLE, cache_budget_bytes=2**31)

    Args:
        dataset_dir: directory of the shards.
        manifest: what the data set says of itself.
        split: name of the split, such as 'train'.
        batch_size: examples in one batch that comes out: what one replica takes.
        global_batch_size: examples that one step takes over all replicas of all workers.
        seed: decides every order and every augmentation.
        start_step: the step whose elements come first; those before are skipped without being decoded.
        policy: the augmentation, drawn anew for every example in every pass.
        cache_budget_bytes: most bytes to hold in memory for the decoded split.
        shuffle_buffer: records that are shuffled together where the split does not fit that budget.
        num_workers: processes that share each step, as in `tf.distribute.InputContext.num_input_pipelines`.
        worker: the number of this process among them: it gets that one of `num_workers` equal parts of each step.

    Returns:
        A dataset of (images uint8 (batch_size, height, width, 3), masks uint8 (batch_size, height, width, 1)).

    Raises:
        UserError: the split is unknown or empty, or a shard cannot be read.
        ValueError: the batch sizes do not divide each other.
    """
    _check_division(batch_size, global_batch_size, num_workers)
    num_examples = _num_examples(dataset_dir, manifest, split)
    first = start_step * global_batch_size
    if decoded_bytes(manifest, split) <= cache_budget_bytes:
        elements = _indices(num_examples, seed, first)
        fetch = _gatherer(*load_split(dataset_dir, manifest, split))
    else:
        elements = _serialized(manifest.shard_paths(dataset_dir, split), num_examples, seed, first, shuffle_buffer)
        fetch = _decoder(manifest)

    def prepare(number: tf.Tensor, source: tf.Tensor) -> augmentation.Pair:
        image, mask = fetch(source)
        draw = _seed_of(seed, number, _AUGMENTATION)
        return augmentation.apply(policy, image, mask, draw, manifest.label_map.ignore_id)

    # The elements come shuffled and repeated: the order of a pass depends on the number of the pass, and batching the
    # endless stream, not each pass, is what lets a batch straddle two passes and keeps every batch full. Decoding
    # and augmentation come after the skip and after the choice of this worker's part, so that nothing is decoded for
    # nothing. They come before the batch, as each element has its own seed.
    if num_workers > 1:
        part = global_batch_size // num_workers
        elements = elements.filter(lambda number, _: number % global_batch_size // part == worker)
    batches = elements.map(prepare, AUTOTUNE).batch(batch_size, drop_remainder=True)
    return batches.prefetch(AUTOTUNE).with_options(_options())


def eval_batches(
    dataset_dir: str,
    manifest: Manifest,
    split: str,
    *,
    batch_size: int,
    num_replicas: int,
    cache_budget_bytes: int = 0,
    num_workers: int = 1,
    worker: int = 0,
) -> tf.data.Dataset:
    """Returns a split once, in the order of its files, in full batches.

    The end is padded with black images whose masks hold the ignored id everywhere, which no metric counts, until the
    batches are a multiple of `num_replicas`: no replica ever gets a short or an empty batch.

    Args:
        dataset_dir: directory of the shards.
        manifest: what the data set says of itself.
        split: name of the split, such as 'validation'.
        batch_size: examples in one batch: what one replica takes.
        num_replicas: replicas of all workers together.
        cache_budget_bytes: the decoded split is kept after its first use, by this dataset object, if it takes no more.
        num_workers: processes that share the batches.
        worker: the number of this process among them: it gets every `num_workers`th batch.

    Returns:
        A dataset of (images uint8 (batch_size, height, width, 3), masks uint8 (batch_size, height, width, 1)).

    Raises:
        UserError: the split is unknown or empty.
    """
    num_examples = _num_examples(dataset_dir, manifest, split)
    num_batches = math.ceil(num_examples / (batch_size * num_replicas)) * num_replicas
    pairs = _decoded_in_order(dataset_dir, manifest, split).concatenate(_padding(manifest))
    batches = pairs.take(num_batches * batch_size).batch(batch_size, drop_remainder=True)
    batches = batches.apply(tf.data.experimental.assert_cardinality(num_batches)).shard(num_workers, worker)
    if decoded_bytes(manifest, split) <= cache_budget_bytes:
        batches = batches.cache()
    return batches.prefetch(AUTOTUNE).with_options(_options())


def decoded_bytes(manifest: Manifest, split: str) -> int:
    """Returns the bytes that the images and masks of a split take when they are decoded."""
    height, width = manifest.image_size
    return manifest.num_records(split) * height * width * 4


def load_split(dataset_dir: str, manifest: Manifest, split: str) -> augmentation.Pair:
    """Reads and decodes a whole split, in the order of its files, into host memory.

    Args:
        dataset_dir: directory of the shards.
        manifest: what the data set says of itself.
        split: name of the split.

    Returns:
        images uint8 (num_records, height, width, 3) and masks uint8 (num_records, height, width, 1).

    Raises:
        UserError: the split is unknown or empty, or a shard cannot be read; names the shard.
    """
    num_examples = _num_examples(dataset_dir, manifest, split)
    images = _aligned_array((num_examples, *manifest.image_size, 3))
    masks = _aligned_array((num_examples, *manifest.image_size, 1))
    with naming_damaged_shards(dataset_dir, manifest, split):
        pairs = _decoded_in_order(dataset_dir, manifest, split).prefetch(AUTOTUNE).with_options(_options())
        for row, (image, mask) in enumerate(pairs.as_numpy_iterator()):
            images[row], masks[row] = image, mask
    # Shares the memory of the arrays; tf.convert_to_tensor makes two copies on the way, and prefers an accelerator's.
    from_dlpack = tf.experimental.dlpack.from_dlpack
    return from_dlpack(images.__dlpack__()), from_dlpack(masks.__dlpack__())


def _aligned_array(shape: tuple[int, ...]) -> np.ndarray:
    """Returns an uninitialised uint8 array that begins where TensorFlow lets a tensor begin."""
    size = math.prod(shape)
    memory = np.empty(size + _TENSOR_ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _TENSOR_ALIGNMENT
    return memory[start : start + size].reshape(shape)


@contextlib.contextmanager
def naming_damaged_shards(dataset_dir: str, manifest: Manifest, *splits: str) -> Iterator[None]:
    """Turns what TensorFlow raises for a damaged shard, which names no file, into an error that names it.

    Put it around whatever iterates the batches of `splits`.

    Args:
        dataset_dir: directory of the shards.
        manifest: what the data set says of itself.
        *splits: names of the splits that are read.

    Raises:
        UserError: reading failed and a shard is missing or damaged, or has records of another size or number than
            the manifest says. Where all shards are fine the original error goes on.
    """
    try:
        yield
    except tf.errors.OpError:
        for split in splits:
            _check_records(dataset_dir, manifest, split)
        raise


def _check_records(dataset_dir: str, manifest: Manifest, split: str) -> None:
    """Raises UserError for the first shard of a split whose records are not those of the manifest."""
    again = 'prepare the data set again'
    for shard, path in zip(manifest.split_shards(split), manifest.shard_paths(dataset_dir, split), strict=True):
        found = 0
        try:
            for record in records.read(path):
                found += 1
                if not record.image.shape[:2] == record.mask.shape == manifest.image_size:
                    sizes = f'image {record.image.shape[:2]}, mask {record.mask.shape}'
                    raise errors.UserError(
                        f'{path}: record {record.index}: {sizes}, the manifest says {manifest.image_size}; {again}'
                    )
        except (OSError, records.DamagedRecordError) as error:
            raise errors.UserError(f'{error}; {again}') from error
        if found != shard.num_records:
            raise errors.UserError(f'{path}: {found} records, the manifest says {shard.num_records}; {again}')


def _num_examples(dataset_dir: str, manifest: Manifest, split: str) -> int:
    num_examples = manifest.num_records(split)
    if not num_examples:
        raise errors.UserError(f'split {split} of {dataset_dir} holds no example')
    return num_examples


def _check_division(batch_size: int, global_batch_size: int, num_workers: int) -> None:
    if global_batch_size % (batch_size * num_workers):
        raise ValueError(
            f'global_batch_size {global_batch_size} is no multiple of batch_size {batch_size} x {num_workers} workers'
        )


def _options() -> tf.data.Options:
    options = tf.data.Options()
    options.deterministic = True
    # The rewriting of the graph, which finds nothing to improve here, would copy the split that is held in memory.
    options.experimental_optimization.apply_default_optimizations = False
    return options


def _seed_of(seed: int, number: tf.Tensor, use: int) -> tf.Tensor:
    """Returns the int64 (2,) seed of one use of one pass or element."""
    pair = tf.stack([tf.constant(seed, tf.int64), tf.cast(number, tf.int64)])
    return tf.random.experimental.stateless_fold_in(pair, use, alg='philox')


def _shuffled(values: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    return tf.random.experimental.stateless_shuffle(values, seed, alg='philox')


def _passes(first: int, num_examples: int) -> tf.data.Dataset:
    """Returns the numbers of the passes from that of element `first` on; endless for all that matters."""
    return tf.data.Dataset.range(first // num_examples, tf.int64.max)


def _indices(num_examples: int, seed: int, first: int) -> tf.data.Dataset:
    """Returns (number, index in the split) of the elements from number `first` on."""

    def one_pass(number: tf.Tensor) -> tf.data.Dataset:
        order = _shuffled(tf.range(num_examples, dtype=tf.int64), _seed_of(seed, number, _ORDER_OF_EXAMPLES))
        pass_start = number * num_examples
        places = tf.range(tf.maximum(first - pass_start, 0), num_examples)
        return tf.data.Dataset.from_tensor_slices((pass_start + places, tf.gather(order, places)))

    return _passes(first, num_examples).flat_map(one_pass)


def _serialized(paths: list[str], num_examples: int, seed: int, first: int, shuffle_buffer: int) -> tf.data.Dataset:
    """Returns (number, serialized record) of the elements from number `first` on; every pass reads the shards."""

    def one_pass(number: tf.Tensor) -> tf.data.Dataset:
        shards = tf.data.Dataset.from_tensor_slices(_shuffled(paths, _seed_of(seed, number, _ORDER_OF_SHARDS)))
        # Neighbours in the stream come from different shards; deterministic, however fast each of them is read.
        serialized = shards.interleave(
            tf.data.TFRecordDataset, cycle_length=_OPEN_SHARDS, num_parallel_calls=AUTOTUNE, deterministic=True
        )
        serialized = serialized.apply(tf.data.experimental.assert_cardinality(num_examples))
        return _shuffle_windows(serialized, shuffle_buffer, _seed_of(seed, number, _ORDER_IN_WINDOW))

    pass_start = first - first % num_examples
    stream = _passes(first, num_examples).flat_map(one_pass).enumerate(start=pass_start)
    return stream.skip(first - pass_start)


def _shuffle_windows(dataset: tf.data.Dataset, size: int, seed: tf.Tensor) -> tf.data.Dataset:
    """Returns `dataset` with each run of `size` elements shuffled.

    Dataset.shuffle would do, but its order also depends on the seed that tf.random.set_seed left in the process.
    """

    def shuffle(number: tf.Tensor, window: tf.Tensor) -> tf.Tensor:
        return _shuffled(window, tf.random.experimental.stateless_fold_in(seed, number, alg='philox'))

    return dataset.batch(size).enumerate().map(shuffle).unbatch()


def _decoded_in_order(dataset_dir: str, manifest: Manifest, split: str) -> tf.data.Dataset:
    """Returns the decoded (image, mask) of a split in the order of its files."""
    serialized = tf.data.TFRecordDataset(manifest.shard_paths(dataset_dir, split))
    serialized = serialized.apply(tf.data.experimental.assert_cardinality(manifest.num_records(split)))
    return serialized.map(_decoder(manifest), AUTOTUNE)


def _padding(manifest: Manifest) -> tf.data.Dataset:
    """Returns endless pairs that count for nothing."""
    black = tf.zeros((*manifest.image_size, 3), tf.uint8)
    ignored = tf.fill((*manifest.image_size, 1), tf.constant(manifest.label_map.ignore_id, tf.uint8))
    return tf.data.Dataset.from_tensors((black, ignored)).repeat()


def _gatherer(images: tf.Tensor, masks: tf.Tensor) -> _Fetch:
    """Returns the function from an index to the pair at that place."""
    return lambda index: (tf.gather(images, index), tf.gather(masks, index))


def _decoder(manifest: Manifest) -> _Fetch:
    """Returns the function from a serialized record to (image uint8 (h, w, 3), mask uint8 (h, w, 1))."""
    features = {
        'image': tf.io.FixedLenFeature((), tf.string),
        'segmentation_mask': tf.io.FixedLenFeature((), tf.string),
    }

    def decode(serialized: tf.Tensor) -> augmentation.Pair:
        example = tf.io.parse_single_example(serialized, features)
        image = tf.io.decode_image(example['image'], channels=3, expand_animations=False)
        mask = tf.io.decode_png(example['segmentation_mask'], channels=1)
        return tf.ensure_shape(image, (*manifest.image_size, 3)), tf.ensure_shape(mask, (*manifest.image_size, 1))

    return decode
