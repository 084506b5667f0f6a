"""A run that is stopped and killed again and again has, at every step, the checkpoint of one that was left alone.

Each run is broken off within the frozen epoch, at its border with fine-tuning, and while it fine-tunes. Every
checkpoint on the way is compared, variable by variable: weights, optimizers, moving average, loss scale, counters. The
rows are a pairwise covering: any two of devices, precision, schedule, moving average and accumulation occur together in
each combination. RESUME_TABLE names a file for the table in docs/reliability.md.
"""

import dataclasses
import os

import numpy as np
import pytest
import tensorflow as tf

from seg_pipeline.dataset import manifest
from seg_pipeline.dataset.dataset_split import DatasetSplit
from tests import fake_data
from trainer import config, options
from trainer.training import checkpoints, history, loop

pytestmark = pytest.mark.slow

_PLACES = ('while frozen', 'at the border', 'while fine-tuning')
_TIMES = ('images_per_second', 'seconds', 'input_wait_share')
_RECIPE = config.Recipe(
    encoder='tiny_bn',
    encoder_weights='none',
    batch_size=4,
    epochs=2,
    frozen_epochs=1,
    steps_per_epoch=2,
    optimizer='adam',
    augmentation='none',
    clip_norm=1.0,
)
_SCHEDULED = {'schedule': 'cosine', 'warmup_steps': 1}
_AVERAGED = {'ema_decay': 0.9}
_IN_PARTS = {'accumulation_steps': 2}


@dataclasses.dataclass(frozen=True)
class _Row:
    """A run, and how it is broken off the first time, the second, ...: killed or stopped by turns."""

    devices: int
    precision: str
    options: tuple[dict, ...]
    first: str

    @property
    def recipe(self):
        given = {name: value for one in self.options for name, value in one.items()}
        return dataclasses.replace(_RECIPE, precision=self.precision, **given)

    @property
    def ends(self):
        return ('killed', 'stopped', 'killed') if self.first == 'killed' else ('stopped', 'killed', 'stopped')


# Two rows of each precision, the second with all that the first does not have.
_ROWS = [
    _Row(1, 'float32', (), 'killed'),
    _Row(2, 'float32', (_SCHEDULED, _AVERAGED, _IN_PARTS), 'stopped'),
    _Row(1, 'bfloat16', (_AVERAGED, _IN_PARTS), 'stopped'),
    _Row(2, 'bfloat16', (_SCHEDULED,), 'killed'),
    _Row(1, 'float16', (_SCHEDULED, _IN_PARTS), 'killed'),
    _Row(2, 'float16', (_AVERAGED,), 'stopped'),
]


class _Killed(BaseException):
    """The process would be gone here: nothing is saved on the way out."""


@dataclasses.dataclass
class _End:
    """Ends a run when it asks for the second time: after one step, or after the last one of an epoch."""

    how: str = ''
    asked: int = 0

    @property
    def requested(self):
        self.asked += 1
        if not self.how or self.asked < 2:
            return False
        if self.how == 'killed':
            raise _Killed
        return True


def _train(model_dir, data_dir, devices, recipe, end):
    found = manifest.read(data_dir)
    run = config.RunConfig(recipe, config.Data.from_manifest(found))
    config.write(str(model_dir), run)
    training = loop.TrainingLoop(
        run=run,
        runtime=options.RuntimeOptions(checkpoint_every_steps=1, keep_checkpoints=9),
        train_split=DatasetSplit(data_dir, found, 'train'),
        validation_split=None,
        model_dir=str(model_dir),
        devices=devices,
        state=checkpoints.create_state(run, devices, None),
    )
    try:
        return training.train(end)
    except _Killed:
        return False


def _variables(model_dir, step):
    reader = tf.train.load_checkpoint(config.checkpoint_path(str(model_dir / config.LATEST_DIR), step))
    names = [name for name in reader.get_variable_to_shape_map() if name.endswith('.ATTRIBUTES/VARIABLE_VALUE')]
    return {name: reader.get_tensor(name) for name in names if not name.startswith('save_counter')}


def _history(model_dir):
    return [{name: value for name, value in row.items() if name not in _TIMES} for row in history.read(str(model_dir))]


@pytest.fixture(scope='module')
def data_dir(tmp_path_factory):
    return fake_data.make_dataset(tmp_path_factory.mktemp('data'), num_pairs=6, splits='train:1')


@pytest.mark.parametrize('row', _ROWS, ids=lambda row: f'{row.devices}-{row.precision}')
def test_every_checkpoint_is_that_of_an_uninterrupted_run(tmp_path, data_dir, one_device, two_devices, row):
    devices = one_device if row.devices == 1 else two_devices
    assert _train(tmp_path / 'alone', data_dir, devices, row.recipe, _End())
    for how in row.ends:
        assert not _train(tmp_path / 'broken', data_dir, devices, row.recipe, _End(how))
    assert config.saved_steps(str(tmp_path / 'broken' / config.LATEST_DIR)) == [1, 2, 3]  # each end where it should be
    assert _train(tmp_path / 'broken', data_dir, devices, row.recipe, _End())
    compared = 0
    for step in (1, 2, 3, 4):
        expected, found = _variables(tmp_path / 'alone', step), _variables(tmp_path / 'broken', step)
        assert found.keys() == expected.keys()
        assert [name for name in expected if not np.array_equal(found[name], expected[name])] == []
        compared += len(expected)
    assert _history(tmp_path / 'broken') == _history(tmp_path / 'alone')
    parts = {'averaged': row.recipe.ema_decay > 0, 'loss_scale': row.precision == 'float16', 'optimizers': True}
    assert {name: any(f'state/{name}/' in key for key in expected) for name in parts} == parts
    _note(row, compared)


def _note(row, compared):
    path = os.environ.get('RESUME_TABLE')
    if not path:
        return
    given = {name for one in row.options for name in one}
    cells = [row.devices, row.precision, 'cosine, warm-up' if 'schedule' in given else 'constant']
    cells += ['yes' if name in given else 'no' for name in ('ema_decay', 'accumulation_steps')]
    cells += [', '.join(f'{how} {place}' for how, place in zip(row.ends, _PLACES, strict=True)), compared, 'all']
    with open(path, 'a', encoding='utf-8') as file:
        file.write(f'| {" | ".join(map(str, cells))} |\n')
