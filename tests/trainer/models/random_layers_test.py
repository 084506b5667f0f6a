"""Noise that is drawn for each example, whichever replica has it."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.src.applications import convnext  # Its layers are not public.

from trainer.models import encoders, random_layers

SEED = tf.constant([1, 2], tf.int64)


def _noise(model, images, first=0, places=None, seed=SEED):
    with random_layers.drawing(seed, tf.constant(first), tf.constant(places or len(images))):
        return model(images, training=True).numpy()


def _model(**options):
    images = keras.Input((3, 4, 2))
    x = keras.layers.Dropout(0.5, **options)(images)
    model = keras.Model(images, keras.layers.Dropout(0.25, **options)(x))
    random_layers.draw_by_example(model)
    return model


@pytest.mark.parametrize('options', [{}, {'noise_shape': (None, 1, 1, 1)}], ids=['dropout', 'stochastic depth'])
def test_parts_of_a_batch_draw_what_the_whole_draws(options):
    model, ones = _model(**options), np.ones((64, 3, 4, 2), np.float32)
    whole = _noise(model, ones)
    parts = [_noise(model, ones[i : i + 16], i, 64) for i in range(0, 64, 16)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    assert not np.array_equal(parts[0], parts[1])
    assert not np.array_equal(_noise(model, ones, seed=SEED + 1), whole)
    # Kept by both layers, or dropped by one.
    assert set(np.unique(whole)) == {0, np.float32(1 / 0.5 / 0.75)}
    kept = (whole > 0).mean()
    assert 0.2 < kept < 0.55
    assert (whole.reshape(64, -1).std(1) == 0).all() == bool(options)


def test_stochastic_depth_of_convnext():
    layer = convnext.StochasticDepth(0.5)
    images = keras.Input((3, 4, 2))
    model = keras.Model(images, layer(images))
    random_layers.draw_by_example(model)
    found = _noise(model, np.ones((64, 3, 4, 2), np.float32))
    assert set(np.unique(found)) == {0, 2}
    assert (found.reshape(64, -1).std(1) == 0).all()


def test_elsewhere_keras_draws():
    model, ones = _model(), np.ones((2, 3, 4, 2), np.float32)
    np.testing.assert_array_equal(model(ones), ones)
    assert not np.array_equal(model(ones, training=True), model(ones, training=True))


def test_an_unknown_kind_of_noise_is_refused():
    images = keras.Input((3,))
    model = keras.Model(images, keras.layers.GaussianNoise(0.5)(images))
    with pytest.raises(NotImplementedError, match='GaussianNoise draws the same noise on every device'):
        random_layers.draw_by_example(model)


@pytest.mark.slow
@pytest.mark.parametrize('name', encoders.ENCODERS)
def test_the_random_layers_of_every_encoder_are_known(name):
    random_layers.draw_by_example(encoders.build(name, (64, 64)))
