"""From images of any size to ids of that size: the arithmetic around the model that prediction and export share."""

import math

import keras
import numpy as np
import tensorflow as tf


def shrink(images: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """Resizes images as the preparation of the data does (`seg_pipeline.imaging.resizing.resize_image`), in TensorFlow.

    Each new pixel is the mean of the area that it covers; where a side grows, it is interpolated bilinearly. The model
    has learned from images that were made this way; plain bilinear sampling would show it sharper and noisier ones. The
    result differs from that of OpenCV by rounding: at most 1 of 255.

    Args:
        images: uint8 (batch, height, width, 3).
        size: height and width wanted.

    Returns:
        uint8 (batch, *size, 3).
    """
    # tf.cond and not a Python `if`: in an exported model the sizes are known only when it is called.
    shrinks = tf.reduce_all(tf.shape(images)[1:3] >= size)
    resized = tf.cond(
        shrinks,
        lambda: tf.image.resize(images, size, tf.image.ResizeMethod.AREA),
        lambda: tf.image.resize(images, size, tf.image.ResizeMethod.BILINEAR),
    )
    return tf.cast(tf.round(resized), tf.uint8)


def ids_at_size(logits: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """Returns the most likely class of every pixel of an image, from the logits of its small copy.

    The logits, not the ids, are brought to the image's size: between two pixels of the small copy the border then runs
    where the two classes are equally likely, which follows the outlines, instead of in steps of many pixels.

    Args:
        logits: float32 (batch, height, width, num_classes).
        size: int32 (2,), height and width of the images.

    Returns:
        uint8 (batch, *size).
    """

    def take(state: tuple[tf.Tensor, tf.Tensor, tf.Tensor], plane: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        best, ids, class_id = state
        plane = tf.image.resize(plane, size)
        return tf.maximum(plane, best), tf.where(plane > best, class_id, ids), class_id + 1

    # argmax(resize(logits)), computed for one class after the other, so that the memory it takes does not grow with the
    # number of classes: all 59 planes of one image of 12 megapixels would be 2.8 GB. A later class wins only if it is
    # strictly larger (`>`), so of equal ones the first is taken, as argmax does.
    planes = tf.transpose(logits, (3, 0, 1, 2))[..., tf.newaxis]
    shape = tf.concat([tf.shape(logits)[:1], size, [1]], axis=0)
    start = (tf.fill(shape, -math.inf), tf.zeros(shape, tf.uint8), tf.constant(0, tf.uint8))
    # One plane at a time: by itself TensorFlow enlarges the next ten meanwhile, and keeps them.
    _, ids, _ = tf.foldl(take, planes, start, parallel_iterations=1)
    return ids[..., 0]


class Predictor:
    """A trained model as a function of images.

    Args:
        model: from uint8 (batch, height, width, 3) to float32 logits (batch, height, width, num_classes).
    """

    def __init__(self, model: keras.Model) -> None:
        height, width, num_classes = model.output_shape[1:]
        # Traced here, once: threads that call an untraced function at the same time each trace it.
        self._logits = tf.function(lambda images: model(images, training=False)).get_concrete_function(
            tf.TensorSpec((None, height, width, 3), tf.uint8)
        )
        self._ids = tf.function(ids_at_size).get_concrete_function(
            tf.TensorSpec((None, None, None, num_classes), tf.float32), tf.TensorSpec((2,), tf.int32)
        )

    def logits(self, images: np.ndarray) -> tf.Tensor:
        """Returns the logits, float32 (batch, height, width, num_classes), of uint8 images of the model's size."""
        return self._logits(tf.constant(images))

    def ids(self, logits: tf.Tensor, size: tuple[int, int]) -> np.ndarray:
        """Returns the ids, uint8 (*size), of one image of that size, from its logits (height, width, num_classes)."""
        ids: np.ndarray = self._ids(logits[tf.newaxis], tf.constant(size))[0].numpy()
        return ids
