"""SIGTERM and SIGINT end the commands that use a model with one line, and leave nothing temporary."""

import signal

import cv2
import pytest

from tests import fake_data
from tests.signalled import WORDS, Ended, Place
from tests.trainer import fake_run

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp('model') / 'run'
    fake_run.make(str(path))
    return path


@pytest.mark.parametrize('number', _SIGNALS)
def test_predict(run, tmp_path, number):
    place = Place(tmp_path)
    (tmp_path / 'photos').mkdir()
    for i in range(400):
        cv2.imwrite(str(tmp_path / 'photos' / f'{i}.png'), fake_run.image(200, 200, i))
    command = (f'--model_dir={run}', f'--images={tmp_path}/photos', f'--output_dir={place.out}', '--batch_size=4')
    ended = place.stop(place.start('trainer.predict', *command), place.appears('out/masks/*.png'), number)
    assert ended == Ended(128 + number, [WORDS[number]])
    for path in place.out.rglob('*.png'):  # each one that is there is complete
        assert cv2.imread(str(path)) is not None


@pytest.mark.parametrize('number', _SIGNALS)
@pytest.mark.parametrize('file_format', ['saved_model', 'litert'])
def test_export(run, tmp_path, file_format, number):
    place = Place(tmp_path)
    command = (f'--model_dir={run}', f'--format={file_format}', f'--output_dir={place.out}')
    ended = place.stop(place.start('trainer.export', *command), place.appears('out*'), number)
    if file_format == 'litert' and ended.code == 0:  # its converter drops what Python raises while C++ has called it
        assert sorted(path.name for path in place.out.iterdir()) == ['label_map.json', 'model.tflite']
        return
    assert (ended.code, ended.said[-1]) == (128 + number, WORDS[number])
    assert file_format == 'litert' or len(ended.said) == 1
    assert not place.out.exists()


@pytest.fixture(scope='module')
def dataset_dir(tmp_path_factory):
    """With a shard so large that it is open for a while."""
    return fake_data.make_dataset(tmp_path_factory.mktemp('data'), num_pairs=30, image_size=(512, 512))


def _evaluate(out, dataset_dir):
    fake_run.make(str(out / 'run'), dataset_dir)
    return 'trainer.evaluate', f'--model_dir={out}/run', f'--data_dir={dataset_dir}', '--split=train', '--batch_size=1'


def _show(out, dataset_dir):
    return 'trainer.show_augmentation', f'--output_dir={out}/page', f'--data_dir={dataset_dir}', '--pairs=16'


@pytest.mark.parametrize('number', _SIGNALS)
@pytest.mark.parametrize(
    ('command', 'made'), [(_evaluate, 'run/evaluation/*'), (_show, 'page/*')], ids=['evaluate', 'show_augmentation']
)
def test_commands_that_read_a_data_set(dataset_dir, tmp_path, command, made, number):
    place = Place(tmp_path)
    process = place.start(*command(place.out, dataset_dir))
    ended = place.stop(process, place.opens(process, '-train.tfrecord-'), number)
    assert ended == Ended(128 + number, [WORDS[number]])
    assert list(place.out.glob(made)) == []  # all of it, or nothing
