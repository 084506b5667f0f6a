"""Complete runs in this process: what they leave behind, and that a stopped one ends as if it had not been stopped."""

import csv
import dataclasses
import math
import os
import shutil
import types

import numpy as np
import pytest
import tensorflow as tf

from seg_pipeline import errors
from seg_pipeline.dataset import manifest
from seg_pipeline.dataset.dataset_split import DatasetSplit
from tests import fake_data
from trainer import config, options
from trainer.models import precision, trained
from trainer.training import checkpoints, history, loop

RECIPE = config.Recipe(
    encoder='tiny_bn', encoder_weights='none', batch_size=4, epochs=2, frozen_epochs=1, steps_per_epoch=3
)


@pytest.fixture(scope='module')
def data_dir(tmp_path_factory):
    return fake_data.make_dataset(tmp_path_factory.mktemp('data'), num_pairs=9, splits='train:0.7,validation:0.3')


class _Stop:
    """Requests to stop once it was asked `after` times."""

    def __init__(self, after=None):
        self._left = after

    @property
    def requested(self):
        if self._left is None:
            return False
        self._left -= 1
        return self._left < 0


def _run(model_dir, data_dir, devices, recipe=RECIPE, stop=None, **runtime):
    """Trains from the start or the latest checkpoint; returns whether the last epoch is done, and the state."""
    found = manifest.read(data_dir)
    run = config.RunConfig(recipe, config.Data.from_manifest(found))
    state = checkpoints.create_state(run, devices, None)
    config.write(str(model_dir), run)
    has_validation = 'validation' in found.split_names
    training = loop.TrainingLoop(
        run=run,
        runtime=options.RuntimeOptions(**runtime),
        train_split=DatasetSplit(data_dir, found, 'train'),
        validation_split=DatasetSplit(data_dir, found, 'validation') if has_validation else None,
        model_dir=str(model_dir),
        devices=devices,
        state=state,
    )
    return training.train(stop or _Stop()), state


def _values(state):
    variables = [*state.model.variables, *(v for optimizer in state.optimizers.values() for v in optimizer.variables)]
    variables += [] if state.averaged is None else state.averaged.variables
    return [np.asarray(variable) for variable in variables]


def _history(model_dir):
    with open(model_dir / 'history.csv', newline='') as file:
        rows = list(csv.DictReader(file))
    timings = ('images_per_second', 'seconds', 'input_wait_share')
    return [{name: value for name, value in row.items() if name not in timings} for row in rows]


@pytest.fixture(scope='module')
def uninterrupted(tmp_path_factory, data_dir, one_device):
    model_dir = tmp_path_factory.mktemp('run')
    finished, state = _run(model_dir, data_dir, one_device)
    assert finished
    return model_dir, _values(state), _history(model_dir)


def test_a_run_leaves_what_it_promised(uninterrupted):
    model_dir, _, rows = uninterrupted
    assert [(row['epoch'], row['phase'], row['step']) for row in rows] == [
        ('1', 'frozen', '3'),
        ('2', 'fine_tune', '6'),
    ]
    assert all(float(row['val_mean_iou']) >= 0 for row in rows)
    assert list((model_dir / 'tensorboard').glob('events*'))
    best = max(rows, key=lambda row: float(row['val_mean_iou']))
    assert trained.step_of(str(model_dir), 'best') == int(best['step'])
    assert trained.step_of(str(model_dir), 'latest') == 6


def test_a_stopped_run_goes_on_bit_for_bit(tmp_path, data_dir, one_device, uninterrupted):
    _, values, rows = uninterrupted
    finished, state = _run(tmp_path, data_dir, one_device, stop=_Stop(6))  # After step 4: within the second epoch.
    assert int(state.step) == 4
    assert not finished
    finished, state = _run(tmp_path, data_dir, one_device)
    assert finished
    for found, expected in zip(_values(state), values, strict=True):
        np.testing.assert_array_equal(found, expected)
    assert _history(tmp_path) == rows


def test_a_stopped_run_leaves_no_file_open(tmp_path, data_dir, one_device):
    _run(tmp_path / 'run', data_dir, one_device, stop=_Stop(after=1))
    opened = {os.path.realpath(f'/proc/self/fd/{number}') for number in os.listdir('/proc/self/fd')}
    assert [path for path in opened if path.startswith(str(tmp_path))] == []
    assert list((tmp_path / 'run').glob('*/events.*'))


def test_a_mirrored_run_goes_on_bit_for_bit(tmp_path, data_dir, two_devices):
    recipe = dataclasses.replace(
        RECIPE, encoder='tiny', epochs=1, frozen_epochs=0, steps_per_epoch=2, augmentation='none'
    )
    _, expected = _run(tmp_path / 'uninterrupted', data_dir, two_devices, recipe)
    _run(tmp_path / 'parts', data_dir, two_devices, recipe, stop=_Stop(1))
    finished, found = _run(tmp_path / 'parts', data_dir, two_devices, recipe)
    assert finished
    assert all(np.array_equal(a, b) for a, b in zip(_values(found), _values(expected), strict=True))
    assert _history(tmp_path / 'parts') == _history(tmp_path / 'uninterrupted')


SCHEDULED = dataclasses.replace(
    RECIPE,
    encoder='tiny',
    epochs=1,
    frozen_epochs=0,
    steps_per_epoch=4,
    augmentation='none',
    optimizer='sgd',
    learning_rate=0.01,
    momentum=0.9,
    weight_decay=0.01,
    schedule='cosine',
    warmup_steps=2,
    encoder_learning_rate_scale=0.1,
    loss='cross_entropy,dice',
    ema_decay=0.9,
    accumulation_steps=2,
)


@pytest.mark.parametrize('mirrored', [False, True])
def test_a_scheduled_run_goes_on_bit_for_bit(tmp_path, data_dir, one_device, two_devices, mirrored):
    devices = two_devices if mirrored else one_device
    _, expected = _run(tmp_path / 'uninterrupted', data_dir, devices, SCHEDULED)
    _run(tmp_path / 'parts', data_dir, devices, SCHEDULED, stop=_Stop(3))
    finished, found = _run(tmp_path / 'parts', data_dir, devices, SCHEDULED)
    assert finished
    assert all(np.array_equal(a, b) for a, b in zip(_values(found), _values(expected), strict=True))
    assert _history(tmp_path / 'parts') == _history(tmp_path / 'uninterrupted')
    assert [row['learning_rate'] for row in _history(tmp_path / 'parts')] == ['0.005']  # two of warm-up, then two
    for which in ('best', 'latest'):
        loaded, _ = trained.load(str(tmp_path / 'parts'), which)
        for weight, average, last in zip(loaded.weights, found.averaged.weights, found.model.weights, strict=True):
            np.testing.assert_array_equal(weight, average)
            assert not np.array_equal(weight, last) or not np.any(weight), weight.path


def test_a_run_ends_early_where_nothing_gets_better(tmp_path, data_dir, one_device, capsys):
    recipe = dataclasses.replace(
        SCHEDULED,
        epochs=6,
        steps_per_epoch=1,
        learning_rate=0.0,
        batch_norm_momentum=1.0,
        accumulation_steps=1,
        ema_decay=0.0,
        early_stopping_epochs=2,
    )
    for _ in range(2):  # The second finds that it is over.
        assert _run(tmp_path, data_dir, one_device, recipe)[0]
        assert len(_history(tmp_path)) == 3
        assert 'no better mean IoU in 2 epochs: the run ends here' in capsys.readouterr().out


def test_a_resumed_run_ends_as_early_as_one_that_was_left_alone(tmp_path, data_dir, one_device, monkeypatch):
    """Each epoch is better than all before by less than what history.csv, which a resumed run reads, has of it."""
    number = iter(range(100))

    def better(loss, accuracy, mean_iou, present):
        return history.Validation(loss, accuracy, 0.5 + 1e-9 * next(number), present)

    monkeypatch.setattr(loop, 'history', types.SimpleNamespace(**{**vars(history), 'Validation': better}))
    recipe = dataclasses.replace(
        SCHEDULED, epochs=6, steps_per_epoch=1, accumulation_steps=1, ema_decay=0.0, early_stopping_epochs=2
    )
    assert _run(tmp_path / 'alone', data_dir, one_device, recipe)[0]
    assert not _run(tmp_path / 'resumed', data_dir, one_device, recipe, stop=_Stop(2))[0]
    assert _run(tmp_path / 'resumed', data_dir, one_device, recipe)[0]
    assert len(_history(tmp_path / 'resumed')) == len(_history(tmp_path / 'alone')) == 3


def test_a_killed_run_goes_on_from_within_the_epoch(tmp_path, data_dir, one_device, uninterrupted):
    class Kill(_Stop):
        @property
        def requested(self):
            if super().requested:
                raise MemoryError  # Nothing is saved on the way out.
            return False

    with pytest.raises(MemoryError):
        _run(tmp_path, data_dir, one_device, stop=Kill(2), checkpoint_every_steps=1)
    assert trained.step_of(str(tmp_path), 'latest') == 2
    _, state = _run(tmp_path, data_dir, one_device)
    assert all(np.array_equal(a, b) for a, b in zip(_values(state), uninterrupted[1], strict=True))
    assert _history(tmp_path) == uninterrupted[2]


def test_a_finished_run_can_be_taken_further(tmp_path, data_dir, one_device, uninterrupted):
    recipe = dataclasses.replace(RECIPE, epochs=1)
    run = config.RunConfig(recipe, config.Data.from_manifest(manifest.read(data_dir)))
    before = checkpoints.create_state(run, one_device, None).model
    _, state = _run(tmp_path, data_dir, one_device, recipe)
    pairs = zip(before.weights, state.model.weights, strict=True)
    changed = {a.path for a, b in pairs if not np.array_equal(a, b)}
    assert not any(path.startswith('conv') for path in changed)  # The filters of the encoder are frozen so far.
    assert 'upsample_64/kernel' in changed
    finished, state = _run(tmp_path, data_dir, one_device)
    assert finished
    assert all(np.array_equal(a, b) for a, b in zip(_values(state), uninterrupted[1], strict=True))
    assert _run(tmp_path, data_dir, one_device)[0]  # Nothing is left to do.


def test_without_a_validation_split_the_latest_model_counts(tmp_path, one_device):
    data = fake_data.make_dataset(tmp_path / 'data', num_pairs=4, splits='train:1')
    recipe = dataclasses.replace(RECIPE, epochs=1, steps_per_epoch=0, augmentation='none')
    _run(tmp_path / 'run', data, one_device, recipe)
    assert _history(tmp_path / 'run')[0]['val_mean_iou'] == ''
    assert trained.step_of(str(tmp_path / 'run')) == 1


@pytest.mark.parametrize(('rate', 'every'), [(1e6, 0), (1e30, 0), (1e30, 1)])
def test_a_loss_that_is_no_number_ends_the_run_and_keeps_the_last_good_state(
    tmp_path, data_dir, one_device, rate, every
):
    recipe = dataclasses.replace(RECIPE, optimizer='sgd', fine_tune_learning_rate=min(rate, 1e6), augmentation='none')
    object.__setattr__(recipe, 'fine_tune_learning_rate', rate)  # past the range of the flag
    message = r'in epoch 2: lower --learning_rate=1e\+.*keeps its last good checkpoint, of step 3'
    with pytest.raises(errors.UserError, match=message):
        _run(tmp_path, data_dir, one_device, recipe, checkpoint_every_steps=every)
    assert trained.step_of(str(tmp_path), 'latest') == 3
    _, state = _run(tmp_path, data_dir, one_device, recipe, stop=_Stop(0))
    assert all(np.isfinite(values).all() for values in _values(state))
    assert len(_history(tmp_path)) == 1


HALF = dataclasses.replace(RECIPE, encoder='tiny', precision='float16', augmentation='none', frozen_epochs=0)


def test_a_loss_scale_that_does_not_help_ends_the_run(tmp_path, data_dir, one_device, monkeypatch):
    good, step = tf.Variable(True), precision.LossScale.step

    class Spoil(_Stop):
        @property
        def requested(self):  # From the third step on no gradient is finite.
            good.assign(not super().requested)
            return False

    def spoiled(self, finite, apply):
        return step(self, tf.logical_and(finite, good), apply)

    recipe = dataclasses.replace(HALF, steps_per_epoch=9)
    monkeypatch.setattr(precision, '_INITIAL_SCALE', 2.0)
    monkeypatch.setattr(precision.LossScale, 'step', spoiled)
    with pytest.raises(errors.UserError, match=r'no finite numbers at any loss scale in epoch 1: .* good .* of step 1'):
        _run(tmp_path, data_dir, one_device, recipe, stop=Spoil(2), checkpoint_every_steps=1)
    assert trained.step_of(str(tmp_path), 'latest') == 1


def test_steps_that_are_left_out_are_no_error(tmp_path, data_dir, one_device, monkeypatch):
    monkeypatch.setattr(precision, '_INITIAL_SCALE', 2.0**40)
    finished, state = _run(tmp_path, data_dir, one_device, HALF, checkpoint_every_steps=1)
    assert finished
    assert int(state.loss_scale.skipped) == 6  # all of them
    assert float(state.loss_scale.scale) == 2.0**34
    assert all(math.isfinite(float(row['loss'])) for row in _history(tmp_path))


def test_a_stop_is_heard_within_validation(tmp_path, data_dir, one_device, uninterrupted):
    finished, state = _run(tmp_path, data_dir, one_device, stop=_Stop(3))  # asked before each of the three steps
    assert (finished, int(state.step), int(state.epoch)) == (False, 3, 0)
    assert not (tmp_path / 'history.csv').exists()
    finished, state = _run(tmp_path, data_dir, one_device)
    assert finished
    assert all(np.array_equal(a, b) for a, b in zip(_values(state), uninterrupted[1], strict=True))
    assert _history(tmp_path) == uninterrupted[2]


def test_fewer_epochs_than_the_run_has_done_are_said(tmp_path, data_dir, one_device, uninterrupted, capfd):
    shutil.copytree(uninterrupted[0], tmp_path / 'run')
    finished, _ = _run(tmp_path / 'run', data_dir, one_device, dataclasses.replace(RECIPE, epochs=1))
    assert finished
    assert '--epochs=1 is less than the 2 epochs that the run has done' in capfd.readouterr().out


def test_a_run_learns(tmp_path, data_dir, one_device):
    recipe = dataclasses.replace(
        RECIPE, optimizer='adam', learning_rate=3e-3, epochs=2, frozen_epochs=0, steps_per_epoch=15, augmentation='none'
    )
    _run(tmp_path, data_dir, one_device, recipe)
    first, last = _history(tmp_path)
    assert float(last['loss']) < 0.6 * float(first['loss'])


def test_the_other_options_work_together(tmp_path, data_dir, one_device):
    recipe = dataclasses.replace(
        RECIPE,
        epochs=1,
        frozen_epochs=0,
        steps_per_epoch=2,
        optimizer='adamw',
        augmentation='none',
        clip_norm=1.0,
        precision='bfloat16',
        cache_budget_mb=0,
    )
    finished, state = _run(tmp_path, data_dir, one_device, recipe)
    assert finished
    assert state.model.get_layer('upsample_64').compute_dtype == 'bfloat16'
    network, _ = trained.load(str(tmp_path))
    assert network.get_layer('upsample_64').compute_dtype == 'float32'
    images = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), np.uint8)
    np.testing.assert_allclose(network(images), state.model(images), atol=0.05)
