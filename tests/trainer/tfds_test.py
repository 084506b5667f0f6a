"""The commands on data sets without a manifest: of a TFDS builder of another project, and of our own."""

import json
import os
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest
import tensorflow_datasets as tfds

import seg_pipeline.clothing_parsing  # noqa: F401  registers the builder
from seg_pipeline import errors
from seg_pipeline.dataset import manifest
from seg_pipeline.input import decoding
from seg_pipeline.synthetic import pair_set
from tests import fake_data, fake_tfds
from trainer import config, jobs
from trainer.models import trained

_SMALL = ('--encoder=tiny', '--encoder_weights=none', '--batch_size=4', '--frozen_epochs=0', '--augmentation=light')
_PET = ('--image_size=32,32', '--label_offset=-1', '--num_classes=3', '--validation_split=test')
_OPTIONS = config.DataOptions((32, 32), label_offset=-1, num_classes=3, validation_split='test')


@pytest.fixture(name='pets', scope='module')
def _pets(tmp_path_factory):
    root = tmp_path_factory.mktemp('pets')
    return {name: fake_tfds.make(root / name, name) for name in ('tfrecord', 'array_record')}


@pytest.fixture(name='built', scope='module')
def _built(tmp_path_factory):
    """What our own builder makes by download_and_prepare of 10 pairs at hand: the directory of its version."""
    root = tmp_path_factory.mktemp('built')
    pair_set.write(str(root / 'source'), num_pairs=10, seed=3)
    builder = tfds.builder('clothing_parsing/32x32', data_dir=str(root / 'data'))
    given = tfds.download.DownloadConfig(manual_dir=str(root / 'source'), try_download_gcs=False)
    builder.download_and_prepare(download_dir=str(root / 'downloads'), download_config=given)
    return str(builder.data_dir)


def _command(command, *arguments):
    return [sys.executable, '-m', f'trainer.{command}', *map(str, arguments)]


def _call(command, *arguments):
    done = subprocess.run(_command(command, *arguments), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done


def _weights(run):
    return trained.load(str(run), 'latest')[0].get_weights()


def _kill_after_a_checkpoint(command, run):
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while not config.saved_steps(str(run / config.LATEST_DIR)):
            assert process.poll() is None
            time.sleep(0.002)
        process.kill()
    assert process.returncode == -signal.SIGKILL


@pytest.mark.slow
@pytest.mark.parametrize('cache_budget_mb', [0, 64])
def test_a_killed_run_ends_with_the_weights_of_one_that_was_not(tmp_path, pets, cache_budget_mb):
    options = (*_SMALL, *_PET, '--epochs=2', '--steps_per_epoch=15', f'--cache_budget_mb={cache_budget_mb}')
    whole = tmp_path / 'whole'
    done = _call('train', f'--data_dir={pets["tfrecord"]}', f'--model_dir={whole}', *options)
    assert [line.partition(':')[0] for line in done.stderr.splitlines()] == ['note']
    assert f'note: {pets["tfrecord"]} has no manifest.json' in done.stderr
    assert 'the mask segmentation_mask of 3 classes, --label_offset=-1 --image_size=32,32' in done.stderr
    for file_format, data_dir in pets.items():
        run = tmp_path / file_format
        command = (f'--data_dir={data_dir}', f'--model_dir={run}', *options, '--checkpoint_every_steps=2')
        _kill_after_a_checkpoint(_command('train', *command), run)
        done = _call('train', *command)
        assert f'resuming {run} after step' in done.stdout
        for expected, found in zip(_weights(whole), _weights(run), strict=True):
            np.testing.assert_array_equal(expected, found)


@pytest.fixture(name='run', scope='module')
def _run(tmp_path_factory, pets):
    run = tmp_path_factory.mktemp('run') / 'run'
    _call('train', f'--data_dir={pets["tfrecord"]}', f'--model_dir={run}', *_SMALL, *_PET, '--epochs=1')
    return run


def test_the_run_knows_how_its_data_are_read(run, pets):
    data = config.read(str(run)).data
    assert (data.image_feature, data.mask_feature, data.label_offset) == ('image', 'segmentation_mask', -1)
    assert (data.image_size, data.label_map.names) == ((32, 32), ('class_0', 'class_1', 'class_2'))
    assert data == config.open_source(pets['tfrecord'], _OPTIONS).data
    assert data.fingerprint != config.open_source(pets['array_record'], _OPTIONS).data.fingerprint
    # Masks that are given as files are read like those of the data set: 1, 2, 3 are the classes.
    table = data.mask_reader.remapping.lookup(256)
    assert table[[0, 1, 2, 3, 255]].tolist() == [255, 0, 1, 2, 255]


@pytest.mark.parametrize('file_format', ['tfrecord', 'array_record'])
def test_evaluate_needs_the_run_alone(run, pets, file_format):
    result = jobs.evaluate(str(run), pets[file_format])
    with open(run / 'evaluation' / 'test.json', encoding='utf-8') as file:
        content = json.load(file)
    assert (content['split'], content['examples']) == ('test', fake_tfds.SPLITS['test'])
    split = config.open_source(pets['tfrecord'], _OPTIONS).split('test')
    model, _ = trained.load(str(run))
    images, masks = (tensor.numpy() for tensor in decoding.load_split(split))
    predicted = model.predict(images, verbose=0).argmax(axis=-1)
    assert result.metrics.pixel_accuracy == pytest.approx((predicted == masks[..., 0]).mean(), abs=1e-9)


def test_another_data_set_or_other_options_are_another_run(run, pets):
    recipe = config.read(str(run)).recipe
    for data_dir, options, message in (
        (pets['array_record'], _OPTIONS, 'data fingerprint is'),
        (
            pets['tfrecord'],
            config.DataOptions((32, 32), label_offset=0, num_classes=4),
            'data label_offset is -1 there and 0',
        ),
        (pets['tfrecord'], config.DataOptions((64, 32), label_offset=-1, num_classes=3), 'data image_size is'),
    ):
        with pytest.raises(errors.UserError, match=f'{run} holds a run of another recipe: .*{message}'):
            jobs.train(data_dir, str(run), recipe, data_options=options)


def test_predict_takes_the_photos_of_a_split_by_their_names(run, pets, tmp_path):
    (tmp_path / 'photos').mkdir()
    (tmp_path / 'masks').mkdir()
    for split, number in (('train', 0), ('test', 0), ('test', 1)):
        photo, mask = fake_tfds.pair(split, number)
        cv2.imwrite(str(tmp_path / 'photos' / f'{split}_{number}.jpg'), photo[..., ::-1])
        cv2.imwrite(str(tmp_path / 'masks' / f'{split}_{number}.png'), mask)
    given = (f'--images={tmp_path}/photos', f'--masks={tmp_path}/masks', f'--output_dir={tmp_path}/out')
    done = _call('predict', f'--model_dir={run}', f'--data_dir={pets["tfrecord"]}', *given)
    assert done.stdout.startswith('2 images')
    assert sorted(os.listdir(tmp_path / 'out' / 'masks')) == ['test_0.png', 'test_1.png']


def test_show_augmentation_shows_such_pairs(pets, tmp_path):
    done = _call('show_augmentation', f'--data_dir={pets["array_record"]}', f'--output_dir={tmp_path}', *_PET[:3])
    assert 'note: ' in done.stderr
    page = (tmp_path / 'augmentation.html').read_text()
    assert page.count('<figure>') == 8
    assert 'class_2' in page


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ((), 'the images are of several sizes: give the one to resize them to, as --image_size=128,128'),
        (('--image_size=32,32',), 'feature segmentation_mask does not name its classes: give their number as --num_cl'),
        (('--image_size=32',), '--image_size=32: wanted HEIGHT,WIDTH'),
        (('--image_size=40,32', '--num_classes=4'), 'the images are 40x32 pixels, but encoder tiny'),
        (('--mask_feature=label',), '--mask_feature=label is ClassLabel: wanted a LabeledImage'),
        (
            ('--image_size=32,32', '--num_classes=4', '--validation_split=dev'),
            '--validation_split=dev: no such split; there is train, test',
        ),
        (('--image_size=32,32', '--num_classes=4', '--class_weights=median'), 'use --class_weights=none'),
        (('--image_size=32,32', '--num_classes=4', '--early_stopping_epochs=1'), 'as --validation_split: train, test'),
        (('--num_classes=256',), '--num_classes=256: wanted a number from 1 to 255'),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(pets, tmp_path, arguments, message):
    command = (f'--data_dir={pets["tfrecord"]}', f'--model_dir={tmp_path}/run', *_SMALL, *arguments)
    done = subprocess.run(_command('train', *command), capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert message in done.stderr
    assert not (tmp_path / 'run').exists()


def test_masks_that_begin_at_1_are_not_trained_as_if_they_began_at_0(pets, tmp_path):
    command = (f'--data_dir={pets["tfrecord"]}', f'--model_dir={tmp_path}/run', *_SMALL, *_PET, '--label_offset=0')
    done = subprocess.run(_command('train', *command), capture_output=True, text=True, check=False)
    assert done.returncode == 2
    said = done.stderr.splitlines()
    assert [line.partition(':')[0] for line in said] == ['note', 'error']
    assert 'record 0 at byte 0 (train_' in said[1]
    assert 'segmentation_mask holds 3, which with --label_offset=0 is class 3 of 3' in said[1]
    assert not config.has_checkpoint(str(tmp_path / 'run'))


def test_a_directory_of_data_sets_names_them(pets):
    above = os.path.dirname(pets['tfrecord'])
    with pytest.raises(
        errors.UserError, match=f'^--data_dir={above}: no data set, .* of a version: {pets["tfrecord"]}$'
    ):
        config.open_source(above)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (config.DataOptions(label_offset=0), '^--label_offset=0 is for TFDS data sets without manifest.json'),
        (config.DataOptions(num_classes=4), '^--num_classes=4 is for TFDS'),
        (config.DataOptions(image_feature='image'), '^--image_feature=image is for TFDS'),
        (config.DataOptions(mask_feature='mask'), '^--mask_feature=mask is for TFDS'),
        (
            config.DataOptions((64, 32)),
            '^--image_size=64,32: .* holds images of 32,32 pixels; prepare the data set again',
        ),
    ],
)
def test_a_manifest_tells_itself_what_the_options_are_for(tmp_path, options, message):
    data_dir = fake_data.make_dataset(tmp_path, num_pairs=5)
    with pytest.raises(errors.UserError, match=message):
        config.open_source(data_dir, options)
    assert config.open_source(data_dir, config.DataOptions((32, 32))).note is None


def test_a_run_completes_what_the_data_set_given_to_evaluate_does_not_tell(pets, tmp_path):
    prepared = config.open_source(fake_data.make_dataset(tmp_path, num_pairs=5, num_classes=3)).data
    found = config.open_source(pets['tfrecord'], config.DataOptions(label_offset=-1), prepared).data
    assert (found.image_size, found.label_map, found.label_offset) == ((32, 32), prepared.label_map, -1)
    of_pets = config.open_source(pets['tfrecord'], _OPTIONS).data
    assert config.open_source(pets['tfrecord'], None, of_pets).data.label_offset == -1
    again = config.open_source(pets['tfrecord'], config.DataOptions(label_offset=0, num_classes=4), of_pets).data
    assert (again.label_offset, again.label_map.num_classes) == (0, 4)


def test_where_a_format_cannot_be_read_one_line_says_so(pets, tmp_path, monkeypatch):
    prepared = fake_data.make_dataset(tmp_path, num_pairs=5, file_format='array_record')
    assert config.open_source(prepared).data.image_size == (32, 32)
    monkeypatch.setattr('importlib.util.find_spec', lambda name: None)
    for data_dir in (prepared, pets['array_record']):
        with pytest.raises(errors.UserError, match=r'^reading array_record files needs the package array_record'):
            config.open_source(data_dir, config.DataOptions((32, 32)))


def test_where_validation_is_missing_the_note_says_so(pets):
    source = config.open_source(pets['tfrecord'], config.DataOptions((32, 32), num_classes=4))
    assert source.validation_split() is None
    assert 'validation' not in source.note  # evaluate and show_augmentation have no such flag
    more = '; no split validation: give one of train, test as --validation_split to validate on it'
    assert source.note_of_training == source.note + more
    given = config.open_source(pets['tfrecord'], _OPTIONS)
    assert given.validation_split().name == 'test'
    assert given.note_of_training == given.note


def test_what_our_own_builder_made_is_trained_on(built, tmp_path):
    assert not os.path.exists(os.path.join(built, manifest.FILE_NAME))
    run = tmp_path / 'run'
    done = _call('train', f'--data_dir={built}', f'--model_dir={run}', *_SMALL, '--epochs=1', '--steps_per_epoch=2')
    assert f'note: {built} has no manifest.json' in done.stderr
    assert 'best validation mean IoU' in done.stdout
    data = config.read(str(run)).data
    features = tfds.builder_from_directory(built).info.features
    assert data.label_map.names == tuple(features['segmentation_mask'].names)
    assert (data.dataset_name, data.image_size, data.label_offset) == ('clothing_parsing', (32, 32), 0)
    done = _call('evaluate', f'--data_dir={built}', f'--model_dir={run}')
    assert done.stdout.splitlines()[-1] == f'written to {run}/evaluation/validation.json'
    for name in ('train', 'validation'):
        pairs = config.open_source(built).split(name)
        expected = tfds.builder_from_directory(built).as_dataset(split=name, shuffle_files=False)
        images, masks = decoding.load_split(pairs)
        for image, mask, example in zip(images, masks, expected.as_numpy_iterator(), strict=True):
            np.testing.assert_array_equal(image, example['image'])
            np.testing.assert_array_equal(mask, example['segmentation_mask'])
