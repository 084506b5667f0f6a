"""Depthwise convolutions of a network in bfloat16."""

import keras
import numpy as np
import pytest

from trainer.models import depthwise


def _model(policy, **options):
    keras.utils.set_random_seed(0)
    images = keras.Input((8, 8, 6))
    layer = keras.layers.DepthwiseConv2D(3, depth_multiplier=2, padding='same', dtype=policy, **options)
    return keras.Model(images, layer(images)), layer


@pytest.mark.parametrize('options', [{'strides': 2}, {'activation': 'relu'}, {'use_bias': False}], ids=str)
def test_only_the_inputs_and_the_outputs_are_rounded(options):
    images = np.random.default_rng(0).normal(0, 1, (2, 8, 8, 6)).astype(np.float32)
    exact, of_exact = _model('float32', **options)
    rounded, layer = _model('mixed_bfloat16', **options)
    depthwise.compute_in_float32(rounded)
    # The layer casts its variables and inputs; values that bfloat16 has are not changed by that.
    weights = [keras.ops.convert_to_numpy(keras.ops.cast(w, 'bfloat16')).astype(np.float32) for w in of_exact.weights]
    weights = [weight + 0.5 * (weight.ndim == 1) for weight in weights]  # a bias that is not 0
    of_exact.set_weights(weights)
    layer.set_weights(weights)
    images = keras.ops.cast(images, 'bfloat16')
    outputs = rounded(images)
    assert outputs.dtype == 'bfloat16'
    expected = keras.ops.cast(exact(keras.ops.cast(images, 'float32')), 'bfloat16')
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(outputs), keras.ops.convert_to_numpy(expected))


@pytest.mark.parametrize(
    ('policy', 'changed'), [('mixed_bfloat16', True), ('float32', False), ('mixed_float16', False)]
)
def test_other_precisions_stay_keras_s(policy, changed):
    model, layer = _model(policy)
    depthwise.compute_in_float32(model)
    assert ('call' in vars(layer)) == changed
