"""Brings decoded images and masks to one size, as `imaging.resizing` does with the mode squash, in TensorFlow."""

import tensorflow as tf

_Size = tuple[int, int]  # (height, width) in pixels


def resize_image(image: tf.Tensor, size: _Size) -> tf.Tensor:
    """Resizes an image: each new pixel is the mean of the area that it covers, or linear if a side grows.

    TensorFlow and OpenCV, by which `imaging.resizing` does it, compute the same means with other roundings: a value
    differs by 1 of 255 at most.

    Args:
        image: (H, W, 3) uint8; the size need not be known.
        size: (height, width) wanted.

    Returns:
        (height, width, 3) uint8.
    """
    present = tf.shape(image)[:2]
    batch = tf.cast(image[tf.newaxis], tf.float32)
    resized = tf.cond(
        tf.reduce_all(present >= tf.constant(size)),
        lambda: tf.image.resize(batch, size, tf.image.ResizeMethod.AREA),
        lambda: tf.image.resize(batch, size, tf.image.ResizeMethod.BILINEAR),
    )
    return tf.ensure_shape(tf.saturate_cast(tf.round(resized[0]), tf.uint8), (*size, 3))


def resize_mask(mask: tf.Tensor, size: _Size) -> tf.Tensor:
    """Resizes a mask by nearest: for row r of `height` the row floor((r + 0.5) * H / height) of H, and columns alike.

    The same pixels as those of `imaging.resizing.resize_mask`: both compute in whole numbers.

    Args:
        mask: (H, W) of any type.
        size: (height, width) wanted.

    Returns:
        (height, width) of that type.
    """
    present = tf.shape(mask)
    rows, columns = (_under_centres(size[axis], present[axis]) for axis in (0, 1))
    return tf.ensure_shape(tf.gather(tf.gather(mask, rows), columns, axis=1), size)


def _under_centres(wanted: int, present: tf.Tensor) -> tf.Tensor:
    """For each of `wanted` pixels in a row, which of the `present` ones is under its centre."""
    return (2 * tf.range(wanted) + 1) * present // (2 * wanted)
