"""The distributed steps: one that learns and one that evaluates.

Every replica adds up over its own valid pixels; only the sums are reduced. So the result is that of a single device on
the global batch, however the valid pixels are spread over the replicas, and no mean of means ever occurs.
"""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from trainer.evaluation import metrics
from trainer.training import losses

Step = Callable[[Any, Any], None]  # Takes images and masks, per-replica values of a distributed dataset.


def host_variable(initial_value: tf.Tensor) -> tf.Variable:
    """Makes a variable in the memory of the host, to be changed outside of replicas. Not within a strategy's scope."""
    with tf.device('CPU:0'):
        return tf.Variable(initial_value, trainable=False)


class TrainTotals(tf.Module):
    """Sums over the steps of an epoch so far; part of a checkpoint, as a run may stop within an epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.loss = host_variable(tf.constant(0.0, tf.float64))
        self.correct = host_variable(tf.constant(0.0, tf.float64))
        self.valid = host_variable(tf.constant(0.0, tf.float64))

    def add(self, loss: tf.Tensor, correct: tf.Tensor, valid: tf.Tensor) -> None:
        for variable, value in ((self.loss, loss), (self.correct, correct), (self.valid, valid)):
            variable.assign_add(tf.cast(value, tf.float64))

    def reset(self) -> None:
        for variable in self.variables:
            variable.assign(0.0)

    def mean_loss(self) -> float:
        """Cross-entropy per valid pixel, in nats; nan before the first one."""
        return _divide(self.loss, self.valid)

    def accuracy(self) -> float:
        """The part of the valid pixels that was predicted right; nan before the first one."""
        return _divide(self.correct, self.valid)


def make_train_step(
    strategy: tf.distribute.Strategy,
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    totals: TrainTotals,
    *,
    ignore_id: int,
    clip_norm: float = 0.0,
) -> Step:
    """Makes a step for the variables of `model` that are trainable now.

    Args:
        strategy: in whose scope `model` and `optimizer` were made.
        model: from images to logits.
        optimizer: built for these variables.
        totals: receives the sums of each step.
        ignore_id: pixels with this id do not count.
        clip_norm: largest global norm of the gradient of the global batch; 0 leaves it as it is.

    Returns:
        A compiled function of one global batch of images and masks.
    """
    variables = model.trainable_variables

    def replica_step(images: tf.Tensor, masks: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        context = tf.distribute.get_replica_context()
        with tf.GradientTape() as tape:
            logits = model(images, training=True)
            loss, valid = losses.cross_entropy(masks, logits, ignore_id)
        gradients = tape.gradient(loss, variables)
        global_valid = context.all_reduce(tf.distribute.ReduceOp.SUM, valid)
        gradients = [tf.math.divide_no_nan(gradient, global_valid) for gradient in gradients]
        if clip_norm:
            # The norm is that of the global gradient, so it is summed here; the optimizer sums once more, hence / R.
            gradients = context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
            gradients, _ = tf.clip_by_global_norm(gradients, clip_norm)
            gradients = [gradient / context.num_replicas_in_sync for gradient in gradients]
        optimizer.apply(gradients, variables)
        return loss, _count_correct(masks, logits, ignore_id), valid

    @tf.function
    def step(images: Any, masks: Any) -> None:
        sums = strategy.run(replica_step, (images, masks))
        totals.add(*[strategy.reduce(tf.distribute.ReduceOp.SUM, value, axis=None) for value in sums])

    return step


class EvalTotals(tf.Module):
    """The confusion matrix and the summed loss of what was evaluated so far."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.confusion = host_variable(tf.zeros((num_classes, num_classes), tf.int64))
        self.loss = host_variable(tf.constant(0.0, tf.float64))

    def add(self, confusion: tf.Tensor, loss: tf.Tensor) -> None:
        self.confusion.assign_add(confusion)
        self.loss.assign_add(tf.cast(loss, tf.float64))

    def reset(self) -> None:
        for variable in self.variables:
            variable.assign(tf.zeros_like(variable))

    def mean_loss(self) -> float:
        """Cross-entropy per valid pixel, in nats."""
        return _divide(self.loss, tf.reduce_sum(self.confusion))


def make_eval_step(strategy: tf.distribute.Strategy, model: keras.Model, totals: EvalTotals, *, ignore_id: int) -> Step:
    """Makes a step that adds one global batch of images and masks to `totals`."""

    def replica_step(images: tf.Tensor, masks: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        logits = model(images, training=False)
        loss, _ = losses.cross_entropy(masks, logits, ignore_id)
        return metrics.confusion_matrix(masks, logits, ignore_id), loss

    @tf.function
    def step(images: Any, masks: Any) -> None:
        sums = strategy.run(replica_step, (images, masks))
        totals.add(*[strategy.reduce(tf.distribute.ReduceOp.SUM, value, axis=None) for value in sums])

    return step


def _count_correct(masks: tf.Tensor, logits: tf.Tensor, ignore_id: int) -> tf.Tensor:
    """Counts the valid pixels whose class was predicted right, as a float32 scalar."""
    ids = tf.cast(tf.squeeze(masks, -1), tf.int64)
    right = tf.equal(tf.argmax(logits, axis=-1), ids) & tf.not_equal(ids, ignore_id)
    return tf.reduce_sum(tf.cast(right, tf.float32))


def _divide(numerator: tf.Tensor, denominator: tf.Tensor) -> float:
    count = float(denominator)
    return float(numerator) / count if count else float('nan')
