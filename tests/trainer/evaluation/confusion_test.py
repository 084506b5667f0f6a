"""Pixels counted on the device, against plain loops."""

import numpy as np
import pytest
import tensorflow as tf

from trainer.evaluation import confusion


@pytest.mark.parametrize('wrap', [lambda f: f, tf.function])
def test_confusion_matrix_counts_like_a_loop(wrap):
    rng = np.random.default_rng(0)
    masks = rng.choice([0, 1, 2, 255], (2, 5, 7, 1)).astype(np.uint8)
    logits = rng.normal(size=(2, 5, 7, 3)).astype(np.float32)
    expected = np.zeros((3, 3), np.int64)
    for truth, prediction in zip(masks.ravel(), logits.argmax(-1).ravel(), strict=True):
        if truth != 255:
            expected[truth, prediction] += 1
    found = wrap(lambda m, x: confusion.confusion_matrix(m, x, ignore_id=255))(tf.constant(masks), tf.constant(logits))
    assert found.dtype == tf.int64
    np.testing.assert_array_equal(found, expected)


def test_the_last_cell_is_counted():
    matrix = confusion.confusion_matrix(tf.fill((1, 1, 2, 1), 2), tf.constant([[[[0.0, 0, 1], [0, 0, 1]]]]), 255)
    np.testing.assert_array_equal(matrix, [[0, 0, 0], [0, 0, 0], [0, 0, 2]])


@pytest.mark.parametrize('wrap', [lambda f: f, tf.function])
def test_an_id_outside_the_table_is_an_error(wrap):
    count = wrap(lambda m, x: confusion.confusion_matrix(m, x, ignore_id=255))
    with pytest.raises(tf.errors.InvalidArgumentError, match='not below 3'):
        count(tf.fill((1, 1, 2, 1), 3), tf.zeros((1, 1, 2, 3)))


@pytest.mark.parametrize('ignore_id', [255, 1])
def test_correct_pixels_are_the_trace_of_the_matrix(ignore_id):
    rng = np.random.default_rng(0)
    masks = rng.choice([0, 1, 2, ignore_id], (2, 5, 7, 1)).astype(np.uint8)
    logits = rng.normal(size=(2, 5, 7, 3)).astype(np.float32)
    valid = masks[..., 0] != ignore_id
    expected = (logits.argmax(-1) == masks[..., 0])[valid].sum()
    assert expected > 0
    assert float(confusion.count_correct(tf.constant(masks), tf.constant(logits), ignore_id)) == expected
    assert np.trace(confusion.confusion_matrix(tf.constant(masks), tf.constant(logits), ignore_id)) == expected


@pytest.mark.parametrize('count', [confusion.confusion_matrix, confusion.count_correct])
@pytest.mark.parametrize(
    ('masks', 'logits'),
    [
        (tf.zeros((1, 4, 4), tf.uint8), tf.zeros((1, 4, 4, 3))),
        (tf.zeros((1, 4, 4, 3), tf.uint8), tf.zeros((1, 4, 4, 3))),
        (tf.zeros((1, 4, 5, 1), tf.uint8), tf.zeros((1, 4, 4, 3))),
        (tf.zeros((2, 4, 4, 1), tf.uint8), tf.zeros((1, 4, 4, 3))),
        (tf.zeros((1, 4, 4, 1), tf.float32), tf.zeros((1, 4, 4, 3))),
        (tf.zeros((1, 4, 4, 1), tf.uint8), tf.zeros((1, 4, 4, 3), tf.uint8)),
    ],
)
def test_wrong_shapes_and_types_are_refused(count, masks, logits):
    with pytest.raises(ValueError, match='masks must'):
        count(masks, logits, 255)
