"""Trains on batches whose valid pixels lie unevenly, and, as a process of its own, on another number of devices.

    python -m tests.trainer.training.distributed NUM_DEVICES OUTPUT.npz

Within one process the number of devices is fixed: synchronized normalization adds up over groups of devices that
TensorFlow makes once.
"""

import sys

import keras
import numpy as np
import tensorflow as tf

from trainer import strategy
from trainer.models import random_layers, segmenter
from trainer.training import objective, steps

IGNORE = 255
NUM_CLASSES = 3
LEARNING_RATE = 0.01  # At ten times that, a ReLU that flips in one of two runs pulls them apart.
LOSSES = {
    'plain': objective.Objective(IGNORE),
    'cross_entropy, dice': objective.Objective(
        IGNORE, {'cross_entropy': 1.0, 'dice': 0.5}, class_weights=(0.5, 2.0, 1.0), label_smoothing=0.1
    ),
    'focal, tversky': objective.Objective(IGNORE, {'focal': 2.0, 'tversky': 1.0}, hard_pixel_share=0.3),
}


def batches(count, batch=4, seed=0, size=32):
    """Batches whose valid pixels lie very unevenly: the second half of each has almost none."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        images = rng.integers(0, 256, (batch, size, size, 3), np.uint8)
        masks = rng.integers(0, NUM_CLASSES, (batch, size, size, 1), np.uint8)
        masks[batch // 2 :][rng.random((batch - batch // 2, size, size, 1)) < 0.97] = IGNORE
        yield images, masks


def distribute(devices, images, masks):
    """Gives each replica its equal part of a global batch, in order."""
    replicas = devices.num_replicas_in_sync
    dataset = tf.data.Dataset.from_tensor_slices((images, masks)).batch(len(images) // replicas, drop_remainder=True)
    return next(iter(devices.distribute_datasets_from_function(lambda _: dataset)))


def make(devices, encoder, optimizer=None, size=32):
    keras.utils.set_random_seed(1)
    with devices.scope():
        network = segmenter.build(encoder, (size, size), NUM_CLASSES)
        random_layers.draw_by_example(network)
        optimizer = optimizer or keras.optimizers.SGD(LEARNING_RATE)
        optimizer.build(network.trainable_variables)
    return network, optimizer


def train(devices, encoder, batches, clip_norm=0.0, optimizer=None, loss=LOSSES['plain']):
    """Returns the weights, and the totals of the steps."""
    network, optimizer = make(devices, encoder, optimizer)
    totals = steps.TrainTotals()
    step = steps.make_train_step(devices, network, optimizer, totals, loss, clip_norm=clip_norm)
    for images, masks in batches:
        step(*distribute(devices, images, masks))
    return [weight.numpy() for weight in network.weights], totals


def main(num_devices, path):
    devices = strategy.make('mirrored', num_devices)
    weights = {name: train(devices, 'tiny', batches(2), loss=loss)[0] for name, loss in LOSSES.items()}
    np.savez(path, **{f'{name} {i}': value for name, values in weights.items() for i, value in enumerate(values)})


if __name__ == '__main__':
    main(int(sys.argv[1]), sys.argv[2])
