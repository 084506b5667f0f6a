"""Several steps in one call, and steps that XLA compiled: the weights of single steps."""

import csv
import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from seg_pipeline import errors
from seg_pipeline.dataset import manifest
from seg_pipeline.dataset.dataset_split import DatasetSplit
from tests import fake_data
from trainer import config, jobs, options
from trainer.training import checkpoints, loop, schedules

RECIPE = config.Recipe(
    encoder='tiny_bn',
    encoder_weights='none',
    batch_size=4,
    epochs=2,
    frozen_epochs=1,
    steps_per_epoch=5,
    schedule='cosine',
    warmup_steps=2,
)
CASES = {
    'plain': {},
    'average': {'ema_decay': 0.9, 'optimizer': 'adamw'},
    'parts': {'accumulation_steps': 2, 'clip_norm': 1.0},
    'float16': {'precision': 'float16', 'optimizer': 'sgd'},
}


class _NeverStop:
    requested = False


@pytest.fixture(name='data_dir', scope='module')
def _data_dir(tmp_path_factory):
    return fake_data.make_dataset(tmp_path_factory.mktemp('data'), num_pairs=9, splits='train:0.7,validation:0.3')


def _train(model_dir, data_dir, devices, recipe, **runtime):
    """Returns every variable of the last state, and the rows of the history without its timings."""
    found = manifest.read(data_dir)
    run = config.RunConfig(recipe, config.Data.from_manifest(found))
    state = checkpoints.create_state(run, devices, None)
    config.write(str(model_dir), run)
    training = loop.TrainingLoop(
        run=run,
        runtime=options.RuntimeOptions(**runtime),
        train_split=DatasetSplit(data_dir, found, 'train'),
        validation_split=DatasetSplit(data_dir, found, 'validation'),
        model_dir=str(model_dir),
        devices=devices,
        state=state,
    )
    assert training.train(_NeverStop())
    values = [*state.model.variables, *(v for optimizer in state.optimizers.values() for v in optimizer.variables)]
    values += [] if state.averaged is None else state.averaged.variables
    with open(model_dir / 'history.csv', newline='') as file:
        rows = list(csv.DictReader(file))
    return [np.asarray(value) for value in values], rows


def _scalars(model_dir, tag):
    events = [path for path in (model_dir / 'tensorboard').iterdir() if path.name.startswith('events')]
    found = {}
    for event in tf.compat.v1.train.summary_iterator(str(*events)):
        for value in event.summary.value:
            if value.tag == tag:
                found[event.step] = float(tf.make_ndarray(value.tensor))
    return found


@pytest.mark.parametrize(
    ('case', 'devices'),
    [('plain', 'one_device'), ('average', 'one_device'), ('parts', 'two_devices'), ('float16', 'one_device')],
)
def test_calls_of_two_steps_do_what_single_steps_do(tmp_path, data_dir, request, case, devices):
    """Five steps an epoch: calls of two, two and one."""
    devices, recipe = request.getfixturevalue(devices), dataclasses.replace(RECIPE, **CASES[case])
    if case != 'plain':  # It has both phases.
        recipe = dataclasses.replace(recipe, epochs=1, frozen_epochs=0)
    single, rows = _train(tmp_path / 'single', data_dir, devices, recipe)
    several, rows_of_several = _train(tmp_path / 'several', data_dir, devices, recipe, steps_per_call=2)
    for found, expected in zip(several, single, strict=True):
        np.testing.assert_array_equal(found, expected)
    for one, other in zip(rows, rows_of_several, strict=True):
        timings = {'images_per_second', 'seconds', 'input_wait_share'}
        assert {name: one[name] for name in one if name not in timings} == {
            name: other[name] for name in other if name not in timings
        }
        assert float(one['input_wait_share']) > 0
        assert other['input_wait_share'] == ''
    for tag in ('step/learning_rate', 'step/gradient_norm'):
        of_steps = _scalars(tmp_path / 'single', tag)
        assert len(of_steps) == recipe.epochs * recipe.steps_per_epoch
        assert _scalars(tmp_path / 'several', tag) == of_steps


def test_a_call_ends_where_a_checkpoint_is_due(tmp_path, data_dir, one_device):
    _train(tmp_path, data_dir, one_device, RECIPE, steps_per_call=4, checkpoint_every_steps=3, keep_checkpoints=99)
    assert config.saved_steps(str(tmp_path / 'checkpoints')) == [3, 5, 6, 9, 10]


@pytest.mark.parametrize('case', ['plain', pytest.param('float16', marks=pytest.mark.slow)])
def test_xla_learns_the_same(tmp_path, data_dir, one_device, case):
    recipe = dataclasses.replace(RECIPE, epochs=1, frozen_epochs=0, steps_per_epoch=2, **CASES[case])
    plain, _ = _train(tmp_path / 'plain', data_dir, one_device, recipe)
    compiled, _ = _train(tmp_path / 'compiled', data_dir, one_device, recipe, jit_compile=True, steps_per_call=2)
    one, other = (np.concatenate([value.ravel() for value in values]) for values in (plain, compiled))
    assert np.linalg.norm(one - other) < (1e-2 if case == 'float16' else 1e-3) * np.linalg.norm(one)


def test_xla_compiles_the_gradient(tmp_path, data_dir, one_device):
    """That the test above has something to compare: an operation that XLA does not have is refused."""
    found = manifest.read(data_dir)
    run = config.RunConfig(dataclasses.replace(RECIPE, frozen_epochs=0), config.Data.from_manifest(found))
    training = loop.TrainingLoop(
        run=run,
        runtime=options.RuntimeOptions(jit_compile=True),
        train_split=DatasetSplit(data_dir, found, 'train'),
        validation_split=None,
        model_dir=str(tmp_path),
        devices=one_device,
        state=checkpoints.create_state(run, one_device, None),
    )
    head = training.state.model.get_layer('logits')
    of_keras = head.call
    head.call = lambda x: of_keras(tf.py_function(lambda y: y, [x], x.dtype, name='no_xla'))
    with pytest.raises((ValueError, tf.errors.OpError)):
        training.one_step(training.make_step(schedules.phases(run.recipe)[-1]), training.batches, loop.Clock(0.0))


def test_xla_with_several_devices_is_refused(tmp_path, data_dir):
    runtime = options.RuntimeOptions(virtual_devices=2, jit_compile=True)
    with pytest.raises(errors.UserError, match='--jit_compile is for one device, not 2'):
        jobs.train(data_dir, str(tmp_path / 'run'), RECIPE, runtime)
    assert not (tmp_path / 'run').exists()
