"""Every metric of a split, derived from its confusion matrix. No TensorFlow."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Metrics:
    """What a confusion matrix says.

    A class occurs if some pixel of the truth or of the prediction has it, and is present if some pixel of the truth
    has it. A class that does not occur enters no mean. One that was predicted and is not present has the IoU 0: that is
    how keras.metrics.MeanIoU and MMSegmentation count, so `mean_iou` can be compared with theirs. As it depends on
    which classes a model predicts somewhere, `mean_iou_present`, over the same classes for every model, is beside it.

    With TP, FP and FN the true positive, false positive and false negative pixels of a class:

    Attributes:
        confusion: int64 (num_classes, num_classes): row = true id, column = predicted id.
        iou: float64 (num_classes,): intersection over union (Jaccard index), TP / (TP + FP + FN); nan for a class that
            does not occur.
        dice: float64 (num_classes,): 2 TP / (2 TP + FP + FN), which is the F1 score; nan for a class that does not
            occur.
        recall: float64 (num_classes,): TP / (TP + FN); nan for a class that is not present.
        precision: float64 (num_classes,): TP / (TP + FP); nan for a class that was never predicted.
        pixel_accuracy: sum of all TP / all pixels.
        mean_iou: over the classes that occur.
        mean_iou_present: over the present classes.
        mean_iou_without_background: over the classes that occur but class 0.
        frequency_weighted_iou: mean of the IoU over the pixels of the truth, each with the IoU of its class.
        mean_dice: over the classes that occur.
        mean_recall: over the present classes. Also called mean class accuracy.
        background_accuracy: the pixel accuracy of predicting class 0 everywhere.
    """

    confusion: np.ndarray
    iou: np.ndarray
    dice: np.ndarray
    recall: np.ndarray
    precision: np.ndarray
    pixel_accuracy: float
    mean_iou: float
    mean_iou_present: float
    mean_iou_without_background: float
    frequency_weighted_iou: float
    mean_dice: float
    mean_recall: float
    background_accuracy: float

    @property
    def support(self) -> np.ndarray:
        """int64 (num_classes,): true pixels of each class, TP + FN."""
        support: np.ndarray = self.confusion.sum(axis=1)
        return support

    @property
    def predicted(self) -> np.ndarray:
        """int64 (num_classes,): predicted pixels of each class, TP + FP."""
        predicted: np.ndarray = self.confusion.sum(axis=0)
        return predicted

    @property
    def present(self) -> np.ndarray:
        """bool (num_classes,): the classes that some pixel of the truth has."""
        return self.support > 0

    @property
    def occurs(self) -> np.ndarray:
        """bool (num_classes,): the classes that some pixel of the truth or of the prediction has."""
        return (self.support > 0) | (self.predicted > 0)


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
    iou = _ratio(hits, support + predicted - hits)
    dice = _ratio(2 * hits, support + predicted)
    recall = _ratio(hits, support)
    return Metrics(
        confusion=confusion,
        iou=iou,
        dice=dice,
        recall=recall,
        precision=_ratio(hits, predicted),
        pixel_accuracy=float(_ratio(hits.sum(), total)),
        mean_iou=_mean(iou),
        mean_iou_present=_mean(iou[present]),
        mean_iou_without_background=_mean(iou[1:]),
        frequency_weighted_iou=float(_ratio((support[present] * iou[present]).sum(), total)),
        mean_dice=_mean(dice),
        mean_recall=_mean(recall),
        background_accuracy=float(_ratio(support[0], total)),
    )


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Divides, with nan where the denominator is 0."""
    numerator, denominator = np.asarray(numerator, np.float64), np.asarray(denominator, np.float64)
    result = np.full(denominator.shape, np.nan)
    np.divide(numerator, denominator, out=result, where=denominator != 0)
    return result


def _mean(values: np.ndarray) -> float:
    """The mean of what is defined."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else float('nan')
