"""Predictions of a tiny network: what is written, and that it is what the network answers."""

import dataclasses
import os
import subprocess
import sys

import cv2
import numpy as np
import pytest
import tensorflow as tf

from seg_pipeline.imaging import images, resizing, visualization
from tests.trainer import fake_run
from trainer.inference import photos, pictures, predictor
from trainer.models import trained

SIZES = ((40, 60), (61, 33), (32, 32), (20, 90), (50, 50))  # more than a panel of four holds


@pytest.fixture(name='model_dir', scope='module')
def _model_dir(tmp_path_factory):
    path = str(tmp_path_factory.mktemp('run'))
    fake_run.make(path)
    return path


@pytest.fixture(name='image_dir')
def _image_dir(tmp_path):
    """Images of many sizes, the last in a subdirectory."""
    for number, size in enumerate(SIZES):
        name = f'img_{number}.png' if number < 4 else f'sub/img_{number}.png'
        write(tmp_path / 'images' / name, fake_run.image(*size, seed=number))
    return tmp_path / 'images'


def write(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(images.encode_png(array))


def predict(model_dir, image_dir, output_dir, masks=None, batch_size=2):
    model, run = trained.load(model_dir)
    found = photos.find(str(image_dir), masks)
    return pictures.predict(found, predictor.Predictor(model), run, str(output_dir), batch_size)


def files(directory):
    return sorted(str(path.relative_to(directory)) for path in directory.rglob('*') if path.is_file())


def test_every_image_gets_the_prediction_of_the_network_at_its_own_size(tmp_path, model_dir, image_dir):
    assert predict(model_dir, image_dir, tmp_path / 'out') == []

    model, _ = trained.load(model_dir)
    seen = set()
    for file in photos.find(str(image_dir)):
        image = images.read_image(file.path)
        logits = model(resizing.resize_image(image, fake_run.IMAGE_SIZE)[np.newaxis])
        expected = tf.argmax(tf.image.resize(logits, image.shape[:2]), axis=-1)[0].numpy()
        mask = cv2.imread(f'{tmp_path}/out/masks/{file.name}.png', cv2.IMREAD_UNCHANGED)
        overlay = images.read_image(f'{tmp_path}/out/overlays/{file.name}.png')
        assert mask.dtype == np.uint8
        np.testing.assert_array_equal(mask, expected)
        np.testing.assert_array_equal(overlay, visualization.overlay(image, mask, fake_run.LABELS))
        seen |= set(mask.flat)
    assert len(seen) > 1  # it is no constant answer


@pytest.mark.parametrize('mode', ['letterbox', 'crop'])
def test_images_are_resized_as_the_data_were_and_the_answer_is_put_back(tmp_path, model_dir, image_dir, mode):
    model, run = trained.load(model_dir)
    run = dataclasses.replace(run, data=dataclasses.replace(run.data, resize=mode))
    found = photos.find(str(image_dir))
    assert pictures.predict(found, predictor.Predictor(model), run, str(tmp_path), 2) == []
    for file in found:
        image = images.read_image(file.path)
        mask = cv2.imread(f'{tmp_path}/masks/{file.name}.png', cv2.IMREAD_UNCHANGED)
        height, width = image.shape[:2]
        side, longest = min(height, width), max(height, width)
        if mode == 'crop':  # fake_run.IMAGE_SIZE is a square
            top, left = (height - side) // 2, (width - side) // 2
            seen = np.s_[top : top + side, left : left + side]
            logits = model(cv2.resize(image[seen], (32, 32), interpolation=_interpolation(side))[np.newaxis])
            visible = tf.image.resize(logits, (side, side))
        else:
            seen = np.s_[:, :]
            small = round(32 * height / longest), round(32 * width / longest)
            top, left = (32 - small[0]) // 2, (32 - small[1]) // 2
            boxed = np.zeros((32, 32, 3), np.uint8)
            part = np.s_[top : top + small[0], left : left + small[1]]
            boxed[part] = cv2.resize(image, small[::-1], interpolation=_interpolation(longest))
            visible = tf.image.resize(model(boxed[np.newaxis])[(slice(None), *part)], (height, width))
        expected = np.full((height, width), 255, np.uint8)
        expected[seen] = tf.argmax(visible, axis=-1)[0]
        np.testing.assert_array_equal(mask, expected)


def _interpolation(side):
    return cv2.INTER_AREA if side >= 32 else cv2.INTER_LINEAR


def test_the_files_are_named_after_the_images(tmp_path, model_dir, image_dir):
    predict(model_dir, image_dir, tmp_path / 'out')

    names = ['img_0.png', 'img_1.png', 'img_2.png', 'img_3.png', 'sub/img_4.png']
    pictures = [f'{folder}/{name}' for folder in ('masks', 'overlays') for name in names]
    assert files(tmp_path / 'out') == [*pictures[:5], *pictures[5:], 'panels/0001.png', 'panels/0002.png']


def test_the_batch_size_changes_no_answer(tmp_path, model_dir, image_dir):
    for batch_size in (1, 16):
        predict(model_dir, image_dir, tmp_path / str(batch_size), batch_size=batch_size)

    for name in files(tmp_path / '1'):
        assert (tmp_path / '1' / name).read_bytes() == (tmp_path / '16' / name).read_bytes()


def test_panels_have_a_column_for_ground_truths(tmp_path, model_dir, image_dir):
    truth = np.full(SIZES[0], 3, np.uint8)
    write(tmp_path / 'truths' / 'img_0.png', truth)
    predict(model_dir, image_dir, tmp_path / 'with', masks=str(tmp_path / 'truths'))
    predict(model_dir, image_dir, tmp_path / 'without')

    with_truth, without = (images.read_image(f'{tmp_path}/{name}/panels/0001.png') for name in ('with', 'without'))
    assert with_truth.shape[1] > without.shape[1]
    assert (with_truth == fake_run.LABELS.colors[3]).all(axis=-1).sum() > 360 * 240  # that truth is all of class 3


def test_what_cannot_be_read_is_left_out_and_named(tmp_path, model_dir, image_dir):
    (image_dir / 'img_1.png').write_bytes(b'no image')
    write(tmp_path / 'truths' / 'img_0.png', np.zeros((3, 4), np.uint8))  # another size
    write(tmp_path / 'truths' / 'img_2.png', np.full(SIZES[2], 77, np.uint8))  # no such class
    failures = predict(model_dir, image_dir, tmp_path / 'out', masks=str(tmp_path / 'truths'))

    assert len(failures) == 3
    assert 'img_0.png is 3x4, its image' in failures[0]
    assert 'img_1.png' in failures[1]
    assert 'id 77' in failures[2]
    assert files(tmp_path / 'out' / 'masks') == ['img_3.png', 'sub/img_4.png']


_PEAK = """
import sys
from trainer import tensorflow_setup
tensorflow_setup.load_tensorflow()
import tensorflow as tf
from trainer.inference import photos, pictures, predictor
from trainer.models import trained
def peak():
    with open('/proc/self/status') as status:
        return next(int(line.split()[1]) for line in status if line.startswith('VmHWM')) * 1024
model, run = trained.load(sys.argv[1])
made = predictor.Predictor(model)
pictures._MOST_PIXELS = 8_000_000
pictures.predict(photos.find(sys.argv[2] + '/small'), made, run, sys.argv[3], 16)
before = peak()
tf.function(predictor.ids_at_size)(tf.zeros((1, 8, 8, 40)), tf.constant((2000, 2000)))
of_ids = peak() - before
assert pictures.predict(photos.find(sys.argv[2] + '/large'), made, run, sys.argv[3], 16) == []
print(of_ids / 2000**2, (peak() - before) / (2500 * 3000))
"""


def test_large_photos_take_only_so_much_memory(tmp_path, model_dir):
    write(tmp_path / 'small' / 'a.png', fake_run.image(50, 50))
    for i in range(3):
        write(tmp_path / 'large' / f'{i}.png', fake_run.image(2500, 3000, seed=i))
    command = [sys.executable, '-c', _PEAK, model_dir, str(tmp_path), str(tmp_path / 'out')]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    of_ids, of_photos = map(float, done.stdout.split())  # in bytes for each pixel of one photo
    assert of_ids < 30
    assert of_photos < 45  # 4 of which are the photo and its mask


def test_what_killed_commands_have_left_goes_and_nothing_else(tmp_path, model_dir, image_dir):
    abandoned = f'img_4.png.{"0" * 32}.tmp'
    for name in (f'masks/sub/{abandoned}', f'overlays/{abandoned}', f'panels/{abandoned}', 'masks/mine.tmp', abandoned):
        write(tmp_path / 'out' / name, np.zeros((2, 2), np.uint8))
        os.utime(tmp_path / 'out' / name, (0, 0))
    predict(model_dir, image_dir, tmp_path / 'out')

    assert [name for name in files(tmp_path / 'out') if name.endswith('.tmp')] == [abandoned, 'masks/mine.tmp']


def run_command(*arguments):
    command = [sys.executable, '-m', 'trainer.predict', *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_command(tmp_path, model_dir, image_dir):
    (image_dir / 'img_1.png').write_bytes(b'no image')
    done = run_command(f'--model_dir={model_dir}', f'--images={image_dir}/*.png', f'--output_dir={tmp_path}/out')

    assert f'3 images: ids in {tmp_path}/out/masks' in done.stdout
    assert done.stderr.splitlines()[-1].startswith('error: 1 of 4 images was left out: ')
    assert done.returncode == 2


@pytest.mark.parametrize('mistake', ['no run', 'no match', 'no directory'])
def test_a_users_mistake_is_one_line(tmp_path, model_dir, image_dir, mistake):
    run = tmp_path / 'nowhere' if mistake == 'no run' else model_dir
    pattern = {'no run': '', 'no match': '/*.gif', 'no directory': '/none'}[mistake]
    done = run_command(f'--model_dir={run}', f'--images={image_dir}{pattern}', f'--output_dir={tmp_path}/out')

    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, '', 1)
    assert ('is no run of trainer.train' if mistake == 'no run' else 'matches no image') in done.stderr
    assert not os.path.exists(tmp_path / 'out')
