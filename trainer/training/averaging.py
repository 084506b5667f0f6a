"""The moving average of the weights, which validates and predicts better than the weights of any one step."""

from collections.abc import Callable

import keras
import tensorflow as tf

from trainer.models import precision


def make_averaging(
    strategy: tf.distribute.Strategy,
    averaged: keras.Model,
    model: keras.Model,
    decay: float,
    loss_scale: precision.LossScale | None = None,
) -> Callable[[tf.Tensor], None]:
    """Makes the function that takes the weights of a step into the average.

    After step n, counted from 1, an averaged weight is d_n times itself plus 1 - d_n times the weight, with
    d_n = min(decay, (1 + n) / (10 + n)): while n is small, the first weights, which mean nothing yet, are soon
    forgotten. The statistics of normalization layers are averaged too.

    Args:
        strategy: in whose scope both models were made.
        averaged: has the average; the same network as `model`.
        model: the one that learns.
        decay: 0 to 1; the average goes over about the last 1 / (1 - decay) steps.
        loss_scale: may leave steps out, which the average then leaves out too; None if no step is left out.

    Returns:
        A compiled function of n, int64.
    """
    pairs = [(average.value, weight.value) for average, weight in zip(averaged.weights, model.weights, strict=True)]

    def average(number: tf.Tensor) -> None:
        n = tf.cast(number, tf.float32)
        part = 1 - tf.minimum(decay, (1 + n) / (10 + n))
        if loss_scale is not None:
            part = tf.where(loss_scale.skipped > 0, 0.0, part)

        def update(mean: tf.Variable, weight: tf.Tensor) -> None:
            # A layer may have a weight that counts.
            mean.assign_add(part * (weight - mean)) if mean.dtype.is_floating else mean.assign(weight)

        for mean, weight in pairs:
            strategy.extended.update(mean, update, args=(weight,), group=False)

    compiled: Callable[[tf.Tensor], None] = tf.function(average)
    return compiled
