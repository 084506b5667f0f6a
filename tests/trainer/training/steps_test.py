"""The distributed step against plain arithmetic on the whole batch."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from trainer.models import segmenter
from trainer.training import steps

IGNORE = 255
NUM_CLASSES = 3
LEARNING_RATE = 0.01  # At ten times that, a ReLU that flips in one of two runs pulls them apart.


def _batches(count, batch=4, seed=0):
    """Batches whose valid pixels lie very unevenly: the second half of each has almost none."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        images = rng.integers(0, 256, (batch, 32, 32, 3), np.uint8)
        masks = rng.integers(0, NUM_CLASSES, (batch, 32, 32, 1), np.uint8)
        masks[batch // 2 :][rng.random((batch - batch // 2, 32, 32, 1)) < 0.97] = IGNORE
        yield images, masks


def _distribute(strategy, images, masks):
    """Gives each replica its equal part of a global batch, in order."""
    replicas = strategy.num_replicas_in_sync
    dataset = tf.data.Dataset.from_tensor_slices((images, masks)).batch(len(images) // replicas, drop_remainder=True)
    return next(iter(strategy.distribute_datasets_from_function(lambda _: dataset)))


def _make(strategy, encoder, optimizer=None):
    keras.utils.set_random_seed(1)
    with strategy.scope():
        network = segmenter.build(encoder, (32, 32), NUM_CLASSES)
        optimizer = optimizer or keras.optimizers.SGD(LEARNING_RATE)
        optimizer.build(network.trainable_variables)
    return network, optimizer


def _train(strategy, encoder, batches, clip_norm=0.0, optimizer=None):
    network, optimizer = _make(strategy, encoder, optimizer)
    totals = steps.TrainTotals()
    step = steps.make_train_step(strategy, network, optimizer, totals, ignore_id=IGNORE, clip_norm=clip_norm)
    for images, masks in batches:
        step(*_distribute(strategy, images, masks))
    return [weight.numpy() for weight in network.weights], totals


def _reference(encoder, batches, clip_norm=0.0):
    """SGD by hand: the mean over the valid pixels of the whole batch, in eager mode, without any strategy."""
    keras.utils.set_random_seed(1)
    network = segmenter.build(encoder, (32, 32), NUM_CLASSES)
    for images, masks in batches:
        with tf.GradientTape() as tape:
            logits = network(images, training=True)
            valid = masks[..., 0] != IGNORE
            losses = keras.losses.sparse_categorical_crossentropy(masks[..., 0][valid], logits[valid], from_logits=True)
            loss = tf.reduce_mean(losses)
        gradients = tape.gradient(loss, network.trainable_variables)
        norm = np.sqrt(sum(float(tf.reduce_sum(g**2)) for g in gradients))
        scale = min(1.0, clip_norm / norm) if clip_norm else 1.0
        for variable, gradient in zip(network.trainable_variables, gradients, strict=True):
            variable.assign_sub(LEARNING_RATE * scale * gradient)
    return [weight.numpy() for weight in network.weights]


def _largest_difference(first, second):
    return max(np.abs(a - b).max() for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize(('encoder', 'clip_norm', 'count'), [('tiny', 0.0, 5), ('tiny', 0.1, 2), ('tiny_bn', 0.0, 2)])
def test_steps_equal_plain_gradient_descent(request, encoder, clip_norm, count):
    batches = list(_batches(count))
    expected = _reference(encoder, batches, clip_norm)
    for devices in ('one_device', 'two_devices'):
        strategy = request.getfixturevalue(devices)
        weights, _ = _train(strategy, encoder, batches, clip_norm)
        assert _largest_difference(weights, expected) < 1e-6


def test_totals_count_the_valid_pixels_of_all_replicas(two_devices):
    (images, masks), *_ = batches = list(_batches(1))
    keras.utils.set_random_seed(1)
    logits = segmenter.build('tiny', (32, 32), NUM_CLASSES)(images, training=True).numpy()
    _, totals = _train(two_devices, 'tiny', batches)
    valid = masks[..., 0] != IGNORE
    assert float(totals.valid) == valid.sum()
    assert totals.accuracy() == (logits.argmax(-1) == masks[..., 0])[valid].mean()
    shifted = logits - logits.max(-1, keepdims=True)
    log_probabilities = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    picked = np.take_along_axis(log_probabilities, np.where(valid, masks[..., 0], 0)[..., None], -1)[..., 0]
    assert totals.mean_loss() == pytest.approx(-picked[valid].mean(), rel=1e-5)
    totals.reset()
    assert np.isnan(totals.mean_loss())


def test_a_batch_without_a_valid_pixel_changes_no_trainable_weight(two_devices):
    images = np.zeros((4, 32, 32, 3), np.uint8)
    masks = np.full((4, 32, 32, 1), IGNORE, np.uint8)
    network, optimizer = _make(two_devices, 'tiny')
    before = [variable.numpy() for variable in network.trainable_variables]
    step = steps.make_train_step(two_devices, network, optimizer, steps.TrainTotals(), ignore_id=IGNORE)
    step(*_distribute(two_devices, images, masks))
    after = [variable.numpy() for variable in network.trainable_variables]
    assert _largest_difference(before, after) == 0.0


@pytest.mark.parametrize('clip_norm', [0.05, 1e6])
def test_clipping_bounds_the_norm_of_the_global_gradient(two_devices, clip_norm):
    network, optimizer = _make(two_devices, 'tiny')
    before = [variable.numpy() for variable in network.trainable_variables]
    step = steps.make_train_step(
        two_devices, network, optimizer, steps.TrainTotals(), ignore_id=IGNORE, clip_norm=clip_norm
    )
    step(*_distribute(two_devices, *next(_batches(1))))
    after = [variable.numpy() for variable in network.trainable_variables]
    norm = np.sqrt(sum(((a - b) ** 2).sum() for a, b in zip(after, before, strict=True))) / LEARNING_RATE
    if clip_norm < 1:
        assert norm == pytest.approx(clip_norm, rel=1e-3)
    else:
        assert 0.05 < norm < clip_norm
