"""Which two elements of the training stream are mixed with each other."""

import tensorflow as tf


def paired(elements: tf.data.Dataset) -> tf.data.Dataset:
    """Gives every element of the stream its partner: elements 2i and 2i + 1 are partners of each other.

    The rule depends on nothing but the number of an element. So the partner is the same whether the split is in memory
    or streamed, for any number of replicas and workers, though they may be in different parts of a batch, and in a run
    that goes on in the middle. As every pass is shuffled, each example meets another partner in each pass.

    Args:
        elements: endless (element number, source), from an even number on.

    Returns:
        Endless (element number, source, element number of the partner, source of the partner).
    """

    def both(numbers: tf.Tensor, sources: tf.Tensor) -> tf.data.Dataset:
        return tf.data.Dataset.from_tensor_slices(
            (numbers, sources, tf.reverse(numbers, [0]), tf.reverse(sources, [0]))
        )

    return elements.batch(2, drop_remainder=True).flat_map(both)
