"""Depthwise convolutions of a network in bfloat16, on a CPU in float32.

They have little arithmetic, so bfloat16 gains nothing there, and oneDNN's gradients of those with strides take 6 to 10
times as long in it.
"""

from collections.abc import Callable

import keras
import tensorflow as tf


def compute_in_float32(model: keras.Model) -> None:
    """Makes the depthwise convolutions of a model in bfloat16 compute in float32, where there is no accelerator."""
    if tf.config.list_logical_devices('GPU'):
        return
    for layer in model._flatten_layers(include_self=False):  # The public `layers` stops at nested models.
        if isinstance(layer, keras.layers.DepthwiseConv2D) and layer.compute_dtype == 'bfloat16':
            layer.call = _in_float32(layer)


def _in_float32(layer: keras.layers.DepthwiseConv2D) -> Callable[[tf.Tensor], tf.Tensor]:
    def call(inputs: tf.Tensor) -> tf.Tensor:
        outputs = keras.ops.depthwise_conv(
            keras.ops.cast(inputs, 'float32'),
            keras.ops.cast(layer.kernel, 'float32'),
            strides=layer.strides,
            padding=layer.padding,
            dilation_rate=layer.dilation_rate,
            data_format=layer.data_format,
        )
        if layer.use_bias:
            outputs = keras.ops.add(outputs, keras.ops.cast(layer.bias, 'float32'))
        return layer.activation(keras.ops.cast(outputs, layer.compute_dtype))

    return call
