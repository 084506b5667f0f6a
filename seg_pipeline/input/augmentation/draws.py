"""Random numbers that are a pure function of a seed, and seeds of parts."""

import math

import tensorflow as tf

# What is drawn for one pair by `Strengths`. Each has a place of its own, so that a strength that changes leaves what is
# drawn for the others as it was.
NAMES = (
    'brightness', 'contrast', 'saturation', 'hue', 'grey', 'gamma',
    'rotation', 'scale', 'x_shift', 'y_shift', 'x_shear', 'y_shear',
    'crop_area', 'crop_aspect', 'crop_left', 'crop_top', 'flip_left_right', 'flip_up_down',
    'blur', 'blur_sigma', 'noise', 'noise_sigma',
    'cutout', 'cutout_area', 'cutout_aspect', 'cutout_left', 'cutout_top',
    'cutmix', 'cutmix_area', 'cutmix_aspect', 'cutmix_left', 'cutmix_top', 'copy_paste',
)  # fmt: skip


def child(seed: tf.Tensor, number: int) -> tf.Tensor:
    """Returns the seed of a part of what `seed` decides; parts with different numbers draw independently.

    A stateless op gives the same number for the same seed, so two draws from one seed would be one draw used twice:
    every draw therefore gets a child of its own.
    """
    return tf.random.experimental.stateless_fold_in(seed, number, alg='philox')


def uniform(seed: tf.Tensor, low: float, high: float) -> tf.Tensor:
    """Returns a float32 scalar from [low, high)."""
    # Philox is named because the default may be another generator on another device.
    return tf.random.stateless_uniform((), seed, low, high, alg='philox')


def choice(seed: tf.Tensor, count: int) -> tf.Tensor:
    """Returns an int32 scalar from 0, ..., count - 1."""
    return tf.random.stateless_uniform((), seed, 0, count, dtype=tf.int32, alg='philox')


class Draw:
    """The random numbers of one pair, by name: equal for equal seeds.

    Args:
        seed: int (2,).
    """

    def __init__(self, seed: tf.Tensor) -> None:
        numbers = tf.random.stateless_uniform((len(NAMES),), seed, alg='philox')
        self._numbers: dict[str, tf.Tensor] = dict(zip(NAMES, tf.unstack(numbers), strict=True))

    def between(self, name: str, low: float | tf.Tensor, high: float | tf.Tensor) -> tf.Tensor:
        """Returns the number of this name as a float32 scalar from [low, high)."""
        return low + (high - low) * self._numbers[name]

    def log_between(self, name: str, low: float, high: float) -> tf.Tensor:
        """The same, uniform in its logarithm: a factor and its inverse are equally likely."""
        return tf.exp(self.between(name, math.log(low), math.log(high)))

    def below(self, name: str, probability: float) -> tf.Tensor:
        """Tells, as a boolean scalar, whether the number of this name is below a probability."""
        return self._numbers[name] < probability
