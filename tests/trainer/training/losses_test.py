"""Cross-entropy by hand."""

import math

import numpy as np
import pytest
import tensorflow as tf

from trainer.training import losses


def test_uniform_logits_cost_log_of_the_number_of_classes():
    masks = tf.constant([[[[0], [1]], [[2], [255]]]], tf.uint8)
    total, count = losses.cross_entropy(masks, tf.zeros((1, 2, 2, 3)), ignore_id=255)
    assert float(count) == 3
    assert float(total) == pytest.approx(3 * math.log(3), rel=1e-6)


def test_two_classes_by_hand():
    # Softmax of (log 3, 0) is (3/4, 1/4): class 0 costs log 4/3, class 1 costs log 4.
    logits = tf.constant([[[[math.log(3), 0.0], [math.log(3), 0.0]]]])
    total, count = losses.cross_entropy(tf.constant([[[[0], [1]]]], tf.uint8), logits, ignore_id=255)
    assert float(total) == pytest.approx(math.log(4 / 3) + math.log(4), rel=1e-6)
    assert float(count) == 2


@pytest.mark.parametrize('ignore_id', [255, 7])
def test_ignored_pixels_have_neither_loss_nor_gradient(ignore_id):
    rng = np.random.default_rng(0)
    logits = tf.constant(rng.normal(size=(2, 3, 3, 4)), tf.float32)
    masks = rng.integers(0, 4, (2, 3, 3, 1))
    masks[0] = ignore_id
    with tf.GradientTape() as tape:
        tape.watch(logits)
        total, count = losses.cross_entropy(tf.constant(masks, tf.int64), logits, ignore_id)
    gradient = tape.gradient(total, logits).numpy()
    assert float(count) == 9
    assert (gradient[0] == 0).all()
    assert (gradient[1] != 0).all()


def test_all_ignored_is_zero_of_zero():
    total, count = losses.cross_entropy(tf.fill((1, 2, 2, 1), 255), tf.zeros((1, 2, 2, 3)), ignore_id=255)
    assert (float(total), float(count)) == (0.0, 0.0)


def test_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match='masks must'):
        losses.cross_entropy(tf.zeros((1, 2, 2), tf.uint8), tf.zeros((1, 2, 2, 3)), ignore_id=255)
