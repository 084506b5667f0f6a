"""Test-time augmentation by flips: a network's answer to an image, averaged with that to its mirror image."""

import math

import keras


def average(model: keras.Model) -> keras.Model:
    """Makes a model that averages the probabilities of an image and of its left-right mirror image, mirrored back.

    It takes twice the time. It suits classes that have no side, as `--augmentation` with flips does.

    Args:
        model: from images (batch, height, width, 3) to logits (batch, height, width, num_classes).

    Returns:
        A model of the same inputs and outputs; the softmax of its logits is the mean of the two.
    """
    images = keras.Input(model.input_shape[1:], dtype=model.inputs[0].dtype, name='images')
    mirrored = keras.ops.flip(model(keras.ops.flip(images, axis=2)), axis=2)
    of_both = [keras.ops.log_softmax(logits, axis=-1) for logits in (model(images), mirrored)]
    return keras.Model(images, keras.ops.logaddexp(*of_both) - math.log(2), name='flips')
