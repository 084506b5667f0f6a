"""Several steps in one call of TensorFlow, so that a fast accelerator does not wait for Python between them."""

from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf

# Takes the learning rate of each step, float32 (steps,); returns the norm of each one's gradient, likewise.
Call = Callable[[tf.Tensor], tf.Tensor]


def make_call(
    step: Callable[..., tf.Tensor],
    batches: Iterator[Any],
    optimizer: keras.optimizers.Optimizer,
    counter: tf.Variable,
    *,
    accumulation_steps: int = 1,
    average: Callable[[tf.Tensor], None] | None = None,
) -> Call:
    """Makes a function that does as many steps as it is given learning rates, one after the other.

    Each is what `loop.TrainingLoop.one_step` does: the same operations in the same order, so the same weights.

    Args:
        step: from `steps.make_train_step`, or of `make_accumulating_step` where there are parts to accumulate.
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
