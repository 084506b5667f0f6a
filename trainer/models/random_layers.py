"""Dropout and stochastic depth whose noise is drawn for each example, from a seed and its place in the global batch.

Keras draws the noise of a layer from a state of that layer, which is the same on every replica: two replicas drop the
same parts of different examples, and a single device, on the same batch, drops others.
"""

import contextlib
import dataclasses
import threading
from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf

# By the name of the class: where it has its rate. That of keras.applications' ConvNeXt is not public.
_RATES = {'Dropout': 'rate', 'StochasticDepth': 'drop_path_rate'}


@dataclasses.dataclass(frozen=True)
class _Draw:
    """What the noise of a replica's examples follows from: a seed, int64 (2,), its first place, and all places."""

    seed: tf.Tensor
    first: tf.Tensor
    places: tf.Tensor


class _Current(threading.local):
    """The draw of the replica that calls its model; a mirrored strategy traces each replica in a thread of its own."""

    draw: _Draw | None = None


_CURRENT = _Current()


def draw_by_example(model: keras.Model) -> None:
    """Makes the random layers of a model draw within `drawing` as it says; elsewhere they draw as Keras does.

    Raises:
        NotImplementedError: a layer is random in a way that is not known here.
    """
    layers = model._flatten_layers(include_self=False)  # The public `layers` stops at nested models.
    for number, layer in enumerate(layer for layer in layers if _is_random(layer)):
        kind = type(layer).__name__
        if kind not in _RATES:
            raise NotImplementedError(f'layer {layer.name}: {kind} draws the same noise on every device')
        layer.call = _by_example(layer, number, float(getattr(layer, _RATES[kind])))


@contextlib.contextmanager
def drawing(seed: tf.Tensor, first: tf.Tensor, places: tf.Tensor) -> Iterator[None]:
    """Within it, in this thread, random layers draw the noise of a part of a batch.

    Args:
        seed: int64 (2,), of the batch.
        first: place of the first example of the part in the batch.
        places: examples of the whole batch.
    """
    _CURRENT.draw = _Draw(seed, first, places)
    try:
        yield
    finally:
        _CURRENT.draw = None


def _is_random(layer: Any) -> bool:
    # Keras's ConvNeXt draws from a generator of the process, so its layers have none.
    return type(layer).__name__ in _RATES or getattr(layer, 'seed_generator', None) is not None


def _by_example(layer: Any, number: int, rate: float) -> Callable[..., tf.Tensor]:
    """The call of a layer, in which each example is dropped, or each of its values, as `noise_shape` says."""
    of_keras = layer.call

    def call(inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        draw = _CURRENT.draw
        if not training or not rate or draw is None:
            return of_keras(inputs, training=training)
        shape = _noise_shape(layer, inputs)
        # The noise of the whole batch, of which every replica takes its part: so it does not depend on their number.
        seed = tf.random.experimental.stateless_fold_in(draw.seed, number, alg='philox')
        noise = tf.random.stateless_uniform([draw.places, *shape], seed, alg='philox')
        kept = noise[draw.first : draw.first + tf.shape(inputs)[0]] >= rate
        return inputs * tf.cast(kept, inputs.dtype) / (1 - rate)

    return call


def _noise_shape(layer: Any, inputs: tf.Tensor) -> list[int]:
    """The shape of the noise of one example: 1 where all its values share it."""
    values = list(inputs.shape[1:])
    if type(layer).__name__ == 'StochasticDepth':
        return [1] * len(values)
    wanted = getattr(layer, 'noise_shape', None) or (None,) * len(inputs.shape)
    return [size if one is None else one for one, size in zip(wanted[1:], values, strict=True)]
