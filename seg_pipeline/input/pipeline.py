"""The batches of a split: to train on without end, or to evaluate on once.

Training elements form one endless stream, numbered g = 0, 1, 2, ... (see `ordering`); the augmentation of an element is
drawn from (seed, g). Global step k takes elements k * global_batch_size and the following. A batch is therefore a pure
function of (seed, step): a run that starts at step k gets the batches of a run that came to step k, whatever the number
of parallel calls, of replicas or of workers.

A decoded split that takes at most `cache_budget_bytes` is read and decoded once and held in memory as uint8; otherwise
every pass streams the shards.
"""

import math
from collections.abc import Callable

import tensorflow as tf

from seg_pipeline import errors
from seg_pipeline.dataset.dataset_split import Split
from seg_pipeline.input import augmentation, decoding, ordering, partners, rare_classes
from seg_pipeline.input.augmentation import ImageMask


def train_batches(
    split: Split,
    *,
    batch_size: int,
    global_batch_size: int,
    seed: int,
    start_step: int,
    policy: augmentation.Policy,
    cache_budget_bytes: int,
    shuffle_buffer: int = 1000,
    repeat_factor_threshold: float = 0.0,
    num_workers: int = 1,
    worker: int = 0,
) -> tf.data.Dataset:
    """Returns the endless batches of a split, shuffled anew in every pass and augmented.

    Every batch is full: one that comes to the end of a pass goes on with the next pass. In each pass every example
    occurs exactly once.

    Example:
        batches = train_batches(
            DatasetSplit.read(dataset_dir, 'train'), batch_size=64, global_batch_size=64, seed=0, start_step=0,
            policy=augmentation.ARTICLE, cache_budget_bytes=2**31)

    Args:
        split: what to read.
        batch_size: examples in one batch that comes out: what one replica takes.
        global_batch_size: examples that one step takes over all replicas of all workers.
        seed: decides every order and every augmentation.
        start_step: the step whose elements come first; those before are skipped without being decoded.
        policy: the augmentation, drawn anew for every example in every pass.
        cache_budget_bytes: most bytes to hold in memory for the decoded split.
        shuffle_buffer: records that are shuffled together where the split does not fit that budget.
        repeat_factor_threshold: draw photos more often that have a class which less than this share of the photos has,
            see `rare_classes`; then a pass does not have every example once. 0: do not.
        num_workers: processes that share each step, as in `tf.distribute.InputContext.num_input_pipelines`.
        worker: the number of this process among them: it gets that one of `num_workers` equal parts of each step.

    Returns:
        A dataset of (images uint8 (batch_size, height, width, 3), masks uint8 (batch_size, height, width, 1)).

    Raises:
        UserError: the split is empty, a shard cannot be read, or rare classes are to be drawn more often and the split
            does not fit the budget.
        ValueError: the batch sizes do not divide each other.
    """
    _check_division(batch_size, global_batch_size, num_workers)
    num_examples = decoding.num_examples(split)
    first = start_step * global_batch_size
    mixes = augmentation.needs_partner(policy)
    begin = first - first % 2 if mixes else first  # see `partners.paired`
    fetch: Callable[[tf.Tensor], ImageMask]
    if decoding.decoded_bytes(split) <= cache_budget_bytes:
        images, masks = decoding.load_split(split)
        weights = None
        if repeat_factor_threshold:
            weights = rare_classes.repeat_factors(masks.numpy(), split.label_map.num_classes, repeat_factor_threshold)
        elements = ordering.shuffled_indices(num_examples, seed, begin, weights)
        fetch = _gatherer(images, masks)
    else:
        check_repeats(split, repeat_factor_threshold, cache_budget_bytes)
        read_shard = decoding.shard_reader(split)
        elements = ordering.shuffled_records(split.shard_paths, num_examples, seed, begin, shuffle_buffer, read_shard)
        fetch = decoding.decoder(split)

    def prepare(number: tf.Tensor, source: tf.Tensor, *of_partner: tf.Tensor) -> ImageMask:
        image, mask = fetch(source)
        partner = None
        if of_partner:
            partner_number, partner_source = of_partner
            draw_of_partner = ordering.augmentation_seed(seed, partner_number)
            partner = augmentation.Partner(lambda: fetch(partner_source), draw_of_partner)
        draw = ordering.augmentation_seed(seed, number)
        return augmentation.apply(policy, image, mask, draw, split.label_map.ignore_id, partner)

    # The order of the steps matters:
    # - shuffle and repeat come first, inside `elements`: the order of a pass depends on the number of the pass.
    # - skip and filter come before map: a resumed run decodes nothing that it skips, a worker nothing of the others.
    # - partners are given before the filter: the other element of a pair may be another worker's.
    # - map comes before batch, because each element has a seed of its own.
    # - batch comes after repeat: it cuts the endless stream, not each pass, so a batch may contain the end of one pass
    #   and the start of the next, and every batch is full. Then step k always begins at element k * global_batch_size.
    if mixes:
        elements = partners.paired(elements).skip(first - begin)
    if num_workers > 1:
        part = global_batch_size // num_workers
        # g % global_batch_size is the place in the global batch; worker w takes the w-th run of `part` places, so that
        # the parts of all workers, one after the other, are the batch of a single process.
        elements = elements.filter(lambda number, *_: number % global_batch_size // part == worker)
    batches = elements.map(prepare, tf.data.AUTOTUNE).batch(batch_size, drop_remainder=True)
    return batches.prefetch(tf.data.AUTOTUNE).with_options(decoding.options())


def eval_batches(
    split: Split,
    *,
    batch_size: int,
    num_replicas: int,
    cache_budget_bytes: int = 0,
    num_workers: int = 1,
    worker: int = 0,
) -> tf.data.Dataset:
    """Returns a split once, in the order of its files, in full batches of one size.

    Batches are no larger than the examples make necessary: 100 of them come as 2 batches of 50, not as 64 and 36, and 8
    as one of 8. The end is padded with black images whose masks hold the ignored id everywhere, which no metric counts,
    until the batches are a multiple of `num_replicas`: no replica ever gets a short or an empty batch.

    Args:
        split: what to read.
        batch_size: most examples in one batch: what one replica takes.
        num_replicas: replicas of all workers together.
        cache_budget_bytes: the decoded split is kept after its first use, by this dataset object, if it takes no more.
        num_workers: processes that share the batches.
        worker: the number of this process among them: it gets every `num_workers`th batch.

    Returns:
        A dataset of (images uint8 (batch, height, width, 3), masks uint8 (batch, height, width, 1)).

    Raises:
        UserError: the split is empty.
    """
    num_examples = decoding.num_examples(split)
    num_batches = math.ceil(num_examples / (batch_size * num_replicas)) * num_replicas
    batch_size = math.ceil(num_examples / num_batches)
    pairs = decoding.decoded_in_order(split).concatenate(_padding(split))
    batches = pairs.take(num_batches * batch_size).batch(batch_size, drop_remainder=True)
    # The padding is endless, so tf.data cannot know how many batches there are; a strategy needs to.
    batches = batches.apply(tf.data.experimental.assert_cardinality(num_batches)).shard(num_workers, worker)
    if decoding.decoded_bytes(split) <= cache_budget_bytes:
        batches = batches.cache()
    return batches.prefetch(tf.data.AUTOTUNE).with_options(decoding.options())


def check_repeats(split: Split, repeat_factor_threshold: float, cache_budget_bytes: int) -> None:
    """Raises `UserError` where rare classes are to be drawn more often of a split that does not fit into memory."""
    needed = decoding.decoded_bytes(split)
    if repeat_factor_threshold and needed > cache_budget_bytes:
        raise errors.UserError(
            f'--repeat_factor_threshold={repeat_factor_threshold} needs the decoded split {split.name} in memory: '
            f'it takes {math.ceil(needed / 2**20)} MiB, --cache_budget_mb allows {cache_budget_bytes // 2**20}'
        )


def _check_division(batch_size: int, global_batch_size: int, num_workers: int) -> None:
    if global_batch_size % (batch_size * num_workers):
        raise ValueError(
            f'global_batch_size {global_batch_size} is no multiple of batch_size {batch_size} x {num_workers} workers'
        )


def _padding(split: Split) -> tf.data.Dataset:
    """Returns endless pairs that count for nothing."""
    black = tf.zeros((*split.image_size, 3), tf.uint8)
    ignored = tf.fill((*split.image_size, 1), tf.constant(split.label_map.ignore_id, tf.uint8))
    return tf.data.Dataset.from_tensors((black, ignored)).repeat()


def _gatherer(images: tf.Tensor, masks: tf.Tensor) -> Callable[[tf.Tensor], ImageMask]:
    """Returns the function from an index to the pair at that place."""
    return lambda index: (tf.gather(images, index), tf.gather(masks, index))
