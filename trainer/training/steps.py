"""The distributed step that learns: with any number of replicas the result of a single device on the global batch.

The loss of a global batch with the valid pixels V is L = (1 / |V|) sum_{p in V} l_p. Replica r holds the valid pixels
V_r, and V is their disjoint union. Hence

    dL/dw = (1 / |V|) sum_r g_r,  where  g_r = d/dw sum_{p in V_r} l_p.

Every replica computes g_r, the gradient of a sum and not of a mean, and divides it by the global |V|; the optimizer
adds up the replicas' parts. The mean of the replicas' own means, which is what a loss with a mean inside would give,
equals L only if all replicas have the same number of valid pixels, and with ignored pixels they do not.
"""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from trainer import strategy as strategy_lib
from trainer.evaluation import confusion
from trainer.training import losses

Step = Callable[[Any, Any], None]  # Takes images and masks, per-replica values of a distributed dataset.


class TrainTotals(tf.Module):
    """Sums over the steps of an epoch so far; part of a checkpoint, as a run may stop within an epoch.

    They are float64: float32 counts no further than 2**24 = 16,777,216, the pixels of 1024 images of 128x128.
    """

    def __init__(self) -> None:
        super().__init__()
        self.loss = strategy_lib.host_variable(tf.constant(0.0, tf.float64))
        self.correct = strategy_lib.host_variable(tf.constant(0.0, tf.float64))
        self.valid = strategy_lib.host_variable(tf.constant(0.0, tf.float64))

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
        # A batch without a valid pixel has the gradient 0, not 0 / 0.
        gradients = [tf.math.divide_no_nan(gradient, global_valid) for gradient in gradients]
        if clip_norm:
            # Clipping is not linear: the norm must be that of the global gradient, so that is summed here. Each replica
            # then holds the same gradient, and the optimizer adds up all R of them again, hence / R. The optimizer's
            # own global_clipnorm would clip the replicas' parts before they are added up.
            gradients = context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
            gradients, _ = tf.clip_by_global_norm(gradients, clip_norm)
            gradients = [gradient / context.num_replicas_in_sync for gradient in gradients]
        optimizer.apply(gradients, variables)
        return loss, confusion.count_correct(masks, logits, ignore_id), valid

    def step(images: Any, masks: Any) -> None:
        totals.add(*strategy_lib.sum_over_replicas(strategy, strategy.run(replica_step, (images, masks))))

    compiled: Step = tf.function(step)
    return compiled


def _divide(numerator: tf.Tensor, denominator: tf.Tensor) -> float:
    count = float(denominator)
    return float(numerator) / count if count else float('nan')
