"""Every encoder's graph: shapes, preprocessing, alignment. Nothing is trained or downloaded."""

import dataclasses
import pathlib

import keras
import numpy as np
import pytest

from seg_pipeline import errors
from trainer.models import encoders

SMALL = ['tiny', 'tiny_bn']
PUBLISHED = [name for name, spec in encoders.ENCODERS.items() if isinstance(spec.network, str)]  # by Keras
PADDED = [name for name, spec in encoders.ENCODERS.items() if any(spec.padding)]


@pytest.mark.parametrize('name', encoders.ENCODERS)
def test_skips_have_the_strides_at_the_smallest_and_at_an_odd_size(name):
    for height, width in ((32, 32), (96, 160)):
        encoder = encoders.build(name, (height, width))
        sizes = [tuple(skip.shape[1:3]) for skip in encoder.outputs]
        assert sizes == [(height // stride, width // stride) for stride in encoders.STRIDES]


@pytest.mark.parametrize('name', encoders.ENCODERS)
def test_maps_grow_with_the_image_by_their_strides(name):
    """Before any cropping, which hides a wrong stride: 64 more pixels are 64 / stride more cells."""
    spec = encoders.ENCODERS[name]
    sizes = []
    for side in (128 + sum(spec.padding), 192 + sum(spec.padding)):
        network = encoders._make_network(spec, (side, side, 3))
        sizes.append([encoders._output(network, skip).shape[1] for skip in spec.skips])
    grown = [large - small for small, large in zip(*sizes, strict=True)]
    assert grown == [64 // stride for stride in encoders.STRIDES]


@pytest.mark.parametrize(
    'skips', [('relu1', 'relu1', 'relu2', 'relu3', 'relu4'), ('relu1', 'relu2', 'relu3', 'relu4', 'pad')]
)
def test_a_row_with_a_wrong_layer_is_refused(monkeypatch, skips):
    def padded(input_shape, **_):
        network = encoders._tiny(input_shape)
        return keras.Model(network.input, keras.layers.ZeroPadding2D(1, name='pad')(network.output))

    wrong = dataclasses.replace(encoders.ENCODERS['tiny'], network=padded, skips=skips)
    monkeypatch.setitem(encoders.ENCODERS, 'wrong', wrong)
    with pytest.raises(ValueError, match=r'encoder wrong: layer .* not stride'):
        encoders.build('wrong', (64, 64))


@pytest.mark.parametrize('name', PUBLISHED)
def test_preprocessing_is_that_of_the_network(name):
    spec = encoders.ENCODERS[name]
    preprocess = getattr(keras.applications, spec.preprocessing).preprocess_input
    assert preprocess.__module__ == getattr(keras.applications, spec.network).__module__


def test_readme_names_every_encoder():
    readme = (pathlib.Path(__file__).parents[3] / 'README.md').read_text()
    assert [name for name in encoders.ENCODERS if f'`{name}`' not in readme and f'={name}`' not in readme] == []


@pytest.mark.parametrize('name', PUBLISHED)
def test_table_has_the_files_that_keras_would_fetch(name, monkeypatch):
    spec = encoders.ENCODERS[name]
    asked = {}

    def note(fname, origin, **options):
        asked.update(name=fname, url=origin, checksum=options.get('file_hash'))
        raise InterruptedError

    monkeypatch.setattr('keras.src.utils.file_utils.get_file', note)
    with pytest.raises(InterruptedError):
        getattr(keras.applications, spec.network)(include_top=False, weights='imagenet', input_shape=(224, 224, 3))
    assert encoders.WeightsFile(**asked) == spec.weights


@pytest.mark.parametrize('name', SMALL)
def test_preprocessing_is_inside(name):
    encoder = encoders.build(name, (32, 32))
    images = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3)).astype(np.float32)
    bare = next(layer for layer in encoder.layers if isinstance(layer, keras.Model))
    for given, expected in zip(encoder(images), bare(images / 127.5 - 1), strict=True):
        np.testing.assert_allclose(given, expected, atol=1e-6)


def test_densenet_gets_the_preprocessing_of_its_weights():
    encoder = encoders.build('densenet121', (32, 32))
    images = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3)).astype(np.float32)
    bare = next(layer for layer in encoder.layers if isinstance(layer, keras.Model))
    normalized = (images / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    np.testing.assert_allclose(encoder(images)[0], bare(normalized)[0], atol=1e-4)


@pytest.mark.parametrize('name', PADDED)
def test_padded_encoders_see_every_corner(name):
    """A change in a corner of the image changes the corner cell of every map, and nothing far from it at stride 2."""
    encoder = encoders.build(name, (64, 64))
    gray = np.full((1, 64, 64, 3), 127.5, np.float32)
    plain = encoder(gray)
    for row, column in ((0, 0), (0, -1), (-1, 0), (-1, -1)):
        marked = gray.copy()
        rows, columns = (slice(0, 4) if end == 0 else slice(-4, None) for end in (row, column))
        marked[0, rows, columns] = 255
        change = [np.abs(a - b).max(axis=(0, 3)) for a, b in zip(encoder(marked), plain, strict=True)]
        assert all(each[row, column] > 0 for each in change)
        assert np.unravel_index(change[0].argmax(), change[0].shape) in _cells_near(row, column, 32)


def _cells_near(row, column, size):
    rows, columns = (range(0, 4) if end == 0 else range(size - 4, size) for end in (row, column))
    return [(i, j) for i in rows for j in columns]


def test_batch_norm_is_found():
    layers = encoders.batch_norm_layers(encoders.build('tiny_bn', (32, 32)))
    assert sorted(layer.name for layer in layers) == [f'norm{i}' for i in range(1, 6)]


def test_unknown_encoder_names_the_known_ones():
    with pytest.raises(errors.UserError, match=r'unknown --encoder=resnet51; known are densenet121, .*tiny_bn'):
        encoders.check('resnet51', (32, 32))


@pytest.mark.parametrize('size', [(33, 32), (32, 48)])
def test_sizes_that_the_stride_does_not_divide_are_refused(size):
    with pytest.raises(errors.UserError, match=f'{size[0]}x{size[1]} pixels.*multiples of 32'):
        encoders.check('densenet121', size)


def test_skips_of_convnext_are_the_ends_of_its_stages():
    """Each is what the next stage takes in; the first is the normalized image."""
    network = encoders._make_network(encoders.ENCODERS['convnext_tiny'], (64, 64, 3))
    features = keras.Model(
        network.input, [encoders._output(network, s) for s in encoders.ENCODERS['convnext_tiny'].skips]
    )
    images = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3)).astype(np.float32)
    first, *sums, last = features(images)
    normalized = (images / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    np.testing.assert_allclose(first, normalized.reshape(1, 32, 2, 32, 2, 3).mean((2, 4)), atol=1e-4)
    for i, found in enumerate(sums):
        rest = keras.Model(
            network.get_layer(f'convnext_tiny_stage_{i + 1}_block_0_depthwise_conv').input, network.output
        )
        np.testing.assert_allclose(
            rest(network.get_layer(f'convnext_tiny_downsampling_block_{i}')(found)), last, atol=1e-4
        )
