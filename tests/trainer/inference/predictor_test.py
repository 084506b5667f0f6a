"""The arithmetic around the model, beside OpenCV and beside resizing all logits at once."""

import numpy as np
import pytest
import tensorflow as tf

from seg_pipeline.imaging import resizing
from trainer.inference import predictor


@pytest.mark.parametrize('size', [(64, 48), (33, 47), (32, 32), (20, 25), (100, 20)])
def test_images_shrink_as_in_the_preparation(size):
    images = np.random.default_rng(0).integers(0, 256, (2, *size, 3), np.uint8)
    found = predictor.shrink(tf.constant(images), (32, 32))

    assert found.dtype == tf.uint8
    for image, small in zip(images, found.numpy(), strict=True):
        np.testing.assert_allclose(small.astype(int), resizing.resize_image(image, (32, 32)), atol=1)


@pytest.mark.parametrize('size', [(24, 16), (61, 45), (7, 9)])
def test_ids_are_those_of_the_largest_enlarged_logits(size):
    logits = np.random.default_rng(1).normal(size=(2, 12, 8, 5)).astype(np.float32)
    found = predictor.ids_at_size(tf.constant(logits), tf.constant(size))

    assert found.dtype == tf.uint8
    np.testing.assert_array_equal(found, tf.argmax(tf.image.resize(logits, size), axis=-1))


def test_a_border_runs_where_two_classes_are_equally_likely():
    """Between logits of 3 and -1, four columns apart, the line of zero is three quarters of the way."""
    logits = np.zeros((1, 1, 2, 2), np.float32)
    logits[0, 0, :, 1] = (-3, 1)
    found = predictor.ids_at_size(tf.constant(logits), tf.constant((1, 16)))

    # Column centres of the small copy lie at 4 and 12 of 16: the border is at 4 + 0.75 * 8 = 10.
    assert found.numpy().ravel().tolist() == [0] * 10 + [1] * 6


def test_all_256_ids_fit():
    logits = np.zeros((1, 1, 1, 256), np.float32)
    logits[..., 255] = 1

    assert predictor.ids_at_size(tf.constant(logits), tf.constant((2, 2))).numpy().tolist() == [[[255, 255]] * 2]


def test_of_equally_likely_classes_the_first_wins():
    logits = np.zeros((1, 2, 2, 3), np.float32)

    assert not predictor.ids_at_size(tf.constant(logits), tf.constant((3, 3))).numpy().any()
