"""Losses as a sum and a count, so that the mean over any number of replicas is exact (see `steps`)."""

import tensorflow as tf

from trainer.evaluation import confusion


def cross_entropy(masks: tf.Tensor, logits: tf.Tensor, ignore_id: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Sums the cross-entropy of all pixels that are not ignored.

    For a pixel of class c with the logits z it is log(sum_k exp(z_k)) - z_c, computed in float32.

    Example:
        >>> cross_entropy(tf.zeros((1, 2, 2, 1), tf.uint8), tf.zeros((1, 2, 2, 4)), ignore_id=255)  # 4 log 4 and 4

    Args:
        masks: integer ids (batch, height, width, 1), in 0..num_classes - 1 or `ignore_id`.
        logits: floats (batch, height, width, num_classes).
        ignore_id: pixels with this id do not count.

    Returns:
        Two float32 scalars: the sum over the valid pixels, in nats, and their number.

    Raises:
        ValueError: the shapes or types do not fit each other.
    """
    confusion.check_shapes(masks, logits)
    ids = tf.cast(tf.squeeze(masks, -1), tf.int32)
    valid = tf.not_equal(ids, ignore_id)
    # The ignored id is outside of the table, where the op gives nan (on a GPU) or an error (on a CPU). Class 0 replaces
    # it here, and the sum below leaves these pixels out, which gives them the gradient 0.
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
        labels=tf.where(valid, ids, 0), logits=tf.cast(logits, tf.float32)
    )
    return tf.reduce_sum(tf.where(valid, losses, 0.0)), tf.reduce_sum(tf.cast(valid, tf.float32))
