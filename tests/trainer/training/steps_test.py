"""The distributed step against plain arithmetic on the whole batch."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.trainer.training import distributed
from tests.trainer.training.distributed import IGNORE, LEARNING_RATE, NUM_CLASSES
from trainer.models import segmenter
from trainer.training import losses, objective, steps


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
    batches = list(distributed.batches(count))
    expected = _reference(encoder, batches, clip_norm)
    for devices in ('one_device', 'two_devices'):
        strategy = request.getfixturevalue(devices)
        weights, _ = distributed.train(strategy, encoder, batches, clip_norm)
        assert _largest_difference(weights, expected) < 1e-6


@pytest.fixture(scope='module')
def on_four_devices(tmp_path_factory):
    path = tmp_path_factory.mktemp('four') / 'weights.npz'
    subprocess.run([sys.executable, '-m', 'tests.trainer.training.distributed', '4', str(path)], check=True)
    return np.load(path)


@pytest.mark.parametrize('name', distributed.LOSSES)
def test_every_loss_is_exact_over_replicas(one_device, two_devices, on_four_devices, name):
    loss, batches = distributed.LOSSES[name], list(distributed.batches(2))
    keras.utils.set_random_seed(1)
    network = segmenter.build('tiny', (32, 32), NUM_CLASSES)
    for images, masks in batches:
        with tf.GradientTape() as tape:  # through the ratios themselves
            sums = loss.sums(tf.constant(masks), network(images, training=True))
            value = loss.value(sums) / tf.cast(sums['pixels'], tf.float32)
        gradients = tape.gradient(value, network.trainable_variables)
        for variable, gradient in zip(network.trainable_variables, gradients, strict=True):
            variable.assign_sub(LEARNING_RATE * gradient)
    expected = [weight.numpy() for weight in network.weights]
    found = [distributed.train(devices, 'tiny', batches, loss=loss)[0] for devices in (one_device, two_devices)]
    found.append([on_four_devices[f'{name} {i}'] for i in range(len(expected))])
    assert [_largest_difference(weights, expected) < 1e-6 for weights in found] == [True, True, True]


def test_accumulated_parts_are_one_step(one_device, two_devices):
    batches = list(distributed.batches(2))
    parts = [[(images[i : i + 2], masks[i : i + 2]) for i in (0, 2)] for images, masks in batches]
    keras.utils.set_random_seed(1)
    network = segmenter.build('tiny', (32, 32), NUM_CLASSES)
    for (_, masks), of_batch in zip(batches, parts, strict=True):
        with tf.GradientTape() as tape:  # Each part has its own normalization, and all have one mean over pixels.
            total = sum(losses.cross_entropy(tf.constant(m), network(i, training=True), IGNORE)[0] for i, m in of_batch)
            mean = total / (masks != IGNORE).sum()
        gradients = tape.gradient(mean, network.trainable_variables)
        for variable, gradient in zip(network.trainable_variables, gradients, strict=True):
            variable.assign_sub(LEARNING_RATE * gradient)
    expected = [weight.numpy() for weight in network.weights]
    for devices in (one_device, two_devices):
        model, optimizer = distributed.make(devices, 'tiny')
        totals = steps.TrainTotals()
        step = steps.make_accumulating_step(devices, model, optimizer, totals, objective.Objective(IGNORE))
        for of_batch in parts:
            step([distributed.distribute(devices, *part) for part in of_batch])
        assert _largest_difference([weight.numpy() for weight in model.weights], expected) < 1e-6
        assert int(totals.valid) == sum((masks != IGNORE).sum() for _, masks in batches)


def test_counts_are_exact_where_float32_is_not():
    totals = steps.TrainTotals()
    for correct in (2**24, 1):
        totals.add(tf.constant(0.0), tf.constant(correct, tf.int64), tf.constant(2**25 + 1, tf.int64))
    assert int(totals.correct) == 2**24 + 1
    assert int(totals.valid) == 2**26 + 2
    masks = tf.zeros((1, 4097, 4096, 1), tf.uint8)  # 2**24 + 4096 pixels
    assert int(objective.Objective(IGNORE).sums(masks, tf.zeros((1, 4097, 4096, 1)))['pixels']) == 2**24 + 4096


def test_totals_count_the_valid_pixels_of_all_replicas(two_devices):
    (images, masks), *_ = batches = list(distributed.batches(1))
    keras.utils.set_random_seed(1)
    logits = segmenter.build('tiny', (32, 32), NUM_CLASSES)(images, training=True).numpy()
    _, totals = distributed.train(two_devices, 'tiny', batches)
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
    network, optimizer = distributed.make(two_devices, 'tiny')
    before = [variable.numpy() for variable in network.trainable_variables]
    step = steps.make_train_step(two_devices, network, optimizer, steps.TrainTotals(), objective.Objective(IGNORE))
    step(*distributed.distribute(two_devices, images, masks))
    after = [variable.numpy() for variable in network.trainable_variables]
    assert _largest_difference(before, after) == 0.0


@pytest.mark.parametrize('clip_norm', [0.05, 1e6])
def test_clipping_bounds_the_norm_of_the_global_gradient(two_devices, clip_norm):
    network, optimizer = distributed.make(two_devices, 'tiny')
    before = [variable.numpy() for variable in network.trainable_variables]
    step = steps.make_train_step(
        two_devices, network, optimizer, steps.TrainTotals(), objective.Objective(IGNORE), clip_norm=clip_norm
    )
    step(*distributed.distribute(two_devices, *next(distributed.batches(1))))
    after = [variable.numpy() for variable in network.trainable_variables]
    norm = np.sqrt(sum(((a - b) ** 2).sum() for a, b in zip(after, before, strict=True))) / LEARNING_RATE
    if clip_norm < 1:
        assert norm == pytest.approx(clip_norm, rel=1e-3)
    else:
        assert 0.05 < norm < clip_norm


class _WithoutNorm(steps._ReplicaStep):
    """Applies gradients as if nobody wanted to know their norm."""

    def apply(self, gradients, valid):
        context = tf.distribute.get_replica_context()
        gradients = [tf.math.divide_no_nan(gradient, valid) for gradient in gradients]
        if self._clip_norm:
            gradients = context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
            gradients, _ = tf.clip_by_global_norm(gradients, self._clip_norm)
            gradients = [gradient / context.num_replicas_in_sync for gradient in gradients]
        self._optimizer.apply(gradients, self._variables)
        return tf.constant(0.0)


@pytest.mark.parametrize('clip_norm', [0.0, 0.1])
@pytest.mark.parametrize('devices', ['one_device', 'two_devices'])
def test_a_step_returns_the_norm_of_its_gradient_and_learns_as_without(request, monkeypatch, devices, clip_norm):
    strategy = request.getfixturevalue(devices)
    ((images, masks),) = distributed.batches(1)

    def learn():
        network, optimizer = distributed.make(strategy, 'tiny')
        totals = steps.TrainTotals()
        step = steps.make_train_step(
            strategy, network, optimizer, totals, distributed.LOSSES['plain'], clip_norm=clip_norm
        )
        before = [weight.numpy() for weight in network.trainable_weights]
        norm = float(step(*distributed.distribute(strategy, images, masks)))
        return before, [weight.numpy() for weight in network.trainable_weights], norm

    before, after, norm = learn()
    moved = np.sqrt(sum(((a - b).astype(np.float64) ** 2).sum() for a, b in zip(before, after, strict=True)))
    if not clip_norm:
        assert moved / LEARNING_RATE == pytest.approx(norm, rel=1e-4)
    else:  # that of before it is clipped
        assert moved / LEARNING_RATE == pytest.approx(clip_norm, rel=1e-4)
        assert norm > 2 * clip_norm
    monkeypatch.setattr(steps, '_ReplicaStep', _WithoutNorm)
    _, without, _ = learn()
    assert all(np.array_equal(a, b) for a, b in zip(after, without, strict=True))
