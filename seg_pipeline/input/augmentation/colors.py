"""Changes of an image's colours, its sharpness and its noise.

Images are float32 (height, width, 3), RGB, from 0 to 255: they are rounded once, after the last change. Brightness,
contrast, saturation, hue and the loss of colour are linear in (red, green, blue), so they are one matrix and one offset
an image. What can lead out of 0..255, these and the noise, cuts its values to that range.
"""

import math

import numpy as np
import tensorflow as tf

from seg_pipeline.input.augmentation.draws import Draw
from seg_pipeline.input.strengths import Strengths

# The weights of red, green and blue in the grey of a pixel (ITU-R BT.601), as OpenCV has them.
_GREY = (0.299, 0.587, 0.114)
# Of `saturated_and_turned`: the part along the axis of the greys, that across it, the turn of that by a right angle,
# and what gives each colour its grey.
_ALONG = np.full((3, 3), 1 / 3)
_TURNED = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / math.sqrt(3)
_TERMS = np.stack([_ALONG, np.eye(3) - _ALONG, _TURNED, np.tile(_GREY, (3, 1))])


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
    matrix = contrast * saturated_and_turned(saturation, draw.between('hue', -strengths.hue, strengths.hue))
    brightness = draw.between('brightness', -strengths.brightness, strengths.brightness)
    return matrix, (1.0 - contrast) * tf.tensordot(mean, tf.constant(_GREY), 1) + 255.0 * brightness


def saturated_and_turned(saturation: tf.Tensor, turn: tf.Tensor) -> tf.Tensor:
    """The matrix s H + (1 - s) G, with G that gives each colour its grey, and H the rotation by a fraction of a turn.

    It is H (s I + (1 - s) G), since H leaves greys as they are. H is, by Rodrigues' formula about the axis
    (1, 1, 1) / sqrt(3), a sum of three constant matrices with the factors 1, cos and sin: one product gives the sum of
    all four, where an op for each would take longer than all pixels do.
    """
    angle = 2.0 * math.pi * turn
    factors = tf.stack([saturation, saturation * tf.cos(angle), saturation * tf.sin(angle), 1.0 - saturation])
    return tf.tensordot(factors, tf.constant(_TERMS, tf.float32), 1)


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
        noise = tf.random.stateless_normal(tf.shape(image), seed, alg='philox')
        return tf.clip_by_value(image + sigma * noise, 0.0, 255.0)

    return tf.cond(draw.below('noise', strengths.noise), noisy, lambda: image)
