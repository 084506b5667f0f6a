"""The Python API on a tiny run: it does what the commands do, and importing it loads nothing."""

import dataclasses
import json
import pathlib
import shutil
import signal
import subprocess
import sys

import cv2
import numpy as np
import pytest
import tensorflow as tf

import trainer
from seg_pipeline import errors
from seg_pipeline.labels.label_map import LabelMap
from tests import fake_data
from trainer import config, options
from trainer.training import stop_signal

ROOT = pathlib.Path(__file__).parents[2]
RECIPE = config.Recipe(
    encoder='tiny',
    encoder_weights='none',
    batch_size=4,
    epochs=1,
    frozen_epochs=0,
    steps_per_epoch=2,
    augmentation='none',
)


@pytest.fixture(name='source', scope='module')
def _source(tmp_path_factory):
    return tmp_path_factory.mktemp('data')


@pytest.fixture(name='data_dir', scope='module')
def _data_dir(source):
    return fake_data.make_dataset(source, num_pairs=6, splits='train:0.5,validation:0.5')


@pytest.fixture(name='model_dir', scope='module')
def _model_dir(tmp_path_factory, data_dir):
    model_dir = str(tmp_path_factory.mktemp('run'))
    result = trainer.train(data_dir, model_dir, RECIPE)
    assert (result.step, result.stopped_by) == (2, None)
    assert result.best_mean_iou >= 0
    assert pathlib.Path(result.curves).stat().st_size > 1000
    return model_dir


def test_evaluate_returns_and_writes_the_metrics(model_dir, data_dir):
    result = trainer.evaluate(model_dir, data_dir, options.EvaluationOptions(split='train', batch_size=2))

    content = json.loads(pathlib.Path(result.path).read_text())
    assert (content['split'], content['examples']) == ('train', 3)
    assert content['pixel_accuracy'] == result.metrics.pixel_accuracy
    assert f'pixel accuracy             {result.metrics.pixel_accuracy:.4f}' in result.table


def test_predict_writes_masks_of_one_split(tmp_path, source, model_dir, data_dir):
    prediction = options.PredictionOptions(data_dir=data_dir)
    result = trainer.predict(model_dir, str(source / 'source' / 'images'), str(tmp_path), prediction)

    assert (result.num_images, result.failures) == (3, [])
    masks = [cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in (tmp_path / 'masks').iterdir()]
    assert [mask.shape for mask in masks] == [(48, 40)] * 3


def _probabilities(model, images):
    return np.asarray(tf.nn.softmax(tf.cast(model(images), tf.float64)))


def test_flips_at_test_time_average_the_predictions(tmp_path, source, model_dir, data_dir):
    """Of evaluate the figures, of predict the masks, recomputed from the network and the stored examples."""
    model, run = trainer.load_model(model_dir)
    # So few steps leave one class everywhere, mirrored or not. Of weights as large as these every class is seen.
    wild = tmp_path / 'wild'
    shutil.copytree(model_dir, wild)
    head = model.get_layer('logits')
    head.kernel.assign(np.random.default_rng(0).normal(size=head.kernel.shape))
    checkpoint = tf.train.Checkpoint(model=model)
    checkpoint.save_counter.assign(max(config.saved_steps(str(wild / config.BEST_DIR))))
    checkpoint.save(str(wild / config.BEST_DIR / 'ckpt'))

    records = list(fake_data.read_split(data_dir, 'validation'))
    images = np.stack([record.image for record in records])
    masks = np.stack([record.mask for record in records])
    plain = _probabilities(model, images)
    expected = (plain + _probabilities(model, images[:, :, ::-1])[:, :, ::-1]) / 2
    valid = masks != run.label_map.ignore_id
    found = trainer.evaluate(str(wild), data_dir, options.EvaluationOptions(tta='flip'))
    accuracy = found.metrics.pixel_accuracy
    assert accuracy == pytest.approx((expected.argmax(-1) == masks)[valid].mean(), abs=1e-9)
    assert accuracy != pytest.approx((plain.argmax(-1) == masks)[valid].mean(), abs=1e-3)
    assert json.loads(pathlib.Path(found.path).read_text())['tta'] == 'flip'

    prediction = options.PredictionOptions(data_dir=data_dir, tta='flip')
    trainer.predict(str(wild), str(source / 'source' / 'images'), str(tmp_path / 'out'), prediction)
    for record, of_record in zip(records, expected, strict=True):
        mask = cv2.imread(
            str(tmp_path / 'out' / 'masks' / record.file_name.replace('.jpg', '.png')), cv2.IMREAD_UNCHANGED
        )
        enlarged = np.stack([cv2.resize(np.log(plane), mask.shape[::-1]) for plane in of_record.transpose(2, 0, 1)], -1)
        assert (enlarged.argmax(-1) == mask).mean() > 0.98


def test_export_writes_a_model_that_can_be_loaded(tmp_path, model_dir):
    trainer.export(model_dir, 'saved_model', str(tmp_path / 'exported'))

    exported = tf.saved_model.load(str(tmp_path / 'exported'))  # Its variables live as long as this name.
    ids = exported.serve(np.zeros((1, 20, 30, 3), np.uint8))
    assert ids.shape == (1, 20, 30)
    labels = LabelMap.from_json(json.loads((tmp_path / 'exported' / 'label_map.json').read_text()))
    assert labels == config.read(model_dir).label_map
    with pytest.raises(errors.UserError, match='exists; remove it'):
        trainer.export(model_dir, 'saved_model', str(tmp_path / 'exported'))
    with pytest.raises(errors.UserError, match='unknown --format=gguf; known are saved_model, onnx, litert'):
        trainer.export(model_dir, 'gguf', str(tmp_path / 'other'))


def test_load_model_gives_logits_for_each_class(model_dir):
    model, run = trainer.load_model(model_dir, config.LATEST)

    assert run.recipe == RECIPE
    assert model(np.zeros((1, *run.image_size, 3), np.uint8)).shape == (1, *run.image_size, run.label_map.num_classes)


def test_a_stopped_run_says_so_and_goes_on(tmp_path, data_dir, monkeypatch):
    monkeypatch.setattr(stop_signal.StopSignal, 'requested', property(lambda self: True))
    monkeypatch.setattr(stop_signal.StopSignal, 'signal', signal.SIGTERM, raising=False)
    monkeypatch.setattr(stop_signal.StopSignal, '__init__', lambda self: setattr(self, '_previous', {}))
    stopped = trainer.train(data_dir, str(tmp_path), RECIPE)
    assert (stopped.step, stopped.stopped_by, stopped.curves) == (0, signal.SIGTERM, None)
    monkeypatch.undo()

    assert trainer.train(data_dir, str(tmp_path), RECIPE).step == 2


@pytest.mark.parametrize(
    ('weights', 'is_initialized', 'frozen_epochs', 'is_warned'),
    [('none', False, 1, True), ('none', False, 0, False), ('none', True, 1, False), ('file', False, 1, False)],
)
def test_freezing_an_encoder_with_fresh_weights_is_warned_of(
    tmp_path, data_dir, model_dir, capsys, weights, is_initialized, frozen_epochs, is_warned
):
    damaged = tmp_path / 'data'  # which ends the command before anything is computed
    shutil.copytree(data_dir, damaged)
    next(damaged.glob('*train.tfrecord*')).write_bytes(b'')
    (tmp_path / 'weights.h5').write_bytes(b'')
    recipe = dataclasses.replace(
        RECIPE,
        frozen_epochs=frozen_epochs,
        encoder_weights='none' if weights == 'none' else str(tmp_path / 'weights.h5'),
        init_from=model_dir if is_initialized else None,
    )
    with pytest.raises(errors.UserError, match=r'train\.tfrecord'):
        trainer.train(str(damaged), str(tmp_path / 'new'), recipe)
    warning = 'warning: --encoder_weights=none with --frozen_epochs=1: the encoder stays random for so long; '
    assert capsys.readouterr().err == (f'{warning}give --frozen_epochs=0, or weights\n' if is_warned else '')


def test_importing_the_package_loads_the_standard_library_at_most():
    code = 'import sys; before = set(sys.modules); import trainer; print(*sorted(set(sys.modules) - before))'
    done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, check=True, capture_output=True, text=True)
    loaded = {name for name in done.stdout.split() if name.partition('.')[0] not in sys.stdlib_module_names}
    assert loaded == {'trainer', 'seg_pipeline'}  # the second one's root alone, which loads nothing


def test_what_the_commands_check_first_loads_no_tensorflow():
    modules = ['jobs', 'train', 'evaluate', 'predict', 'export', 'recipes', 'tensorflow_setup']
    code = f'import importlib, sys\nfor name in {modules!r}:\n    importlib.import_module("trainer." + name)\n'
    code += 'assert not {"tensorflow", "keras"} & set(sys.modules)'
    # absl refuses a flag that two commands define, so each gets a process of its own.
    for name in modules:
        own = code.replace(repr(modules), repr([name]))
        subprocess.run([sys.executable, '-c', own], cwd=ROOT, check=True)


def test_every_public_name_is_a_function():
    assert all(callable(getattr(trainer, name)) for name in trainer.__all__)
    names = {'train', 'dry_run', 'evaluate', 'predict', 'export', 'show_augmentation', 'load_model'}
    assert set(trainer.__all__) == names


_FUNCTIONS = """
import sys
from trainer import evaluate, options, predict, show_augmentation, train
from trainer.config import Recipe

data_dir, images, out = sys.argv[1:]
recipe = Recipe(encoder='tiny_bn', encoder_weights='none', batch_size=4, epochs=1, frozen_epochs=0, steps_per_epoch=2)
train(data_dir, f'{out}/run', recipe)
evaluate(f'{out}/run', data_dir)
predict(f'{out}/run', images, f'{out}/predictions', options.PredictionOptions(data_dir=data_dir))
show_augmentation(data_dir, f'{out}/page', options.AugmentationOptions('light', pairs=2, seed=3))
"""


def test_functions_do_bit_for_bit_what_the_commands_do(tmp_path, source, data_dir):
    images = source / 'source' / 'images'
    by_functions, by_commands = tmp_path / 'functions', tmp_path / 'commands'
    run = by_commands / 'run'
    data = f'--data_dir={data_dir}'
    recipe = ('--encoder=tiny_bn', '--encoder_weights=none', '--batch_size=4', '--epochs=1', '--frozen_epochs=0')
    for command in (
        ['-c', _FUNCTIONS, data_dir, str(images), str(by_functions)],
        ['-m', 'trainer.train', data, f'--model_dir={run}', *recipe, '--steps_per_epoch=2'],
        ['-m', 'trainer.evaluate', data, f'--model_dir={run}'],
        [
            '-m',
            'trainer.predict',
            data,
            f'--model_dir={run}',
            f'--images={images}',
            f'--output_dir={by_commands}/predictions',
        ],
        [
            '-m',
            'trainer.show_augmentation',
            data,
            f'--output_dir={by_commands}/page',
            '--augmentation=light',
            '--pairs=2',
            '--seed=3',
        ],
    ):
        subprocess.run([sys.executable, *command], cwd=ROOT, check=True, capture_output=True)
    for which in (config.BEST, config.LATEST):
        weights = [
            trainer.load_model(str(place / 'run'), which)[0].get_weights() for place in (by_functions, by_commands)
        ]
        assert all(np.array_equal(a, b) for a, b in zip(*weights, strict=True))
    for pattern in ('run/config.json', 'run/evaluation/*.json', 'predictions/**/*.png', 'page/*.html'):
        found = [
            {str(path.relative_to(place)): path.read_bytes() for path in place.glob(pattern)}
            for place in (by_functions, by_commands)
        ]
        assert found[0]
        assert found[0] == found[1]
