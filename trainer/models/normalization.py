"""Batch normalization that computes what Keras's does, over the global batch, in fewer passes over its input.

Keras composes it of a dozen operations, each of which reads and writes a whole feature map: on a CPU that is a fifth of
a training step. TensorFlow has it as one operation, for one device. Over several replicas the same operation serves for
each part of the sum, and what is left to add up are numbers of a channel.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import keras
import tensorflow as tf

from trainer.models import encoders

_Statistics: TypeAlias = tuple[tf.Tensor, tf.Tensor]  # mean and variance (divided by the count), float32 (channels,)


def synchronize(model: keras.Model) -> None:
    """Makes replicas normalize by the statistics of the global batch, as a single device does, and by fused operations.

    A layer of another form than images with channels last, whose statistics are moving averages, stays Keras's.
    """
    for layer in encoders.batch_norm_layers(model):
        layer.synchronized = True
        if layer.input_spec.ndim == 4 and layer.axis in (-1, 3) and not layer.renorm:
            layer.call = _fused(layer)


def _fused(layer: keras.layers.BatchNormalization) -> Callable[..., tf.Tensor]:
    """The call of a layer: as Keras's, but for the operations."""
    of_keras = layer.call

    def call(inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        replica = tf.distribute.get_replica_context()
        learns = bool(training) and layer.trainable
        # What is frozen within training stays Keras's, since on a GPU the fused operation has no deterministic gradient
        # there. Symbolic inputs are those of a model that is being built.
        if not isinstance(inputs, tf.Tensor) or replica is None or mask is not None or (training and not learns):
            return of_keras(inputs, training=training, mask=mask)
        channels = inputs.shape[-1]
        scale = tf.ones(channels) if layer.gamma is None else tf.convert_to_tensor(layer.gamma)
        offset = tf.zeros(channels) if layer.beta is None else tf.convert_to_tensor(layer.beta)
        if not learns:
            moving = (tf.convert_to_tensor(layer.moving_mean), tf.convert_to_tensor(layer.moving_variance))
            return _normalize(inputs, scale, offset, moving, layer.epsilon)
        if replica.num_replicas_in_sync == 1:
            outputs, statistics = _normalize_by_own(inputs, scale, offset, layer.epsilon)
        else:
            statistics = _statistics_of_replicas(inputs, replica, layer.epsilon)
            outputs = _normalize_by_all(inputs, scale, offset, statistics, layer.epsilon, replica)
        for variable, value in zip((layer.moving_mean, layer.moving_variance), statistics, strict=True):
            variable.assign(variable * layer.momentum + value * (1.0 - layer.momentum))
        return outputs

    return call


def _normalize(
    inputs: tf.Tensor, scale: tf.Tensor, offset: tf.Tensor, statistics: _Statistics, epsilon: float
) -> tf.Tensor:
    mean, variance = statistics
    return tf.compat.v1.nn.fused_batch_norm(inputs, scale, offset, mean, variance, epsilon, is_training=False)[0]


def _normalize_by_own(
    inputs: tf.Tensor, scale: tf.Tensor, offset: tf.Tensor, epsilon: float
) -> tuple[tf.Tensor, _Statistics]:
    outputs, mean, unbiased = tf.compat.v1.nn.fused_batch_norm(inputs, scale, offset, epsilon=epsilon)
    count = _count(inputs)
    # The operation divides by count - 1, Keras by the count; of one value it says 0 or nan.
    variance = tf.where(count > 1, unbiased * (count - 1) / count, 0.0)
    return outputs, (tf.stop_gradient(mean), tf.stop_gradient(variance))


def _count(inputs: tf.Tensor) -> tf.Tensor:
    """The values of a channel, float32."""
    return tf.cast(tf.reduce_prod(tf.shape(inputs)[:3]), tf.float32)


def _statistics_of_replicas(inputs: tf.Tensor, replica: Any, epsilon: float) -> _Statistics:
    """Mean and variance over the global batch, from those of the replicas (Chan, Golub and LeVeque, 1983).

    The variance is the mean of those within the replicas and of the squared distances of their means: no difference of
    large numbers, as the mean of squares less the square of the mean is.
    """
    channels, count = inputs.shape[-1], _count(inputs)
    _, (mean, variance) = _normalize_by_own(tf.stop_gradient(inputs), tf.ones(channels), tf.zeros(channels), epsilon)
    weighted = tf.concat([tf.math.multiply_no_nan(mean, count), [count]], axis=0)  # of no image the mean is nan
    total = replica.all_reduce(tf.distribute.ReduceOp.SUM, weighted)
    mean_of_all = total[:-1] / total[-1]
    spread = tf.math.multiply_no_nan(variance + tf.square(mean - mean_of_all), count)
    return mean_of_all, replica.all_reduce(tf.distribute.ReduceOp.SUM, spread) / total[-1]


def _normalize_by_all(
    inputs: tf.Tensor, scale: tf.Tensor, offset: tf.Tensor, statistics: _Statistics, epsilon: float, replica: Any
) -> tf.Tensor:
    """Normalizes a replica's inputs x by statistics m and v of all, which themselves depend on the inputs of all.

    With z = (x - m) / sqrt(v + epsilon), N values of a channel on all replicas together, and y = scale z + offset, the
    derivative of the loss by x is (Ioffe and Szegedy, arXiv:1502.03167)

        scale / sqrt(v + epsilon) * (dy - (sum of dy + z * sum of dy z) / N),

    with the sums over all replicas. Those by scale and offset are this replica's part of the sums, since the optimizer
    adds up the replicas'.
    """
    _, variance = statistics

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def normalize(x: tf.Tensor, scale: tf.Tensor, offset: tf.Tensor) -> tuple[tf.Tensor, Callable[..., Any]]:
        def gradient(dy: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            zeros = tf.zeros_like(offset)
            z = _normalize(tf.cast(x, tf.float32), tf.ones_like(scale), zeros, statistics, epsilon)
            dy_float = tf.cast(dy, tf.float32)
            sum_dy = tf.reduce_sum(dy_float, axis=(0, 1, 2))
            sum_dy_z = tf.reduce_sum(dy_float * z, axis=(0, 1, 2))
            sums = tf.stack([sum_dy, sum_dy_z, tf.fill(tf.shape(sum_dy), _count(x))])
            of_all, of_all_z, count = tf.unstack(replica.all_reduce(tf.distribute.ReduceOp.SUM, sums))
            factor = scale * tf.math.rsqrt(variance + epsilon)
            # Both terms are of the form of the operation: a factor and an offset of each channel.
            own = tf.cast(factor, dy.dtype) * dy
            others = _normalize(x, -factor * of_all_z / count, -factor * of_all / count, statistics, epsilon)
            return own + others, sum_dy_z, sum_dy

        return _normalize(x, scale, offset, statistics, epsilon), gradient

    return normalize(inputs, scale, offset)
