"""Networks that start from another run, or from what was exported of it."""

import dataclasses
import shutil

import keras
import numpy as np
import pytest

from seg_pipeline import errors
from seg_pipeline.labels.label_map import LabelMap
from tests import fake_data
from tests.trainer import fake_run
from trainer import config, jobs
from trainer.inference import exporters
from trainer.models import initial_weights, segmenter, trained

RECIPE = config.Recipe(encoder='tiny', encoder_weights='none')
OTHER_LABELS = LabelMap.default(('background', 'hat', 'coat', 'dress', 'shoes'))


@pytest.fixture(name='run_dir', scope='module')
def _run_dir(tmp_path_factory):
    path = str(tmp_path_factory.mktemp('run'))
    fake_run.make(path)
    return path


@pytest.fixture(name='exported', scope='module')
def _exported(tmp_path_factory, run_dir):
    path = str(tmp_path_factory.mktemp('exported') / 'model')
    exporters.export(run_dir, 'saved_model', path)
    return path


@pytest.mark.parametrize('source', ['run_dir', 'exported'])
@pytest.mark.parametrize('labels', [fake_run.LABELS, OTHER_LABELS], ids=['equal', 'other'])
def test_all_but_other_logits_are_taken(request, run_dir, source, labels):
    path = request.getfixturevalue(source)
    original = {weight.path: weight.numpy() for weight in trained.load(run_dir)[0].weights}
    keras.utils.set_random_seed(5)
    network = segmenter.build('tiny', (64, 32), labels.num_classes)
    fresh = {weight.path: weight.numpy() for weight in network.weights}
    initial_weights.check(path, RECIPE)
    line = initial_weights.load(network, path, labels)
    for weight in network.weights:
        is_new = weight.path.startswith('logits') and labels is OTHER_LABELS
        np.testing.assert_array_equal(weight.numpy(), (fresh if is_new else original)[weight.path])
    expected = 'the logits are drawn anew' if labels is OTHER_LABELS else 'the logits too'
    assert line == f'weights of {path}: 4 classes there, {labels.num_classes} here; {expected}'


def test_as_many_classes_of_other_names_are_other_classes(run_dir):
    labels = LabelMap.default(('background', 'hat', 'coat', 'socks'))
    line = initial_weights.load(segmenter.build('tiny', (32, 32), 4), run_dir, labels)
    assert line.endswith('the logits are drawn anew')


@pytest.mark.parametrize(('option', 'value', 'there'), [('encoder', 'tiny_bn', 'tiny'), ('decoder', 'fpn', 'pix2pix')])
def test_another_network_is_refused(run_dir, exported, option, value, there):
    recipe = dataclasses.replace(RECIPE, **{option: value})
    with pytest.raises(errors.UserError, match=f'--{option}={there}, this run --{option}={value}'):
        initial_weights.check(run_dir, recipe)
    network = segmenter.build(recipe.encoder, (32, 32), 4, decoder=recipe.decoder)
    before = network.get_weights()
    with pytest.raises(errors.UserError, match=f'--init_from={exported} .*network'):
        initial_weights.load(network, exported, fake_run.LABELS)
    assert all(np.array_equal(a, b) for a, b in zip(network.get_weights(), before, strict=True))


def _check_and_load(network, path):
    initial_weights.check(path, RECIPE)
    initial_weights.load(network, path, fake_run.LABELS)


@pytest.mark.parametrize('kind', ['nothing', 'no labels', 'no variables'])
def test_what_is_no_source_is_one_line(tmp_path, exported, kind):
    path = str(tmp_path / 'copy')
    if kind != 'nothing':
        shutil.copytree(exported, path)
    if kind == 'no labels':
        (tmp_path / 'copy' / 'label_map.json').write_text('[]')
    if kind == 'no variables':
        shutil.rmtree(tmp_path / 'copy' / 'variables')
    network = segmenter.build('tiny', (32, 32), 4)
    with pytest.raises(errors.UserError, match=f'--init_from={path}') as raised:
        _check_and_load(network, path)
    assert '\n' not in str(raised.value)


def test_a_run_starts_from_another(tmp_path, run_dir, capsys):
    """At a learning rate of 0 the kernels stay what they were at the start."""
    data_dir = fake_data.make_dataset(tmp_path / 'data', num_pairs=4, splits='train:1')
    recipe = dataclasses.replace(
        RECIPE, init_from=run_dir, batch_size=2, epochs=1, frozen_epochs=0, steps_per_epoch=1, learning_rate=0.0
    )
    jobs.train(str(data_dir), str(tmp_path / 'new'), recipe)
    assert 'the logits are drawn anew' in capsys.readouterr().out
    model, _ = trained.load(str(tmp_path / 'new'))
    original = {weight.path: weight.numpy() for weight in trained.load(run_dir)[0].weights}
    for weight in model.weights:
        if weight.path.endswith('kernel') and not weight.path.startswith('logits'):
            np.testing.assert_array_equal(weight.numpy(), original[weight.path])


def test_normalization_of_a_loaded_encoder_keeps_its_statistics():
    assert not RECIPE.has_pretrained_encoder
    assert dataclasses.replace(RECIPE, init_from='run').has_pretrained_encoder
    assert config.Recipe().has_pretrained_encoder
