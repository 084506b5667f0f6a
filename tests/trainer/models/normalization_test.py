"""Fused batch normalization: what Keras's gives, on one device and on two."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from trainer.models import decoders, encoders, normalization, segmenter

IMAGES = np.random.default_rng(0).normal(3, 2, (8, 6, 4, 5)).astype(np.float32)
WEIGHTS = np.random.default_rng(1).normal(0, 1, IMAGES.shape).astype(np.float32)  # of the loss
GAMMA, BETA = np.arange(1, 6, dtype=np.float32), np.arange(5, dtype=np.float32) / 3
# bfloat16 has 8 significant bits, of which outputs and gradients keep the first 7 or so; the sums are float32's.
TOLERANCE = {'float32': 1e-5, 'mixed_bfloat16': 2e-2, 'mixed_float16': 2e-3}


def _model(policy, **options):
    images = keras.Input(IMAGES.shape[1:])
    norm = keras.layers.BatchNormalization(dtype=policy, momentum=0.9, epsilon=1e-3, **options)
    model = keras.Model(images, norm(images))
    if norm.scale:
        norm.gamma.assign(GAMMA)
    if norm.center:
        norm.beta.assign(BETA)
    return model, norm


def _run(strategy, fused, policy, training=True, frozen=False, **options):
    """Outputs, gradients by images, gamma and beta, and the moving statistics, of parts of the batch of any size."""
    with strategy.scope():
        model, norm = _model(policy, **options)
    norm.trainable = not frozen
    if fused:
        normalization.synchronize(model)
    learning = [variable.value for variable in (norm.gamma, norm.beta) if variable is not None]

    def differentiate(images, weights):
        with tf.GradientTape() as tape:
            tape.watch(images)
            outputs = model(images, training=training)
            loss = tf.reduce_sum(tf.cast(outputs, tf.float32) * weights)
        return outputs, *tape.gradient(loss, [images, *learning])

    parts = _parts(strategy.num_replicas_in_sync)

    def of_replica(values):
        return strategy.experimental_distribute_values_from_function(
            lambda replica: tf.constant(values[parts[replica.replica_id_in_sync_group]])
        )

    outputs, by_images, *by_weights = tf.function(lambda *batch: strategy.run(differentiate, batch))(
        of_replica(IMAGES), of_replica(WEIGHTS)
    )
    local = strategy.experimental_local_results
    whole = [np.concatenate([tf.cast(part, tf.float32) for part in local(found)]) for found in (outputs, by_images)]
    sums = [sum(part.numpy() for part in local(found)) for found in by_weights]
    return [*whole, *sums, norm.moving_mean.numpy(), norm.moving_variance.numpy()]


def _parts(replicas):
    return [slice(None)] if replicas == 1 else [slice(0, 3), slice(3, None)]  # not of equal size


def _compare(found, expected, tolerance):
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance * np.abs(other).max())


@pytest.mark.parametrize('policy', TOLERANCE)
@pytest.mark.parametrize('devices', [1, 2])
def test_outputs_gradients_and_statistics_are_keras_s(devices, policy, two_devices):
    one = tf.distribute.OneDeviceStrategy('/cpu:0')
    found = _run(two_devices if devices == 2 else one, True, policy)
    _compare(found, _run(one, False, policy), TOLERANCE[policy])


@pytest.mark.parametrize('devices', [1, 2])
def test_the_gradient_is_that_of_arithmetic(devices, two_devices):
    one = tf.distribute.OneDeviceStrategy('/cpu:0')
    outputs, by_images, by_gamma, by_beta, mean, variance = _run(two_devices if devices == 2 else one, True, 'float32')
    x, dy, axes = IMAGES.astype(np.float64), WEIGHTS.astype(np.float64), (0, 1, 2)
    inverse = 1 / np.sqrt(x.var(axes) + 1e-3)
    z = (x - x.mean(axes)) * inverse
    by_x = GAMMA * inverse * (dy - dy.mean(axes) - z * (dy * z).mean(axes))
    found = [outputs, by_images, by_gamma, by_beta, mean, variance]
    expected = [GAMMA * z + BETA, by_x, (dy * z).sum(axes), dy.sum(axes), 0.1 * x.mean(axes), 0.9 + 0.1 * x.var(axes)]
    _compare(found, expected, 1e-5)


@pytest.mark.parametrize('options', [{'scale': False}, {'center': False}, {'axis': 3}], ids=str)
@pytest.mark.parametrize('devices', [1, 2])
def test_layers_without_a_weight(devices, options, two_devices):
    one = tf.distribute.OneDeviceStrategy('/cpu:0')
    strategy = two_devices if devices == 2 else one
    _compare(_run(strategy, True, 'float32', **options), _run(one, False, 'float32', **options), 1e-5)


@pytest.mark.parametrize(('training', 'frozen'), [(False, False), (True, True), (False, True)])
def test_stored_statistics_where_nothing_is_learned(training, frozen):
    one = tf.distribute.OneDeviceStrategy('/cpu:0')
    found, expected = (_run(one, fused, 'float32', training, frozen) for fused in (True, False))
    _compare(found, expected, 1e-5)
    np.testing.assert_array_equal(found[-2], np.zeros(5))


def test_what_is_not_of_images_stays_keras_s():
    vector, images = keras.Input((5,)), keras.Input((6, 4, 5))
    by_rows = keras.layers.BatchNormalization(axis=1)
    model = keras.Model([vector, images], [keras.layers.BatchNormalization()(vector), by_rows(images)])
    normalization.synchronize(model)
    outputs = model([IMAGES[:, 0, 0], IMAGES], training=True)
    np.testing.assert_allclose(outputs[0].numpy().mean(0), np.zeros(5), atol=1e-4)
    np.testing.assert_allclose(outputs[1].numpy().mean((0, 2, 3)), np.zeros(6), atol=1e-4)


@pytest.mark.parametrize('decoder', decoders.DECODERS)
def test_every_normalization_of_a_network_is_of_the_global_batch(decoder):
    network = segmenter.build('tiny_bn', (64, 64), 3, decoder=decoder)
    layers = encoders.batch_norm_layers(network)
    in_encoder = encoders.batch_norm_layers(network.get_layer('encoder'))
    assert len(in_encoder) == 5 < len(layers)
    assert all(layer.synchronized for layer in layers)
    # Of the class the call is Keras's; here it is this module's.
    assert all('call' in vars(layer) for layer in layers)
