"""Starts a network from the weights of another run, or of an exported SavedModel (--init_from)."""

import json
import os
from typing import TYPE_CHECKING, Any

from seg_pipeline import errors
from seg_pipeline.labels.label_map import LabelMap
from seg_pipeline.plurals import counted
from trainer import config

if TYPE_CHECKING:
    import keras

_SAVED_MODEL = 'saved_model.pb'
_EXPORTED_LABELS = 'label_map.json'


def check(path: str, recipe: config.Recipe) -> None:
    """Checks what --init_from names, as far as that needs no TensorFlow.

    Args:
        path: directory of a run, or what trainer.export wrote with --format=saved_model.
        recipe: of the network that is to start from it.

    Raises:
        UserError: it is neither, or the run has another encoder or decoder.
    """
    if os.path.isfile(os.path.join(path, _SAVED_MODEL)):
        _exported_labels(path)
        return
    if not os.path.isfile(os.path.join(path, config.CONFIG_FILE)):
        raise errors.UserError(
            f'--init_from={path} is neither a run ({config.CONFIG_FILE}) nor an exported SavedModel ({_SAVED_MODEL})'
        )
    found = config.read(path).recipe
    for name in ('encoder', 'decoder'):
        there, here = getattr(found, name), getattr(recipe, name)
        if there != here:
            raise errors.UserError(
                f'--init_from={path} has --{name}={there}, this run --{name}={here}: give it the same'
            )


def load(network: 'keras.Model', path: str, label_map: LabelMap) -> str:
    """Puts the weights into a network: all where the classes are equal, else all but those of the logits.

    Args:
        network: from `segmenter.build`; the size of its images may be another.
        path: as `check` accepted it. Of a run, its best model is taken.
        label_map: the classes of `network`.

    Returns:
        One line that says what was taken.

    Raises:
        UserError: the weights do not fit, or cannot be read.
    """
    if os.path.isfile(os.path.join(path, _SAVED_MODEL)):
        labels, values = _exported_labels(path), _exported_values(network, path)
    else:
        from trainer.models import trained

        source, run = trained.load(path)
        labels, values = run.label_map, [weight.numpy() for weight in source.weights]
    keeps_head = labels.names == label_map.names
    _assign(network, path, values, keeps_head)
    head = 'the logits too' if keeps_head else 'the logits are drawn anew'
    classes = f'{counted(labels.num_classes, "class", "classes")} there, {label_map.num_classes} here'
    return f'weights of {path}: {classes}; {head}'


def _assign(network: 'keras.Model', path: str, values: list[Any], keeps_head: bool) -> None:
    weights = network.weights
    head = {id(weight) for weight in network.get_layer('logits').weights}
    wanted = [(weight, value) for weight, value in zip(weights, values, strict=False) if id(weight) not in head]
    if len(weights) != len(values) or any(tuple(weight.shape) != value.shape for weight, value in wanted):
        raise errors.UserError(
            f'--init_from={path} holds the weights of another network: give this run its --encoder and --decoder'
        )
    for weight, value in zip(weights, values, strict=True):
        if keeps_head or id(weight) not in head:
            weight.assign(value)


def _exported_labels(path: str) -> LabelMap:
    labels = os.path.join(path, _EXPORTED_LABELS)
    try:
        with open(labels, encoding='utf-8') as file:
            return LabelMap.from_json(json.load(file))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise errors.UserError(f'--init_from={path}: {labels} cannot be read: {error}') from error


def _exported_values(network: 'keras.Model', path: str) -> list[Any]:
    """The weights of a SavedModel in the order of the network's: an export has no names, but keeps that order."""
    import tensorflow as tf

    weights = {id(weight) for weight in network.weights}
    try:
        reader = tf.train.load_checkpoint(os.path.join(path, 'variables', 'variables'))
        return [
            reader.get_tensor(f'variables/{i}/.ATTRIBUTES/VARIABLE_VALUE')
            for i, variable in enumerate(network.variables)  # Those of random layers are among them.
            if id(variable) in weights
        ]
    except (tf.errors.OpError, ValueError, RuntimeError) as error:
        reason = ' '.join(str(error).split())[:200]
        raise errors.UserError(f'--init_from={path} cannot be read as a network like this one: {reason}') from error
