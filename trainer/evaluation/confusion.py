"""Counts pixels by what they are and what they are taken for. Pixels with the ignored id never count."""

import tensorflow as tf


def confusion_matrix(masks: tf.Tensor, logits: tf.Tensor, ignore_id: int) -> tf.Tensor:
    """Counts pixels by their true and their predicted id.

    Args:
        masks: integer ids (batch, height, width, 1); pixels with `ignore_id` do not count.
        logits: floats (batch, height, width, num_classes).
        ignore_id: the id of pixels without a class.

    Returns:
        int64 (num_classes, num_classes): row = true id, column = predicted id. The matrices of the parts of a data set
        add up to the matrix of all of it, so neither batches nor replicas change a metric that is derived from the sum.

    Raises:
        ValueError: the shapes or types do not fit each other.
        tf.errors.InvalidArgumentError: an id is neither a class nor `ignore_id`.
    """
    check_shapes(masks, logits)
    num_classes = logits.shape[-1]
    ids = tf.reshape(tf.cast(masks, tf.int64), [-1])
    predictions = tf.reshape(tf.argmax(logits, axis=-1), [-1])
    valid = tf.not_equal(ids, ignore_id)
    ids, predictions = ids[valid], predictions[valid]
    # Without this check an id outside the table would vanish from the count, or be counted as another.
    in_table = tf.debugging.assert_less(ids, tf.cast(num_classes, tf.int64), f'an id is not below {num_classes}')
    # Row-major: cell (true, predicted) of the matrix is number true * num_classes + predicted of the flat histogram.
    # Eagerly the check has already run and is None; in a graph it only runs if something depends on it.
    with tf.control_dependencies([in_table] if in_table is not None else []):
        cells = tf.math.bincount(
            tf.cast(ids * num_classes + predictions, tf.int32), minlength=num_classes**2, maxlength=num_classes**2
        )
    return tf.reshape(tf.cast(cells, tf.int64), (num_classes, num_classes))


def count_correct(masks: tf.Tensor, logits: tf.Tensor, ignore_id: int) -> tf.Tensor:
    """Counts the valid pixels whose class was predicted right: the trace of `confusion_matrix`, an int64 scalar.

    Args:
        masks: integer ids (batch, height, width, 1).
        logits: floats (batch, height, width, num_classes).
        ignore_id: the id of pixels without a class.

    Raises:
        ValueError: the shapes or types do not fit each other.
    """
    check_shapes(masks, logits)
    ids = tf.cast(tf.squeeze(masks, -1), tf.int64)
    correct = tf.equal(tf.argmax(logits, axis=-1), ids) & tf.not_equal(ids, ignore_id)
    return tf.math.count_nonzero(correct)


def check_shapes(masks: tf.Tensor, logits: tf.Tensor) -> None:
    """Raises ValueError unless masks are integer (b, h, w, 1) and logits float (b, h, w, classes).

    Masks (b, h, w) would otherwise broadcast against logits (b, h, w, classes) to a number that looks like a result.
    """
    wanted = logits.shape[:-1].concatenate(1)
    if logits.shape.rank != 4 or masks.shape.rank != 4 or not masks.shape.is_compatible_with(wanted):
        raise ValueError(f'masks must have the shape {wanted} of the logits {logits.shape}, not {masks.shape}')
    if not masks.dtype.is_integer or not logits.dtype.is_floating:
        raise ValueError(f'masks must be integer ids and logits floats, not {masks.dtype.name} and {logits.dtype.name}')
