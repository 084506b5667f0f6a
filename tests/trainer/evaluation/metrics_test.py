"""Figures with the arithmetic shown, and against plain loops."""

import numpy as np
import pytest
import tensorflow as tf

from trainer.evaluation import metrics

# Three of four classes occur. Rows are the truth, columns the answer:
#            background  shirt  hat  absent
_CONFUSION = np.array(
    [
        [6, 1, 0, 1],  # 8 pixels of background
        [2, 3, 0, 0],  # 5 of shirt
        [1, 0, 0, 0],  # 1 of hat, missed
        [0, 0, 0, 0],  # the fourth class occurs nowhere, and was answered once
    ]
)


def test_figures_by_hand():
    figures = metrics.figures(_CONFUSION)
    np.testing.assert_array_equal(figures.support, [8, 5, 1, 0])
    np.testing.assert_array_equal(figures.predicted, [9, 4, 0, 1])
    np.testing.assert_array_equal(figures.present, [True, True, True, False])
    np.testing.assert_allclose(figures.iou, [6 / (8 + 9 - 6), 3 / (5 + 4 - 3), 0 / 1, np.nan])
    np.testing.assert_allclose(figures.dice, [12 / 17, 6 / 9, 0, np.nan])
    np.testing.assert_allclose(figures.recall, [6 / 8, 3 / 5, 0, np.nan])
    assert figures.pixel_accuracy == pytest.approx(9 / 14)
    assert figures.mean_iou == pytest.approx((6 / 11 + 1 / 2 + 0) / 3)
    assert figures.mean_iou_without_background == pytest.approx((1 / 2 + 0) / 2)
    assert figures.mean_recall == pytest.approx((6 / 8 + 3 / 5 + 0) / 3)
    assert figures.background_accuracy == pytest.approx(8 / 14)


def test_dice_and_iou_agree():
    figures = metrics.figures(np.random.default_rng(0).integers(0, 50, (6, 6)))
    np.testing.assert_allclose(figures.dice, 2 * figures.iou / (1 + figures.iou))


def test_only_background_leaves_the_mean_without_it_undefined():
    figures = metrics.figures(np.array([[5, 0], [0, 0]]))
    assert figures.mean_iou == 1.0
    assert np.isnan(figures.mean_iou_without_background)
    assert figures.background_accuracy == 1.0


def test_nothing_at_all_is_nan_and_no_warning():
    figures = metrics.figures(np.zeros((3, 3)))
    assert np.isnan([figures.pixel_accuracy, figures.mean_iou, figures.mean_recall]).all()


@pytest.mark.parametrize('wrap', [lambda f: f, tf.function])
def test_confusion_matrix_counts_like_a_loop(wrap):
    rng = np.random.default_rng(0)
    masks = rng.choice([0, 1, 2, 255], (2, 5, 7, 1)).astype(np.uint8)
    logits = rng.normal(size=(2, 5, 7, 3)).astype(np.float32)
    expected = np.zeros((3, 3), np.int64)
    for truth, answer in zip(masks.ravel(), logits.argmax(-1).ravel(), strict=True):
        if truth != 255:
            expected[truth, answer] += 1
    found = wrap(lambda m, x: metrics.confusion_matrix(m, x, ignore_id=255))(tf.constant(masks), tf.constant(logits))
    assert found.dtype == tf.int64
    np.testing.assert_array_equal(found, expected)


def test_the_last_cell_is_counted():
    matrix = metrics.confusion_matrix(tf.fill((1, 1, 2, 1), 2), tf.constant([[[[0.0, 0, 1], [0, 0, 1]]]]), 255)
    np.testing.assert_array_equal(matrix, [[0, 0, 0], [0, 0, 0], [0, 0, 2]])


@pytest.mark.parametrize('wrap', [lambda f: f, tf.function])
def test_an_id_outside_the_table_is_an_error(wrap):
    count = wrap(lambda m, x: metrics.confusion_matrix(m, x, ignore_id=255))
    with pytest.raises(tf.errors.InvalidArgumentError, match='not below 3'):
        count(tf.fill((1, 1, 2, 1), 3), tf.zeros((1, 1, 2, 3)))


def test_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match='masks must'):
        metrics.confusion_matrix(tf.zeros((1, 4, 4), tf.uint8), tf.zeros((1, 4, 4, 3)), 255)
