"""Every metric of a split, derived from its confusion matrix. No TensorFlow."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Metrics:
    """What a confusion matrix says. A class that no pixel of the truth has is absent: its recall is not defined, and it
    enters no mean; where it was predicted all the same, the IoU of the classes it was mistaken for shows it.

    With TP, FP and FN the true positive, false positive and false negative pixels of a class:

    Attributes:
        support: int64 (num_classes,): true pixels of each class, TP + FN.
        predicted: int64 (num_classes,): predicted pixels of each class, TP + FP.
        iou: float64 (num_classes,): intersection over union (Jaccard index), TP / (TP + FP + FN); nan for an absent
            class.
        dice: float64 (num_classes,): 2 TP / (2 TP + FP + FN), which is the F1 score; nan for an absent class.
        recall: float64 (num_classes,): TP / (TP + FN); nan for an absent class.
        pixel_accuracy: sum of all TP / all pixels.
        mean_iou: over the present classes.
        mean_iou_without_background: over the present classes but class 0.
        mean_recall: over the present classes.
        background_accuracy: the pixel accuracy of predicting class 0 everywhere.
    """

    support: np.ndarray
    predicted: np.ndarray
    iou: np.ndarray
    dice: np.ndarray
    recall: np.ndarray
    pixel_accuracy: float
    mean_iou: float
    mean_iou_without_background: float
    mean_recall: float
    background_accuracy: float

    @property
    def present(self) -> np.ndarray:
        """bool (num_classes,): the classes that some pixel of the truth has."""
        return self.support > 0


def from_confusion_matrix(confusion: np.ndarray) -> Metrics:
    """Derives every metric from a confusion matrix.

    Args:
        confusion: integers (num_classes, num_classes), row = true id, column = predicted id.

    Returns:
        The metrics; a mean over nothing is nan.
    """
    confusion = np.asarray(confusion, np.int64)
    hits, support, predicted = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    present, total = support > 0, confusion.sum()
    # An absent class gets the denominator 0, hence nan, even if it was predicted. By the formula its IoU would be 0:
    # one wrong pixel of a class that the split does not have would cost as much as a class that is missed completely.
    iou = _ratio(hits, np.where(present, support + predicted - hits, 0))
    recall = _ratio(hits, support)
    return Metrics(
        support=support,
        predicted=predicted,
        iou=iou,
        dice=_ratio(2 * hits, np.where(present, support + predicted, 0)),
        recall=recall,
        pixel_accuracy=float(_ratio(hits.sum(), total)),
        mean_iou=_mean(iou[present]),
        mean_iou_without_background=_mean(iou[1:][present[1:]]),
        mean_recall=_mean(recall[present]),
        background_accuracy=float(_ratio(support[0], total)),
    )


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Divides, with nan where the denominator is 0."""
    numerator, denominator = np.asarray(numerator, np.float64), np.asarray(denominator, np.float64)
    result = np.full(denominator.shape, np.nan)
    np.divide(numerator, denominator, out=result, where=denominator != 0)
    return result


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if values.size else float('nan')
