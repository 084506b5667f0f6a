"""Saving and restoring the state of a run, and loading its model."""

import dataclasses
import os
import resource
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
    variables += [] if state.averaged is None else state.averaged.variables
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
    if state.averaged is not None:
        for variable in state.averaged.variables:
            variable.assign(rng.uniform(0, 0.1, variable.shape).astype(variable.dtype))
    if state.loss_scale is not None:
        state.loss_scale.scale.assign(8.0)
        state.loss_scale.finite_steps.assign(5)
        state.loss_scale.skipped.assign(3)


def test_there_is_an_optimizer_for_what_each_phase_trains(one_device):
    state = checkpoints.create_state(RUN, one_device, None)
    parameters = {name: len(optimizer.variables) for name, optimizer in state.optimizers.items()}
    encoder = len(state.model.get_layer('encoder').weights)
    assert parameters['fine_tune'] - parameters['frozen'] == 2 * encoder  # Adam keeps two values for each.


@pytest.mark.parametrize('mirrored', [False, True])
def test_everything_comes_back(tmp_path, one_device, two_devices, mirrored):
    devices = two_devices if mirrored else one_device
    run = dataclasses.replace(RUN, recipe=dataclasses.replace(RUN.recipe, precision='float16', ema_decay=0.5))
    state = checkpoints.create_state(run, devices, None)
    checkpointer = checkpoints.Checkpointer(str(tmp_path), state, keep=2)
    assert not checkpointer.restore()
    _disturb(state)
    checkpointer.save()
    fresh = checkpoints.create_state(run, devices, None)
    assert checkpoints.Checkpointer(str(tmp_path), fresh, keep=2).restore()
    for restored, saved in zip(_values(fresh), _values(state), strict=True):
        np.testing.assert_array_equal(restored, saved)
    assert (int(fresh.step), int(fresh.epoch), float(fresh.best_mean_iou)) == (12, 1, 0.5)
    assert (fresh.totals.mean_loss(), fresh.totals.accuracy()) == (1.5 / 4, 0.5)
    scale = fresh.loss_scale
    assert (float(scale.scale), int(scale.finite_steps), int(scale.skipped)) == (8.0, 5, 3)


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


def _two_checkpoints(tmp_path, one_device):
    """A run saved at the steps 1 and 2, and the values at step 1."""
    state = checkpoints.create_state(RUN, one_device, None)
    checkpointer = checkpoints.Checkpointer(str(tmp_path), state, keep=2)
    for step in (1, 2):
        _disturb(state, seed=step)
        state.step.assign(step)
        checkpointer.save()
        if step == 1:
            first = _values(state)
    return first


def _truncate(path):
    path.write_bytes(path.read_bytes()[:100])


def _flip_bit(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(bytes(data))


def _empty(path):
    path.write_bytes(b'')


_DATA_FILE, _INDEX_FILE = 'ckpt-2.data-00000-of-00001', 'ckpt-2.index'


@pytest.mark.parametrize('damage', [_truncate, _flip_bit, _empty, os.remove])
@pytest.mark.parametrize('name', [_DATA_FILE, _INDEX_FILE])
def test_the_checkpoint_before_a_damaged_one_is_taken(tmp_path, one_device, capfd, damage, name):
    first = _two_checkpoints(tmp_path, one_device)
    damage(tmp_path / 'checkpoints' / name)
    fresh = checkpoints.create_state(RUN, one_device, None)
    checkpointer = checkpoints.Checkpointer(str(tmp_path), fresh, keep=2)
    assert checkpointer.restore()
    assert all(np.array_equal(a, b) for a, b in zip(_values(fresh), first, strict=True))
    assert int(fresh.step) == 1
    # Without its index a checkpoint is as if it had never been.
    is_said = 'ckpt-2 cannot be restored' in capfd.readouterr().err
    assert is_said == (damage is not os.remove or name != _INDEX_FILE)
    fresh.step.assign(3)
    checkpointer.save()
    assert checkpoints.Checkpointer(str(tmp_path), fresh, keep=2).restore()
    assert int(fresh.step) == 3


@pytest.mark.parametrize('content', [b'', b'model_checkpoint_path', b'model_checkpoint_path: "ckpt-7"\n', None])
def test_a_damaged_list_of_checkpoints_costs_nothing(tmp_path, one_device, content):
    _two_checkpoints(tmp_path, one_device)
    listing = tmp_path / 'checkpoints' / 'checkpoint'
    listing.unlink() if content is None else listing.write_bytes(content)
    assert config.has_checkpoint(str(tmp_path))
    assert trained.step_of(str(tmp_path), 'latest') == 2
    fresh = checkpoints.create_state(RUN, one_device, None)
    checkpointer = checkpoints.Checkpointer(str(tmp_path), fresh, keep=2)
    assert checkpointer.restore()
    assert int(fresh.step) == 2
    fresh.step.assign(3)
    checkpointer.save()
    assert config.saved_steps(str(tmp_path / 'checkpoints')) == [2, 3]  # the first is known, and removed


def test_only_damaged_checkpoints_are_an_error(tmp_path, one_device):
    state = checkpoints.create_state(RUN, one_device, None)
    checkpointer = checkpoints.Checkpointer(str(tmp_path), state, keep=2)
    checkpointer.save()
    _truncate(next((tmp_path / 'checkpoints').glob('*.data*')))
    with pytest.raises(errors.UserError, match='ckpt-0 cannot be restored'):
        checkpointer.restore()


def test_what_killed_processes_left_half_written_goes(tmp_path, one_device):
    _two_checkpoints(tmp_path, one_device)
    directory = tmp_path / 'checkpoints'
    before = sorted(path.name for path in directory.iterdir())
    (directory / 'ckpt-3_temp').mkdir()
    for name in ('ckpt-3_temp/part-00000-of-00001.data', 'ckpt-3.data-00000-of-00001.tempstate123', 'checkpoint.tmp7f'):
        (directory / name).write_bytes(b'half')
    checkpoints.Checkpointer(str(tmp_path), checkpoints.create_state(RUN, one_device, None), keep=2)
    assert sorted(path.name for path in directory.iterdir()) == before


def test_a_checkpoint_without_space_is_an_outside_fault(tmp_path, one_device):
    state = checkpoints.create_state(RUN, one_device, None)
    checkpointer = checkpoints.Checkpointer(str(tmp_path), state, keep=2)
    state.step.assign(1)
    checkpointer.save()
    before = sorted(path.name for path in (tmp_path / 'checkpoints').iterdir())
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    state.step.assign(2)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    try:
        with pytest.raises(errors.OutsideError, match=r'ckpt-2: cannot be saved: .*goes on from the checkpoint before'):
            checkpointer.save()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert sorted(path.name for path in (tmp_path / 'checkpoints').iterdir()) == before


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


@pytest.mark.parametrize('weights', ['none', 'imagenet'])
@pytest.mark.parametrize('choice', config.ENCODER_BATCH_NORM)
def test_what_normalization_learns(weights, choice):
    recipe = config.Recipe(encoder='tiny_bn', encoder_weights=weights, encoder_batch_norm=choice)
    network = segmenter.build('tiny_bn', (32, 32), 3)
    for phase in (schedules.FROZEN, schedules.FINE_TUNE):
        checkpoints.set_phase(network, recipe, schedules.Phase(phase, 0, 1, 1e-3))
        inner = {variable.path for variable in network.get_layer('encoder').variables}
        learning = {variable.path for variable in network.trainable_variables} & inner
        normalized = {path for path in learning if path.endswith(('gamma', 'beta'))}
        assert bool(normalized) == ({'kept': False, 'trained': True, 'auto': weights == 'none'}[choice])
        assert bool(learning - normalized) == (phase == schedules.FINE_TUNE)
