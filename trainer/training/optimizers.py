"""The optimizers by their names in a recipe."""

import keras

_CLASSES: dict[str, type[keras.optimizers.Optimizer]] = {
    'rmsprop': keras.optimizers.RMSprop,
    'sgd': keras.optimizers.SGD,
    'adam': keras.optimizers.Adam,
    'adamw': keras.optimizers.AdamW,
}


def make(name: str, learning_rate: float) -> keras.optimizers.Optimizer:
    """Makes an optimizer with Keras's own defaults for all but the learning rate.

    Args:
        name: one of `config.OPTIMIZERS`.
        learning_rate: constant.
    """
    return _CLASSES[name](learning_rate=learning_rate)
