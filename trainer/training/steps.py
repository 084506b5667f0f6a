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

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import tensorflow as tf

from trainer import strategy as strategy_lib
from trainer.evaluation import confusion
from trainer.models import precision, random_layers
from trainer.training import objective as objective_lib

# Takes images and masks, per-replica values of a distributed dataset; returns the global norm of the gradient of the
# global batch, as it is before it is clipped, a float32 scalar; nan of a step that is left out.
Step = Callable[[Any, Any], tf.Tensor]
AccumulatingStep = Callable[[Sequence[tuple[Any, Any]]], tf.Tensor]  # Takes all parts of a batch, returns the same.

# Takes the learning rate of each step, float32 (steps,); returns the norm of each one's gradient, likewise.
Call = Callable[[tf.Tensor], tf.Tensor]


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
    seed: int = 0,
    counter: tf.Variable | None = None,
    loss_scale: precision.LossScale | None = None,
    jit_compile: bool = False,
) -> Step:
    """Makes a step for the variables of `model` that are trainable now.

    Args:
        strategy: in whose scope `model` and `optimizer` were made.
        model: from images to logits.
        optimizer: built for these variables.
        totals: receives the sums of each step.
        objective: the loss.
        clip_norm: largest global norm of the gradient of the global batch; 0 leaves it as it is.
        seed: of the noise of dropout and stochastic depth.
        counter: the number of the step, from which that noise follows too; None for 0.
        loss_scale: of gradients in float16; None computes them as they are, and does every step.
        jit_compile: let XLA compile the gradient; of one replica, since it cannot compile a sum over several.

    Returns:
        A compiled function of one global batch of images and masks.
    """
    replica = _ReplicaStep(model, optimizer, objective, clip_norm, loss_scale, jit_compile)

    def replica_step(images: tf.Tensor, masks: tf.Tensor, noise: tf.Tensor) -> tuple[tuple[tf.Tensor, ...], tf.Tensor]:
        gradients, valid, sums = replica.gradients(images, masks, noise)
        return sums, replica.apply(gradients, valid)

    def step(images: Any, masks: Any) -> tf.Tensor:
        of_batch = (images, masks, _noise_seed(seed, counter, 0))
        if loss_scale is None:
            sums, of_replicas = strategy.run(replica_step, of_batch)
            norm = strategy_lib.of_any_replica(strategy, of_replicas)
        else:
            gradients, valid, sums = strategy.run(replica.gradients, of_batch)
            norm = _do_or_leave_out(strategy, replica, loss_scale, gradients, valid)
        _add(strategy, totals, sums, loss_scale)
        return norm

    compiled: Step = tf.function(step, autograph=False)  # nothing in it needs that, and it takes seconds
    return compiled


def make_accumulating_step(
    strategy: tf.distribute.Strategy,
    model: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    totals: TrainTotals,
    objective: objective_lib.Objective,
    *,
    clip_norm: float = 0.0,
    seed: int = 0,
    counter: tf.Variable | None = None,
    loss_scale: precision.LossScale | None = None,
    jit_compile: bool = False,
) -> AccumulatingStep:
    """Makes a step that takes a batch in parts, of which one at a time is in memory.

    The loss is the mean of those of the parts, each counted by its valid pixels. For losses that are means over all
    valid pixels that is the loss of the batch; Dice, Tversky and hard pixels are those of each part. Nothing is left
    over from one step to the next, so a run that stops between steps has nothing more to save.

    Args: as of `make_train_step`.

    Returns:
        A function of the parts of one global batch, each of images and masks.
    """
    replica = _ReplicaStep(model, optimizer, objective, clip_norm, loss_scale, jit_compile)

    def first(images: tf.Tensor, masks: tf.Tensor, noise: tf.Tensor) -> tuple[Any, tuple[tf.Tensor, ...]]:
        gradients, valid, sums = replica.gradients(images, masks, noise)
        return (gradients, valid), sums

    def further(
        images: tf.Tensor, masks: tf.Tensor, noise: tf.Tensor, gradients: Any, valid: tf.Tensor
    ) -> tuple[Any, tuple[tf.Tensor, ...]]:
        (more, more_valid), sums = first(images, masks, noise)
        return ([a + b for a, b in zip(gradients, more, strict=True)], valid + more_valid), sums

    def take(images: Any, masks: Any, part: tf.Tensor, so_far: Any) -> Any:
        noise = _noise_seed(seed, counter, part)
        run = (first, (images, masks, noise)) if so_far is None else (further, (images, masks, noise, *so_far))
        so_far, sums = strategy.run(*run)
        _add(strategy, totals, sums, loss_scale)
        return so_far

    def apply(gradients: Any, valid: Any) -> tf.Tensor:
        if loss_scale is not None:
            return _do_or_leave_out(strategy, replica, loss_scale, gradients, valid)
        return strategy_lib.of_any_replica(strategy, strategy.run(replica.apply, (gradients, valid)))

    compiled_take, compiled_apply = (tf.function(each, autograph=False) for each in (take, apply))

    def step(parts: Sequence[tuple[Any, Any]]) -> tf.Tensor:
        so_far: Any = None
        for part, (images, masks) in enumerate(parts):
            so_far = compiled_take(images, masks, tf.constant(part, tf.int64), so_far)
        return compiled_apply(*so_far)

    return step


def make_call(
    step: Callable[..., tf.Tensor],
    batches: Iterator[Any],
    optimizer: keras.optimizers.Optimizer,
    counter: tf.Variable,
    *,
    accumulation_steps: int = 1,
    average: Callable[[tf.Tensor], None] | None = None,
) -> Call:
    """Makes a function that does several steps in one call of TensorFlow, as many as it is given learning rates.

    A fast accelerator then does not wait for Python between them. Each step is what `loop.TrainingLoop.one_step` does:
    the same operations in the same order, so the same weights.

    Args:
        step: from `make_train_step`, or from `make_accumulating_step` where there are parts to accumulate.
        batches: of a distributed dataset.
        optimizer: the one that `step` applies.
        counter: of the steps done, int64; counted up.
        accumulation_steps: parts of the batch of a step.
        average: from `averaging.make_averaging`; None for no average.
    """

    def call(rates: tf.Tensor) -> tf.Tensor:
        def body(number: tf.Tensor, norms: tf.TensorArray) -> tuple[tf.Tensor, tf.TensorArray]:
            optimizer.learning_rate.assign(rates[number])
            parts = [next(batches) for _ in range(accumulation_steps)]
            norm = step(*parts[0]) if accumulation_steps == 1 else step(parts)
            counter.assign_add(1)
            if average is not None:
                average(counter)
            return number + 1, norms.write(number, norm)

        count = tf.shape(rates)[0]
        loop_variables = (tf.constant(0), tf.TensorArray(tf.float32, count))
        # One step at a time: the next one needs the weights of the one before.
        _, norms = tf.while_loop(lambda number, _: number < count, body, loop_variables, parallel_iterations=1)
        return norms.stack()

    # With this signature it is traced once for any number of steps: the last call of an epoch may have fewer.
    compiled: Call = tf.function(call, autograph=False, input_signature=[tf.TensorSpec([None], tf.float32)])
    return compiled


class _ReplicaStep:
    """What one replica does in a step."""

    def __init__(
        self,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        objective: objective_lib.Objective,
        clip_norm: float,
        loss_scale: precision.LossScale | None,
        jit_compile: bool,
    ) -> None:
        self._model, self._optimizer, self._objective, self._clip_norm = model, optimizer, objective, clip_norm
        self._loss_scale = loss_scale
        self._variables = model.trainable_variables
        compiled = tf.function(self._gradients, autograph=False, jit_compile=True) if jit_compile else None
        self.gradients = compiled or self._gradients

    def _gradients(
        self, images: tf.Tensor, masks: tf.Tensor, noise: tf.Tensor
    ) -> tuple[list[tf.Tensor], tf.Tensor, tuple[tf.Tensor, ...]]:
        """Returns its part of the gradient of |V| L, |V| of all replicas, and what `TrainTotals.add` takes of it."""
        context = tf.distribute.get_replica_context()
        examples = tf.shape(images)[0]
        places = examples * context.num_replicas_in_sync
        drawing = random_layers.drawing(noise, examples * context.replica_id_in_sync_group, places)
        with tf.GradientTape() as tape, drawing:
            logits = self._model(images, training=True)
            sums = self._objective.sums(masks, logits)
        of_batch = {name: context.all_reduce(tf.distribute.ReduceOp.SUM, sum_) for name, sum_ in sums.items()}
        valid = tf.cast(of_batch[objective_lib.PIXELS], tf.float32)
        derivatives = self._objective.derivatives(of_batch)
        targets = {name: sums[name] for name in derivatives}
        if self._loss_scale is None:
            gradients = tape.gradient(targets, self._variables, output_gradients=derivatives)
        else:
            # In float16 the gradient of |V| L, the sum over up to millions of pixels, is out of range at any scale.
            factor = tf.math.divide_no_nan(self._loss_scale.scale, valid)
            derivatives = {name: derivative * factor for name, derivative in derivatives.items()}
            gradients = tape.gradient(targets, self._variables, output_gradients=derivatives)
            gradients = [gradient * (valid / self._loss_scale.scale) for gradient in gradients]
        correct = confusion.count_correct(masks, logits, self._objective.ignore_id)
        reported = sums[objective_lib.CROSS_ENTROPY], correct, sums[objective_lib.PIXELS]
        return gradients, valid, reported

    def count_not_finite(self, gradients: list[tf.Tensor]) -> tf.Tensor:
        """How many of its gradients hold a number that is not finite, float32."""
        return tf.add_n([tf.cast(tf.reduce_any(~tf.math.is_finite(one)), tf.float32) for one in gradients])

    def apply(self, gradients: list[tf.Tensor], valid: tf.Tensor) -> tf.Tensor:
        """Changes the weights, and returns the global norm of the gradient before it is clipped."""
        context = tf.distribute.get_replica_context()
        # A batch without a valid pixel has the gradient 0, not 0 / 0.
        gradients = [tf.math.divide_no_nan(gradient, valid) for gradient in gradients]
        of_batch = context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
        norm = tf.linalg.global_norm(of_batch)
        if self._clip_norm:
            # Clipping is not linear: it takes the global gradient, which is summed here. Each replica then
            # holds the same gradient, and the optimizer adds up all R of them again, hence / R. The optimizer's
            # own global_clipnorm would clip the replicas' parts before they are added up.
            clipped, _ = tf.clip_by_global_norm(of_batch, self._clip_norm, use_norm=norm)
            gradients = [gradient / context.num_replicas_in_sync for gradient in clipped]
        self._optimizer.apply(gradients, self._variables)
        return norm


def _do_or_leave_out(
    strategy: tf.distribute.Strategy,
    replica: _ReplicaStep,
    loss_scale: precision.LossScale,
    gradients: Any,
    valid: Any,
) -> tf.Tensor:
    """Changes the weights, unless a gradient of any replica is not finite; returns the norm, or nan."""
    (bad,) = strategy_lib.sum_over_replicas(strategy, [strategy.run(replica.count_not_finite, (gradients,))])
    return loss_scale.step(
        tf.equal(bad, 0),
        lambda: strategy_lib.of_any_replica(strategy, strategy.run(replica.apply, (gradients, valid))),
    )


def _add(strategy: tf.distribute.Strategy, totals: TrainTotals, sums: Any, loss_scale: Any) -> None:
    """Takes the sums of a batch, or of a part of it, into the totals of the epoch."""
    loss, *counts = strategy_lib.sum_over_replicas(strategy, sums)
    if loss_scale is not None:  # Where the loss is no number, neither are the gradients: the step is left out.
        is_number = tf.math.is_finite(loss)
        loss, *counts = (tf.where(is_number, value, tf.zeros_like(value)) for value in (loss, *counts))
    totals.add(loss, *counts)


def _noise_seed(seed: int, counter: tf.Variable | None, part: tf.Tensor | int) -> tf.Tensor:
    """The seed of the noise in one part of one step, int64 (2,)."""
    pair = tf.stack([tf.constant(seed, tf.int64), tf.constant(0, tf.int64) if counter is None else counter])
    return tf.random.experimental.stateless_fold_in(pair, part, alg='philox')


def _divide(numerator: tf.Tensor, denominator: tf.Tensor) -> float:
    count = float(denominator)
    return float(numerator) / count if count else float('nan')
