"""Losses as a sum and a count, so that the mean over any number of replicas is exact."""

import tensorflow as tf


def cross_entropy(masks: tf.Tensor, logits: tf.Tensor, ignore_id: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Sums the cross-entropy of all pixels that are not ignored.

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
    check_shapes(masks, logits)
    ids = tf.cast(tf.squeeze(masks, -1), tf.int32)
    valid = tf.not_equal(ids, ignore_id)
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
        labels=tf.where(valid, ids, 0), logits=tf.cast(logits, tf.float32)
    )
    return tf.reduce_sum(tf.where(valid, losses, 0.0)), tf.reduce_sum(tf.cast(valid, tf.float32))


def check_shapes(masks: tf.Tensor, logits: tf.Tensor) -> None:
    """Raises ValueError unless masks are integer (b, h, w, 1) and logits float (b, h, w, classes)."""
    wanted = logits.shape[:-1].concatenate(1)
    if logits.shape.rank != 4 or masks.shape.rank != 4 or not masks.shape.is_compatible_with(wanted):
        raise ValueError(f'masks must have the shape {wanted} of the logits {logits.shape}, not {masks.shape}')
    if not masks.dtype.is_integer or not logits.dtype.is_floating:
        raise ValueError(f'masks must be integer ids and logits floats, not {masks.dtype.name} and {logits.dtype.name}')
