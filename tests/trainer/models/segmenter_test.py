"""The U-Net's shapes, types, initial weights and what learns in it."""

import cv2
import keras
import numpy as np
import pytest
import tensorflow as tf

from trainer import config
from trainer.models import decoders, encoders, segmenter


def test_decoder_is_the_article_s():
    network = segmenter.build('tiny', (64, 96), 7)
    shapes = {layer.name: tuple(layer.output.shape[1:]) for layer in network.layers if layer.name.startswith('up')}
    for filters, stride in zip((512, 256, 128, 64), (16, 8, 4, 2), strict=True):
        up = network.get_layer(f'upsample_{filters}')
        assert shapes[up.name] == (64 // stride, 96 // stride, filters)
        assert (up.kernel_size, up.strides, up.use_bias) == ((3, 3), (2, 2), False)
        assert float(np.std(up.kernel)) == pytest.approx(0.02, rel=0.05)
    skips = [tuple(skip.shape[1:]) for skip in network.get_layer('encoder').outputs]
    joined = [network.get_layer(f'concatenate_{filters}').output.shape[-1] for filters in (512, 256, 128, 64)]
    assert joined == [filters + skips[i][-1] for filters, i in ((512, 3), (256, 2), (128, 1), (64, 0))]
    assert network.output.shape == (None, 64, 96, 7)


@pytest.mark.parametrize('decoder', decoders.DECODERS)
@pytest.mark.parametrize('precision', config.PRECISIONS)
def test_bytes_and_floats_give_the_same_float32_logits(precision, decoder):
    policy = keras.config.dtype_policy()
    network = segmenter.build('tiny_bn', (32, 64), 5, decoder=decoder, precision=precision)
    assert keras.config.dtype_policy() == policy
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 64, 3), np.uint8)
    logits = network(images)
    assert logits.dtype == 'float32'
    first = next(layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization))
    assert first.compute_dtype == precision
    assert all(weight.dtype == 'float32' for weight in network.weights)
    np.testing.assert_array_equal(logits, network(images.astype(np.float32)))


@pytest.mark.parametrize('decoder', decoders.DECODERS)
@pytest.mark.parametrize(
    ('image_size', 'scale', 'seen'),
    [((32, 64), 2.0, (64, 128)), ((64, 64), 1.5, (96, 96)), ((50, 70), 1.3, (64, 96)), ((20, 20), 0.25, (32, 32))],
)
def test_the_encoder_sees_enlarged_images(decoder, image_size, scale, seen):
    network = segmenter.build('tiny_bn', image_size, 5, decoder=decoder, input_scale=scale)
    encoder = network.get_layer('encoder')
    assert encoder.input_shape == (None, *seen, 3)
    images = np.random.default_rng(0).integers(0, 256, (2, *image_size, 3), np.uint8)
    logits = network(images)
    assert logits.shape == (2, *image_size, 5)
    np.testing.assert_array_equal(logits, network(images, training=False))
    first = next(operation for operation in network.operations if type(operation).__name__ == 'Resize')
    found = keras.Model(network.input, first.output)(images)
    expected = np.stack([cv2.resize(image.astype(np.float32), seen[::-1]) for image in images])
    np.testing.assert_allclose(found, expected, atol=0.01)


@pytest.mark.parametrize('name', ['norm1', 'upsample_64_norm'])
def test_running_statistics_take_in_what_the_momentum_leaves(name):
    images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3))
    means = {}
    for momentum in (0.5, 0.75):
        keras.utils.set_random_seed(0)
        network = segmenter.build('tiny_bn', (32, 32), 3, batch_norm_momentum=momentum)
        network(images, training=True)
        means[momentum] = _statistics(network, name)  # it began at 0
    assert np.abs(means[0.5]).max() > 0
    np.testing.assert_allclose(means[0.5] / 0.5, means[0.75] / 0.25, rtol=1e-5)


def test_the_seed_decides_the_weights():
    weights = []
    for seed in (0, 0, 1):
        keras.utils.set_random_seed(seed)
        weights.append(segmenter.build('tiny', (32, 32), 3).get_weights())
    assert all(np.array_equal(a, b) for a, b in zip(weights[0], weights[1], strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(weights[0], weights[2], strict=True))


@pytest.mark.parametrize(
    ('encoder', 'batch_norm'),
    [(False, False), (False, True), (True, False), (True, True)],
)
def test_what_learns(encoder, batch_norm):
    network = segmenter.build('tiny_bn', (32, 32), 3)
    segmenter.set_trainable(network, encoder=not encoder, encoder_batch_norm=not batch_norm)
    segmenter.set_trainable(network, encoder=encoder, encoder_batch_norm=batch_norm)
    learning = [variable.path for variable in network.trainable_variables]
    assert any('conv1' in path for path in learning) == encoder
    assert any(path.startswith('norm1') for path in learning) == batch_norm
    assert any('upsample_64_norm' in path for path in learning)
    before = _statistics(network, 'norm1'), _statistics(network, 'upsample_64_norm')
    network(np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)), training=True)
    after = _statistics(network, 'norm1'), _statistics(network, 'upsample_64_norm')
    assert np.array_equal(before[0], after[0]) != batch_norm
    assert not np.array_equal(before[1], after[1])


def _statistics(network, name):
    return next(w.numpy() for w in network.weights if name in w.path and w.name == 'moving_mean')


def _every_gradient(network, inputs):
    """Names of the trainable variables that a sum over the logits does not depend on."""
    with tf.GradientTape() as tape:
        logits = network(inputs, training=True)
        loss = tf.reduce_mean(logits * tf.constant(np.random.default_rng(1).normal(size=logits.shape), tf.float32))
    gradients = tape.gradient(loss, network.trainable_variables)
    pairs = zip(network.trainable_variables, gradients, strict=True)
    return [variable.path for variable, gradient in pairs if gradient is None or not np.any(gradient)]


@pytest.mark.parametrize('encoder', encoders.ENCODERS)
def test_every_pair_of_encoder_and_decoder(tmp_path, encoder):
    """One real network of each encoder; every decoder on maps of the shapes that this encoder gives.

    A decoder sees nothing of an encoder but its maps, so that is what a pair can differ in, and no encoder is built or
    differentiated more than once.
    """
    random, names = np.random.default_rng(0), list(decoders.DECODERS)
    decoder = names[list(encoders.ENCODERS).index(encoder) % len(names)]
    network = segmenter.build(encoder, (64, 64), 3, decoder=decoder)
    shapes = [tuple(found.shape[1:]) for found in network.get_layer('encoder').outputs]
    for name in names:
        maps = [keras.Input(shape) for shape in shapes]
        logits = decoders.DECODERS[name](maps, 3, (64, 64))
        assert logits.shape == (None, 64, 64, 3)
        assert logits.dtype == 'float32'
        inputs = [random.normal(size=(2, *shape)).astype(np.float32) for shape in shapes]
        assert _every_gradient(keras.Model(maps, logits), inputs) == []

    assert network.output.shape == (None, 64, 64, 3)
    assert network.output.dtype == 'float32'
    segmenter.set_trainable(network, encoder=True, encoder_batch_norm=True)
    assert _every_gradient(network, random.integers(0, 256, (2, 64, 64, 3)).astype(np.float32)) == []
    segmenter.set_trainable(network, encoder=False, encoder_batch_norm=False)
    inner = {variable.path for variable in network.get_layer('encoder').variables}
    outer = {variable.path for layer in network.layers if layer.name != 'encoder' for variable in layer.variables}
    kept = {path for path in outer if not path.endswith(('moving_mean', 'moving_variance'))}
    assert {variable.path for variable in network.trainable_variables} == kept
    assert inner
    assert not inner & kept

    path = tf.train.Checkpoint(model=network).write(str(tmp_path / 'all'))
    saved = network.get_weights()
    for weight in network.weights:
        weight.assign(tf.ones_like(weight))
    tf.train.Checkpoint(model=network).read(path).assert_consumed()
    assert all(np.array_equal(a, b) for a, b in zip(network.get_weights(), saved, strict=True))
