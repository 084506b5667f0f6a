"""Every decoder's graph, on the tiny encoder; `segmenter_test` has every pair of encoder and decoder."""

import keras
import numpy as np
import pytest

from trainer import config
from trainer.models import decoders, segmenter

BILINEAR = [name for name in decoders.DECODERS if name != 'pix2pix']


def test_the_recipe_knows_every_decoder():
    assert tuple(decoders.DECODERS) == config.DECODERS
    assert config.Recipe().decoder == 'pix2pix'


def _maps(side, channels=(4, 6, 8, 10, 12)):
    return [
        keras.Input((side // stride, side // stride, depth))
        for stride, depth in zip((2, 4, 8, 16, 32), channels, strict=True)
    ]


@pytest.mark.parametrize('name', BILINEAR)
def test_no_checkerboard(name):
    """Where every map is constant, so are the logits, borders aside: no pixel depends on its place in a grid of 2."""
    side = 1024 if name == 'deeplabv3plus' else 256  # its largest rate reaches 9 cells of stride 32
    maps = _maps(side)
    model = keras.Model(maps, decoders.DECODERS[name](maps, 3, (side, side)))
    logits = model([np.ones((1, *x.shape[1:]), np.float32) for x in maps])
    inner = np.asarray(logits)[0, side // 2 - 8 : side // 2 + 8, side // 2 - 8 : side // 2 + 8]
    assert np.abs(inner - inner[0, 0]).max() < 1e-4 * np.abs(inner).max()


def test_pix2pix_has_one():
    """That the test above can fail."""
    maps = _maps(64)
    model = keras.Model(maps, decoders.pix2pix(maps, 3, (64, 64)))
    logits = np.asarray(model([np.ones((1, *x.shape[1:]), np.float32) for x in maps]))[0, 30:34, 30:34]
    assert np.abs(logits[0, 0] - logits[0, 1]).max() > 1e-3 * np.abs(logits).max()


def _layer_shapes(network, kind):
    return [tuple(layer.output.shape[1:]) for layer in network.layers if isinstance(layer, kind)]


def test_unet_enlarges_joins_and_convolves_twice():
    network = segmenter.build('tiny', (64, 96), 7, decoder='unet')
    joined = _layer_shapes(network, keras.layers.Concatenate)
    assert joined == [(4, 6, 48 + 128), (8, 12, 192 + 64), (16, 24, 128 + 48), (32, 48, 96 + 32)]
    convolutions = [layer for layer in network.layers if isinstance(layer, keras.layers.Conv2D)]
    skips = [layer for layer in convolutions if layer.name.endswith('_skip')]
    assert [layer.kernel.shape for layer in skips] == [(1, 1, 32, 128), (1, 1, 24, 64), (1, 1, 16, 48), (1, 1, 8, 32)]
    others = [layer for layer in convolutions if layer not in skips]
    assert [layer.filters for layer in others] == [192, 192, 128, 128, 96, 96, 64, 64, 7]
    assert [layer.kernel_size for layer in others] == [(3, 3)] * 8 + [(1, 1)]
    assert [tuple(layer.output.shape[1:3]) for layer in others[-2:]] == [(32, 48), (32, 48)]
    enlarging = [layer for layer in network.layers if isinstance(layer, keras.layers.UpSampling2D)]
    assert [layer.interpolation for layer in enlarging] == ['bilinear'] * 4
    assert network.output.shape == (None, 64, 96, 7)
    assert len(_layer_shapes(network, keras.layers.BatchNormalization)) == 12


@pytest.mark.parametrize(('scale', 'stages'), [(1.0, 4), (1.5, 4), (2.0, 3), (4.0, 2), (0.5, 4)])
def test_unet_ends_at_half_the_images_size(scale, stages):
    network = segmenter.build('tiny', (64, 64), 7, decoder='unet', input_scale=scale)
    assert len(_layer_shapes(network, keras.layers.Concatenate)) == stages
    finest = network.get_layer('logits').output.shape[1]
    assert finest >= 32 or finest == 64 * scale / 2
    assert network.output.shape == (None, 64, 64, 7)


def test_fpn_sums_four_levels_at_stride_4():
    network = segmenter.build('tiny', (64, 96), 7, decoder='fpn')
    assert _layer_shapes(network, keras.layers.Add)[-1] == (16, 24, 128)
    assert len(network.get_layer('pyramid_sum').input) == 4
    laterals = [layer for layer in network.layers if layer.name.endswith('lateral')]
    assert [layer.kernel.shape for layer in laterals] == [(1, 1, depth, 256) for depth in (48, 32, 24, 16)]


def test_deeplab_dilates_and_sees_the_whole_image():
    network = segmenter.build('tiny', (64, 96), 7, decoder='deeplabv3plus')
    separable = [layer for layer in network.layers if isinstance(layer, keras.layers.SeparableConv2D)]
    assert [layer.dilation_rate[0] for layer in separable] == [3, 6, 9, 1, 1]
    assert network.get_layer('aspp_concatenate').output.shape[1:] == (2, 3, 5 * 256)
    assert network.get_layer('concatenate').output.shape[1:] == (16, 24, 256 + 48)


@pytest.mark.parametrize('name', decoders.DECODERS)
def test_no_bias_is_before_a_normalization(name):
    network = segmenter.build('tiny', (64, 64), 3, decoder=name)
    norms = [layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert norms
    for norm in norms:
        assert not network.get_layer(norm.name.removesuffix('_norm')).use_bias
