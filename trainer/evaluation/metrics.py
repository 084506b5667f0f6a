"""One confusion matrix, and every figure that follows from it."""

import dataclasses

import numpy as np
import tensorflow as tf

from trainer.training import losses


def confusion_matrix(masks: tf.Tensor, logits: tf.Tensor, ignore_id: int) -> tf.Tensor:
    """Counts pixels by their true and their predicted id.

    Args:
        masks: integer ids (batch, height, width, 1); pixels with `ignore_id` do not count.
        logits: floats (batch, height, width, num_classes).
        ignore_id: the id of pixels without a class.

    Returns:
        int64 (num_classes, num_classes): row = true id, column = predicted id. Matrices of parts of a data set add up
        to the matrix of the whole.

    Raises:
        ValueError: the shapes or types do not fit each other.
        tf.errors.InvalidArgumentError: an id is neither a class nor `ignore_id`.
    """
    losses.check_shapes(masks, logits)
    num_classes = logits.shape[-1]
    ids = tf.reshape(tf.cast(masks, tf.int64), [-1])
    predictions = tf.reshape(tf.argmax(logits, axis=-1), [-1])
    valid = tf.not_equal(ids, ignore_id)
    ids, predictions = ids[valid], predictions[valid]
    # Without this check an id outside the table would vanish from the count, or be counted as another.
    in_table = tf.debugging.assert_less(ids, tf.cast(num_classes, tf.int64), f'an id is not below {num_classes}')
    with tf.control_dependencies([in_table] if in_table is not None else []):
        cells = tf.math.bincount(
            tf.cast(ids * num_classes + predictions, tf.int32), minlength=num_classes**2, maxlength=num_classes**2
        )
    return tf.reshape(tf.cast(cells, tf.int64), (num_classes, num_classes))


@dataclasses.dataclass(frozen=True)
class Figures:
    """What a confusion matrix says. A class that no pixel of the truth has is absent: its recall is not defined, and it
    enters no mean; where it was predicted all the same, the IoU of the classes it was mistaken for shows it.

    Attributes:
        support: true pixels of each class.
        predicted: predicted pixels of each class.
        iou: intersection over union of each class; nan for an absent class.
        dice: 2 * intersection / (support + predicted); nan for an absent class.
        recall: part of the true pixels that was found; nan for an absent class.
        pixel_accuracy: part of all pixels that is right.
        mean_iou: over the present classes.
        mean_iou_without_background: over the present classes but class 0.
        mean_recall: over the present classes.
        background_accuracy: the pixel accuracy of answering class 0 everywhere.
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


def figures(confusion: np.ndarray) -> Figures:
    """Derives every figure from a confusion matrix.

    Args:
        confusion: integers (num_classes, num_classes), row = true id, column = predicted id.

    Returns:
        The figures; a mean over nothing is nan.
    """
    confusion = np.asarray(confusion, np.int64)
    hits, support, predicted = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    present, total = support > 0, confusion.sum()
    iou = _ratio(hits, np.where(present, support + predicted - hits, 0))
    recall = _ratio(hits, support)
    return Figures(
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
    return np.divide(numerator, denominator, out=np.full(denominator.shape, np.nan), where=denominator != 0)


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if values.size else float('nan')
