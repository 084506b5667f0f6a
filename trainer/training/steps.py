"""The distributed step that learns: with any number of replicas the result of a single device on the global batch.

The loss L of a global batch is a function of sums over its pixels, S_1, ..., S_n (see `objective`). Replica r has a
part of the pixels, over which the sums are S_kr, so that S_k = sum_r S_kr. Hence, for the weights w,

    dL/dw = sum_r sum_k (dL/dS_k) (dS_kr/dw).

Every replica computes the inner sum. The derivatives dL/dS_k are taken at the sums of the global batch, which are added
up over all replicas first, and are constants in that gradient. The optimizer adds up the replicas' parts.

For the mean cross-entropy of |V| valid pixels, dL/dS is 1 / |V|. The mean of the replicas' own means, which is what a
loss with a mean inside would give, equals that only if all replicas have the same number of valid pixels, and with
ignored pixels they do not. Nor is a ratio of sums, as the Dice loss is, the mean of the replicas' own ratios.
"""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from trainer import strategy as strategy_lib
from trainer.evaluation import confusion
from trainer.training import objective as objective_lib

Step = Callable[[Any, Any], None]  # Takes images and masks, per-replica values of a distributed dataset.


class TrainTotals(tf.Module):
    """Sums over the steps of an epoch so far; part of a checkpoint, as a run may stop within an epoch.

    They are float64, which counts to 2**53: float32 counts no further than 2**24, the pixels of 1024 images of 128x128.
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
    objective: objective_lib.Objective,
    *,
    clip_norm: float = 0.0,
) -> Step:
    """Makes a step for the variables of `model` that are trainable now.

    Args:
        strategy: in whose scope `model` and `optimizer` were made.
        model: from images to logits.
        optimizer: built for these variables.
        totals: receives the sums of each step.
        objective: the loss.
        clip_norm: largest global norm of the gradient of the global batch; 0 leaves it as it is.

    Returns:
        A compiled function of one global batch of images and masks.
    """
    variables = model.trainable_variables

    def replica_step(images: tf.Tensor, masks: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        context = tf.distribute.get_replica_context()
        with tf.GradientTape() as tape:
            logits = model(images, training=True)
            sums = objective.sums(masks, logits)
        of_batch = {name: context.all_reduce(tf.distribute.ReduceOp.SUM, sum_) for name, sum_ in sums.items()}
        derivatives = objective.derivatives(of_batch)
        gradients = tape.gradient({name: sums[name] for name in derivatives}, variables, output_gradients=derivatives)
        global_valid = tf.cast(of_batch[objective_lib.PIXELS], tf.float32)
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
        correct = confusion.count_correct(masks, logits, objective.ignore_id)
        return sums[objective_lib.CROSS_ENTROPY], correct, sums[objective_lib.PIXELS]

    def step(images: Any, masks: Any) -> None:
        totals.add(*strategy_lib.sum_over_replicas(strategy, strategy.run(replica_step, (images, masks))))

    compiled: Step = tf.function(step)
    return compiled


def _divide(numerator: tf.Tensor, denominator: tf.Tensor) -> float:
    count = float(denominator)
    return float(numerator) / count if count else float('nan')
