"""The optimizers by their names in a recipe, with weight decay and a learning rate of its own for the encoder.

A Keras optimizer has one learning rate for all its variables, and decays them at that. So both are done here, in the
method that a subclass of a Keras optimizer overrides: the update of one variable.
"""

from typing import Any

import keras

from trainer import config

_CLASSES: dict[str, type[keras.optimizers.Optimizer]] = {
    'rmsprop': keras.optimizers.RMSprop,
    'sgd': keras.optimizers.SGD,
    'adam': keras.optimizers.Adam,
    'adamw': keras.optimizers.AdamW,
}
_DEFAULT_WEIGHT_DECAY = {'adamw': 0.004}  # Keras's


class _ByVariable:
    """Mixed into an optimizer: a learning rate and a weight decay for each variable.

    The decay is apart from the gradient (Loshchilov and Hutter, arXiv:1711.05101), with every optimizer: before its
    step a variable v becomes v - rate * decay * v, where rate is the learning rate of that variable.

    Attributes:
        scales: for each variable, in the order in which the optimizer was built: the learning rate is multiplied by it.
        decays: likewise, its weight decay.
    """

    scales: tuple[float, ...]
    decays: tuple[float, ...]

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Updates one copy of a variable, on its device."""
        i = self._get_variable_index(variable)  # type: ignore[attr-defined]
        # Neutral factors are left out, so that they cost nothing.
        rate = learning_rate if self.scales[i] == 1 else learning_rate * self.scales[i]
        if self.decays[i]:
            variable.assign_sub(variable * (rate * self.decays[i]))
        super().update_step(gradient, variable, rate)  # type: ignore[misc]


def make(recipe: config.Recipe, network: keras.Model, learning_rate: float) -> keras.optimizers.Optimizer:
    """Makes an optimizer for the variables of `network` that are trainable now, with Keras's defaults for all else.

    Args:
        recipe: which optimizer, and its options.
        network: from `segmenter.build`.
        learning_rate: at the start; `optimizer.learning_rate` is a variable that a schedule can assign.

    Returns:
        The optimizer, built.
    """
    base, variables = _CLASSES[recipe.optimizer], network.trainable_variables
    factors = {'scales': _scales(recipe, network, variables), 'decays': _decays(recipe, variables)}
    # Attributes of the class, not of the optimizer: those Keras would track, and they would be a part of checkpoints.
    made = type(base.__name__, (_ByVariable, base), factors)(learning_rate=learning_rate)
    made.weight_decay = None  # AdamW insists on one of its own when it is made.
    if recipe.momentum:
        made.momentum = recipe.momentum
    made.build(variables)
    return made


def _scales(recipe: config.Recipe, network: keras.Model, variables: list[keras.Variable]) -> tuple[float, ...]:
    encoder = {id(variable) for variable in network.get_layer('encoder').trainable_variables}
    return tuple(recipe.encoder_learning_rate_scale if id(variable) in encoder else 1.0 for variable in variables)


def _decays(recipe: config.Recipe, variables: list[keras.Variable]) -> tuple[float, ...]:
    """Kernels are decayed; biases and the variables of normalization layers, which alone have one axis, are not."""
    decay = recipe.weight_decay
    if decay is None:
        decay = _DEFAULT_WEIGHT_DECAY.get(recipe.optimizer, 0.0)
    return tuple(decay if len(variable.shape) > 1 else 0.0 for variable in variables)
