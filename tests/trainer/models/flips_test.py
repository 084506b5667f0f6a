"""The average of the predictions of an image and its mirror image."""

import numpy as np
import pytest
import tensorflow as tf

from trainer.models import flips, segmenter


@pytest.fixture(scope='module')
def network():
    model = segmenter.build('tiny_bn', (32, 64), 5)
    head = model.get_layer('logits')
    head.kernel.assign(np.random.default_rng(0).normal(size=head.kernel.shape))  # probabilities far from equal
    return model


def _probabilities(logits):
    powers = np.exp(np.asarray(logits, np.float64))
    return powers / powers.sum(-1, keepdims=True)


def test_probabilities_are_averaged(network):
    images = np.random.default_rng(1).integers(0, 256, (3, 32, 64, 3), np.uint8)
    of_image = _probabilities(network(images))
    of_mirrored = _probabilities(network(images[:, :, ::-1]))[:, :, ::-1]
    assert np.abs(of_image - of_mirrored).max() > 0.1
    averaged = flips.average(network)
    np.testing.assert_allclose(_probabilities(averaged(images)), (of_image + of_mirrored) / 2, atol=1e-6)
    np.testing.assert_allclose(np.exp(averaged(images)).sum(-1), 1, rtol=1e-5)


def test_a_mirrored_image_gives_the_mirrored_answer(network):
    images = np.random.default_rng(2).integers(0, 256, (2, 32, 64, 3), np.uint8)
    averaged = flips.average(network)
    np.testing.assert_allclose(averaged(images[:, :, ::-1])[:, :, ::-1], averaged(images), atol=1e-5)


def test_an_impossible_class_stays_finite():
    images = tf.keras.Input((32, 32, 3))
    logits = tf.keras.layers.Conv2D(2, 1, kernel_initializer='zeros')(images)
    model = tf.keras.Model(images, logits)
    model.layers[-1].bias.assign([0.0, -1e4])
    found = flips.average(model)(np.zeros((1, 32, 32, 3)))
    np.testing.assert_allclose(found[0, 0, 0], [0, -1e4])
