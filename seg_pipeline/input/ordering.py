"""Which example of a split comes when: the endless, numbered stream of elements that training draws from.

The elements are numbered g = 0, 1, 2, ... With N examples in the split, element g belongs to pass g // N and is the
example at place g % N of the order of that pass, which is drawn from (seed, pass). So the stream from any number on
can be made without making what comes before it, which is what a resumed run needs.

With weights, a pass has some of the examples several times and others not at all, and still N elements.

Two orders are offered, because they differ in what they can reach. `shuffled_indices` permutes all N examples: it needs
the decoded split in memory. `shuffled_records` reads the shards in every pass and can only permute the shards and, in
the stream that results, the records of one window. A run keeps to one of them, since they draw different orders.
"""

from collections.abc import Callable

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

# Shards that are read at the same time.
_OPEN_SHARDS = 16

# What a seed is used for. Uses with different numbers draw independently, although all start from (seed, number): were
# the order of pass 3 and the augmentation of element 3 drawn from one seed, they would be correlated.
_ORDER_OF_EXAMPLES, _ORDER_OF_SHARDS, _ORDER_IN_WINDOW, _AUGMENTATION, _CHOICE_OF_EXAMPLES = range(5)


def augmentation_seed(seed: int, number: tf.Tensor) -> tf.Tensor:
    """Returns the int64 (2,) seed that decides the augmentation of element `number`."""
    return _seed_of(seed, number, _AUGMENTATION)


def shuffled_indices(
    num_examples: int, seed: int, first: int, weights: NDArray[np.float64] | None = None
) -> tf.data.Dataset:
    """Returns (element number, index in the split), both int64 scalars, of the elements from number `first` on.

    Args:
        num_examples: of the split, and of each pass.
        seed: decides the orders.
        first: number of the first element.
        weights: how often each example is to be drawn, in relation to the others; None for once in every pass.
    """

    def one_pass(number: tf.Tensor) -> tf.data.Dataset:
        chosen = tf.range(num_examples, dtype=tf.int64)
        if weights is not None:
            chosen = _chosen(weights, _seed_of(seed, number, _CHOICE_OF_EXAMPLES))
        order = _shuffled(chosen, _seed_of(seed, number, _ORDER_OF_EXAMPLES))
        pass_start = number * num_examples
        # Only the first pass may begin in its middle; in later ones the difference is negative.
        places = tf.range(tf.maximum(first - pass_start, 0), num_examples)
        return tf.data.Dataset.from_tensor_slices((pass_start + places, tf.gather(order, places)))

    return _passes(first, num_examples).flat_map(one_pass)


def shuffled_records(
    paths: list[str],
    num_examples: int,
    seed: int,
    first: int,
    window: int,
    read_shard: Callable[[tf.Tensor], tf.data.Dataset] = tf.data.TFRecordDataset,
) -> tf.data.Dataset:
    """Returns (element number, serialized record) of the elements from number `first` on.

    Every pass reads all shards. The records of the first pass that come before `first` are read and skipped, as what
    they are is only known once they are read; they are not decoded.

    Args:
        paths: the shards.
        num_examples: records of all shards together.
        seed: decides the orders.
        first: number of the first element.
        window: how many records of the stream are shuffled together.
        read_shard: from the path of a shard to its serialized records.
    """

    def one_pass(number: tf.Tensor) -> tf.data.Dataset:
        shards = tf.data.Dataset.from_tensor_slices(_shuffled(paths, _seed_of(seed, number, _ORDER_OF_SHARDS)))
        # Neighbours in the stream come from different shards. `deterministic` fixes the order of the records however
        # fast each shard is read.
        serialized = shards.interleave(
            read_shard, cycle_length=_OPEN_SHARDS, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
        )
        # Fails where a shard is short; otherwise every later pass would begin at a wrong number.
        serialized = serialized.apply(tf.data.experimental.assert_cardinality(num_examples))
        return _shuffle_windows(serialized, window, _seed_of(seed, number, _ORDER_IN_WINDOW))

    pass_start = first - first % num_examples
    stream = _passes(first, num_examples).flat_map(one_pass).enumerate(start=pass_start)
    return stream.skip(first - pass_start)


def _chosen(weights: NDArray[np.float64], seed: tf.Tensor) -> tf.Tensor:
    """Chooses as many of the examples as there are, by their weights.

    By systematic sampling: the examples lie side by side on a line, each as long as its weight, and points of equal
    distances, with a start that is drawn, fall on them. So an example that is to be drawn w times in the mean is drawn
    w times rounded down or up, where independent draws would leave out a third of all examples of equal weights.
    """
    ends = np.cumsum(weights) / np.sum(weights)
    start = tf.random.stateless_uniform((), seed, dtype=tf.float64, alg='philox')
    points = (tf.range(len(weights), dtype=tf.float64) + start) / len(weights)
    # The last end may be below 1 by rounding.
    return tf.minimum(tf.searchsorted(ends, points, side='right', out_type=tf.int64), len(weights) - 1)


def _passes(first: int, num_examples: int) -> tf.data.Dataset:
    """Returns the numbers of the passes from that of element `first` on; the last, 2**63 - 2, is never reached."""
    return tf.data.Dataset.range(first // num_examples, tf.int64.max)


def _shuffle_windows(dataset: tf.data.Dataset, size: int, seed: tf.Tensor) -> tf.data.Dataset:
    """Returns `dataset` with each run of `size` elements shuffled; memory holds one run at a time.

    Not Dataset.shuffle: its order depends on the seed that tf.random.set_seed has set in the process as well, and its
    buffer is a state that a resumed run would have to restore. A window has neither: window w of a pass is permuted by
    a stateless op from (the seed of the pass, w). The price is that no element leaves its window, which the shuffled
    and interleaved shards make up for.
    """

    def shuffle(number: tf.Tensor, window: tf.Tensor) -> tf.Tensor:
        return _shuffled(window, tf.random.experimental.stateless_fold_in(seed, number, alg='philox'))

    return dataset.batch(size).enumerate().map(shuffle).unbatch()


def _seed_of(seed: int, number: tf.Tensor, use: int) -> tf.Tensor:
    """Returns the int64 (2,) seed of one use of one pass or element."""
    pair = tf.stack([tf.constant(seed, tf.int64), tf.cast(number, tf.int64)])
    return tf.random.experimental.stateless_fold_in(pair, use, alg='philox')


def _shuffled(values: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    # The generator is named because the default, 'auto_select', may be another one on another device.
    return tf.random.experimental.stateless_shuffle(values, seed, alg='philox')
