"""How precisely a network computes, and the scale that keeps the gradients of float16 within its range."""

from collections.abc import Callable

import tensorflow as tf

from trainer import config
from trainer import strategy as strategy_lib

_INITIAL_SCALE = 2.0**15
_GROWTH_STEPS = 2000
_LARGEST_SCALE = 2.0**60  # far from float32's own end
LEAST_SCALE = 1.0


def policy(precision: str) -> str:
    """Returns Keras's name of one of `config.PRECISIONS`: variables stay float32 in each."""
    return precision if precision == config.FLOAT32 else f'mixed_{precision}'


class LossScale(tf.Module):
    """A factor by which the loss is multiplied before it is differentiated, and the gradients are divided after.

    The least positive float16 is 2**-24, and many gradients are smaller; the largest is 65504. So the scale is as large
    as possible: it doubles after `growth_steps` steps in a row whose gradients were finite, and where they are not, the
    step is left out, as if its batch had not been, and the scale is halved (Micikevicius et al., arXiv:1710.03740). The
    numbers are those of Keras's LossScaleOptimizer, which looks at the gradients of the first replica alone.

    Below `LEAST_SCALE` it is not the scale that makes gradients too large; then training has failed.

    Args:
        growth_steps: as above.

    Attributes:
        scale: float32, a power of 2.
        finite_steps: int64, the steps in a row that were done with this scale.
        skipped: int64, the steps that were left out since the last one that was done.
    """

    def __init__(self, growth_steps: int = _GROWTH_STEPS) -> None:
        super().__init__()
        self._growth_steps = growth_steps
        self.scale = strategy_lib.host_variable(tf.constant(_INITIAL_SCALE))
        self.finite_steps = strategy_lib.host_variable(tf.constant(0, tf.int64))
        self.skipped = strategy_lib.host_variable(tf.constant(0, tf.int64))

    def step(self, finite: tf.Tensor, apply: Callable[[], tf.Tensor]) -> tf.Tensor:
        """Does a step, or leaves it out, and changes the scale. In a graph, and not within a replica.

        Args:
            finite: bool scalar, whether the gradients of all replicas are.
            apply: changes the weights, and returns a float32 scalar.

        Returns:
            What `apply` returns; nan where the step is left out.
        """

        def done() -> tf.Tensor:
            result = apply()
            count = self.finite_steps + 1
            grows = count >= self._growth_steps
            self.scale.assign(tf.where(grows, tf.minimum(2 * self.scale, _LARGEST_SCALE), self.scale))
            self.finite_steps.assign(tf.where(grows, tf.zeros_like(count), count))
            self.skipped.assign(0)
            return result

        def left_out() -> tf.Tensor:
            self.scale.assign(tf.maximum(self.scale / 2, LEAST_SCALE / 2))
            self.finite_steps.assign(0)
            self.skipped.assign_add(1)
            return tf.constant(float('nan'))

        # Around all replicas: within one, no branch may update variables that are mirrored.
        return tf.cond(finite, done, left_out)
