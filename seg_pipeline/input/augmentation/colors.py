"""Changes of an image's colours, its sharpness and its noise.

Images are float32 (height, width, 3), RGB, from 0 to 255: they are rounded once, after the last change. Brightness,
contrast, saturation, hue and the loss of colour are linear in (red, green, blue), so they are one matrix and one offset
an image, and values are cut to 0..255 once.
"""

import math

import tensorflow as tf

from seg_pipeline.input.augmentation.draws import Draw
from seg_pipeline.input.strengths import Strengths

# The weights of red, green and blue in the grey of a pixel (ITU-R BT.601), as OpenCV has them.
_GREY = (0.299, 0.587, 0.114)


def change(strengths: Strengths, draw: Draw, image: tf.Tensor) -> tf.Tensor:
    """Changes the colours of an image, and then its gamma."""
    if _changes_colors(strengths):
        matrix, offset = draw_matrix(strengths, draw, tf.reduce_mean(image, axis=(0, 1)))
        pixels = tf.matmul(tf.reshape(image, (-1, 3)), matrix, transpose_b=True) + offset
        image = tf.reshape(tf.clip_by_value(pixels, 0.0, 255.0), tf.shape(image))
    if strengths.gamma != (1.0, 1.0):
        # Not `**`, which TensorFlow computes one value at a time: exp and log take a fifth of its time.
        gamma = draw.log_between('gamma', *strengths.gamma)
        image = 255.0 * tf.exp(gamma * tf.math.log(image / 255.0))
    return image


def _changes_colors(strengths: Strengths) -> bool:
    ranges = (strengths.contrast, strengths.saturation)
    return bool(strengths.brightness or strengths.hue or strengths.grey) or ranges != ((1.0, 1.0), (1.0, 1.0))


def draw_matrix(strengths: Strengths, draw: Draw, mean: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Draws what gives the new colour of a pixel from its old one: a matrix (3, 3) and a number to be added.

    With s, c and b drawn for saturation, contrast and brightness, g the mean grey of the image and H a rotation by the
    angle drawn for the hue, the new colour is

        c H (s x + (1 - s) grey(x)) + (1 - c) g + 255 b

    H rotates about the axis of the greys, (1, 1, 1). It leaves greys as they are, and turns red into green at 120
    degrees, green into blue and blue into red, as a turn of the hue does; between these it keeps the sum of the
    values and their distance from that axis, where a turn of the hue keeps the largest and the smallest value. Each of
    the factors maps greys to greys, so contrast and brightness could as well come first.

    Args:
        strengths: the ranges.
        draw: of the pair.
        mean: (3,), the mean colour of the image.
    """
    saturation = draw.between('saturation', *strengths.saturation)
    if strengths.grey:
        saturation = tf.where(draw.below('grey', strengths.grey), 0.0, saturation)
    contrast = draw.between('contrast', *strengths.contrast)
    brightness = draw.between('brightness', -strengths.brightness, strengths.brightness)
    of_saturation = saturation * tf.eye(3) + (1.0 - saturation) * tf.constant(_GREY)
    matrix = contrast * tf.matmul(_hue_rotation(draw.between('hue', -strengths.hue, strengths.hue)), of_saturation)
    return matrix, (1.0 - contrast) * tf.tensordot(tf.constant(_GREY), mean, 1) + 255.0 * brightness


def _hue_rotation(turn: tf.Tensor) -> tf.Tensor:
    """The rotation by a fraction of a full turn about (1, 1, 1) / sqrt(3), by Rodrigues' formula."""
    angle = 2.0 * math.pi * turn
    along, across = (1.0 - tf.cos(angle)) / 3.0, tf.sin(angle) / math.sqrt(3.0)
    same, forward, backward = along + tf.cos(angle), along + across, along - across
    return tf.stack([[same, backward, forward], [forward, same, backward], [backward, forward, same]])


def blur(strengths: Strengths, draw: Draw, image: tf.Tensor) -> tf.Tensor:
    """Blurs the image as often as `strengths` says; the pixels of its edge are continued beyond it."""
    if not strengths.blur:
        return image
    sigma = draw.between('blur_sigma', *strengths.blur_sigma)
    radius = math.ceil(3.0 * strengths.blur_sigma[1])
    weights = tf.exp(-0.5 * (tf.range(-radius, radius + 1, dtype=tf.float32) / sigma) ** 2)
    weights /= tf.reduce_sum(weights)

    def blurred() -> tf.Tensor:
        rows, columns = (
            tf.clip_by_value(tf.range(-radius, side + radius), 0, side - 1) for side in tf.unstack(tf.shape(image)[:2])
        )
        padded = tf.gather(tf.gather(image, rows), columns, axis=1)
        # Channels become a batch of grey pictures, which are convolved by rows and then by columns.
        pictures = tf.transpose(padded, (2, 0, 1))[..., tf.newaxis]
        pictures = tf.nn.conv2d(pictures, tf.reshape(weights, (-1, 1, 1, 1)), 1, 'VALID')
        pictures = tf.nn.conv2d(pictures, tf.reshape(weights, (1, -1, 1, 1)), 1, 'VALID')
        return tf.transpose(pictures[..., 0], (1, 2, 0))

    return tf.cond(draw.below('blur', strengths.blur), blurred, lambda: image)


def add_noise(strengths: Strengths, draw: Draw, image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Adds Gaussian noise, drawn from `seed` for each value, as often as `strengths` says."""
    if not strengths.noise:
        return image
    sigma = 255.0 * draw.between('noise_sigma', *strengths.noise_sigma)

    def noisy() -> tf.Tensor:
        return image + sigma * tf.random.stateless_normal(tf.shape(image), seed, alg='philox')

    return tf.cond(draw.below('noise', strengths.noise), noisy, lambda: image)
