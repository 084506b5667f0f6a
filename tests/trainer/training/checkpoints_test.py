"""Saving and restoring the state of a run, and loading its model."""

import os
import shutil

import keras
import numpy as np
import pytest

from seg_pipeline import errors
from seg_pipeline.labels import label_map
from trainer import config
from trainer.models import segmenter, trained
from trainer.training import checkpoints, schedules

DATA = config.Data('d', 'f' * 64, (32, 32), label_map.LabelMap.default(('background', 'shirt')))
RUN = config.RunConfig(config.Recipe(encoder='tiny', encoder_weights='none', optimizer='adam', seed=3), DATA)


def _values(state):
    variables = [*state.model.variables, *(v for optimizer in state.optimizers.values() for v in optimizer.variables)]
    return [np.asarray(variable) for variable in variables]


def _disturb(state, seed=0):
    """Gives every variable another value."""
    rng = np.random.default_rng(seed)
    for variable in [*state.model.variables, *(v for o in state.optimizers.values() for v in o.variables)]:
        variable.assign(rng.uniform(0, 0.1, variable.shape).astype(variable.dtype))
    state.step.assign(12)
    state.epoch.assign(1)
    state.best_mean_iou.assign(0.5)
    state.totals.add(1.5, 2.0, 4.0)


def test_there_is_an_optimizer_for_what_each_phase_trains(one_device):
    state = checkpoints.create_state(RUN, one_device, None)
    parameters = {name: len(optimizer.variables) for name, optimizer in state.optimizers.items()}
    encoder = len(state.model.get_layer('encoder').weights)
    assert parameters['fine_tune'] - parameters['frozen'] == 2 * encoder  # Adam keeps two values for each.


@pytest.mark.parametrize('mirrored', [False, True])
def test_everything_comes_back(tmp_path, one_device, two_devices, mirrored):
    devices = two_devices if mirrored else one_device
    state = checkpoints.create_state(RUN, devices, None)
    checkpointer = checkpoints.Checkpointer(str(tmp_path), state, keep=2)
    assert not checkpointer.restore()
    _disturb(state)
    checkpointer.save()
    fresh = checkpoints.create_state(RUN, devices, None)
    assert checkpoints.Checkpointer(str(tmp_path), fresh, keep=2).restore()
    for restored, saved in zip(_values(fresh), _values(state), strict=True):
        np.testing.assert_array_equal(restored, saved)
    assert (int(fresh.step), int(fresh.epoch), float(fresh.best_mean_iou)) == (12, 1, 0.5)
    assert (fresh.totals.mean_loss(), fresh.totals.accuracy()) == (1.5 / 4, 0.5)


def test_random_layers_come_back_too(tmp_path):
    def make():
        images = keras.Input((4,))
        return checkpoints.TrainState(keras.Model(images, keras.layers.Dropout(0.5, seed=1)(images)), {})

    state, ones = make(), np.ones((8, 4), np.float32)
    assert len(state.seed_states) == 1
    state.model(ones, training=True)
    checkpoints.Checkpointer(str(tmp_path), state, keep=1).save()
    expected = state.model(ones, training=True)
    fresh = make()
    checkpoints.Checkpointer(str(tmp_path), fresh, keep=1).restore()
    np.testing.assert_array_equal(fresh.model(ones, training=True), expected)


def test_old_checkpoints_go(tmp_path, one_device):
    state = checkpoints.create_state(RUN, one_device, None)
    checkpointer = checkpoints.Checkpointer(str(tmp_path), state, keep=2)
    for step in (1, 2, 3):
        state.step.assign(step)
        checkpointer.save()
    names = sorted(name for name in os.listdir(tmp_path / 'checkpoints') if name.endswith('.index'))
    assert names == ['ckpt-2.index', 'ckpt-3.index']
    assert config.has_checkpoint(str(tmp_path))


def test_inference_takes_the_best_model_or_the_latest(tmp_path, one_device):
    config.write(str(tmp_path), RUN)
    state = checkpoints.create_state(RUN, one_device, None)
    checkpointer = checkpoints.Checkpointer(str(tmp_path), state, keep=2)
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
    logits = {}
    for step, which in ((1, 'best'), (2, 'latest')):
        _disturb(state, seed=step)
        state.step.assign(step)
        logits[which] = state.model(images).numpy()
        if which == 'best':
            checkpointer.save_best()
        checkpointer.save()
    assert not np.array_equal(logits['best'], logits['latest'])
    for which in ('best', 'latest'):
        loaded, run = trained.load(str(tmp_path), which)
        assert run == RUN
        np.testing.assert_array_equal(loaded(images), logits[which])
    assert [trained.step_of(str(tmp_path), which) for which in ('best', 'latest')] == [1, 2]
    shutil.rmtree(tmp_path / 'best')  # A run without a validation split has none.
    loaded, _ = trained.load(str(tmp_path))
    np.testing.assert_array_equal(loaded(images), logits['latest'])


def test_a_run_without_a_checkpoint_says_so(tmp_path):
    config.write(str(tmp_path), RUN)
    with pytest.raises(errors.UserError, match='holds no checkpoint yet'):
        trained.load(str(tmp_path))


def test_a_damaged_checkpoint_is_named(tmp_path, one_device):
    state = checkpoints.create_state(RUN, one_device, None)
    checkpointer = checkpoints.Checkpointer(str(tmp_path), state, keep=2)
    checkpointer.save()
    data = next((tmp_path / 'checkpoints').glob('*.data*'))
    data.write_bytes(data.read_bytes()[:100])
    with pytest.raises(errors.UserError, match='ckpt-0 cannot be restored'):
        checkpointer.restore()


@pytest.mark.parametrize(('weights', 'norms_learn'), [('none', True), ('some.h5', False)])
def test_batch_norm_with_pretrained_statistics_stays_as_it_is(weights, norms_learn):
    recipe = config.Recipe(encoder='tiny_bn', encoder_weights=weights)
    network = segmenter.build('tiny_bn', (32, 32), 3)
    frozen, fine_tune = schedules.phases(recipe)
    checkpoints.set_phase(network, recipe, frozen)
    assert not any('conv' in variable.path for variable in network.trainable_variables)
    assert any(variable.path.startswith('norm') for variable in network.trainable_variables) == norms_learn
    checkpoints.set_phase(network, recipe, fine_tune)
    paths = [variable.path for variable in network.get_layer('encoder').trainable_variables]
    assert any('norm' in path for path in paths) == norms_learn
    assert any('conv' in path for path in paths)
