"""Metrics with the arithmetic shown."""

import numpy as np
import pytest

from trainer.evaluation import metrics

# Three of four classes are present. Rows are the truth, columns the prediction:
#            background  shirt  hat  absent
_CONFUSION = np.array(
    [
        [6, 1, 0, 1],  # 8 pixels of background
        [2, 3, 0, 0],  # 5 of shirt
        [1, 0, 0, 0],  # 1 of hat, missed
        [0, 0, 0, 0],  # the fourth class is nowhere in the truth, and was predicted once
    ]
)


def test_metrics_by_hand():
    found = metrics.from_confusion_matrix(_CONFUSION)
    np.testing.assert_array_equal(found.support, [8, 5, 1, 0])
    np.testing.assert_array_equal(found.predicted, [9, 4, 0, 1])
    np.testing.assert_array_equal(found.present, [True, True, True, False])
    np.testing.assert_array_equal(found.occurs, [True, True, True, True])
    np.testing.assert_allclose(found.iou, [6 / (8 + 9 - 6), 3 / (5 + 4 - 3), 0 / 1, 0 / 1])
    np.testing.assert_allclose(found.dice, [12 / 17, 6 / 9, 0, 0])
    np.testing.assert_allclose(found.recall, [6 / 8, 3 / 5, 0, np.nan])
    np.testing.assert_allclose(found.precision, [6 / 9, 3 / 4, np.nan, 0])
    assert found.pixel_accuracy == pytest.approx(9 / 14)
    assert found.mean_iou == pytest.approx((6 / 11 + 1 / 2 + 0 + 0) / 4)
    assert found.mean_iou_present == pytest.approx((6 / 11 + 1 / 2 + 0) / 3)
    assert found.mean_iou_without_background == pytest.approx((1 / 2 + 0 + 0) / 3)
    assert found.frequency_weighted_iou == pytest.approx((8 * 6 / 11 + 5 * 1 / 2 + 1 * 0) / 14)
    assert found.mean_dice == pytest.approx((12 / 17 + 6 / 9 + 0 + 0) / 4)
    assert found.mean_recall == pytest.approx((6 / 8 + 3 / 5 + 0) / 3)
    assert found.background_accuracy == pytest.approx(8 / 14)


def test_a_class_neither_in_the_truth_nor_in_the_prediction_enters_no_mean():
    found = metrics.from_confusion_matrix(np.array([[6, 1, 0], [2, 3, 0], [0, 0, 0]]))
    np.testing.assert_array_equal(found.occurs, [True, True, False])
    assert np.isnan([found.iou[2], found.dice[2], found.recall[2], found.precision[2]]).all()
    assert found.mean_iou == found.mean_iou_present == pytest.approx((6 / 9 + 3 / 6) / 2)


def test_dice_and_iou_agree():
    found = metrics.from_confusion_matrix(np.random.default_rng(0).integers(0, 50, (6, 6)))
    np.testing.assert_allclose(found.dice, 2 * found.iou / (1 + found.iou))


def test_only_background_leaves_the_mean_without_it_undefined():
    found = metrics.from_confusion_matrix(np.array([[5, 0], [0, 0]]))
    assert found.mean_iou == 1.0
    assert np.isnan(found.mean_iou_without_background)
    assert found.background_accuracy == 1.0


def test_nothing_at_all_is_nan_and_no_warning():
    found = metrics.from_confusion_matrix(np.zeros((3, 3)))
    assert np.isnan([found.pixel_accuracy, found.mean_iou, found.mean_recall]).all()
