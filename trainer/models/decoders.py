"""Decoders: from the five feature maps of an encoder to a logit for each pixel and class.

Each is a function of the maps, those of `encoders.build` with the strides 2, 4, 8, 16, 32, the number of classes and
the height and width of the images, and returns float32 logits of that size. The images may be smaller than what the
encoder saw, see `encoders.input_size`.
"""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import keras

_Map: TypeAlias = keras.KerasTensor
Size: TypeAlias = tuple[int, int]  # height, width
Decoder = Callable[[Sequence[_Map], int, Size], _Map]

PIX2PIX_FILTERS = (512, 256, 128, 64)
_UNET_FILTERS = (192, 128, 96, 64)
_UNET_SKIP_FILTERS = (128, 64, 48, 32)
_PYRAMID_FILTERS, _PYRAMID_HEAD_FILTERS = 256, 128
_ASPP_FILTERS, _LOW_LEVEL_FILTERS = 256, 48
# DeepLab's are (6, 12, 18) at the stride 16, which it reaches by dilating the encoder. At the stride 32, half of them
# see as far.
_ASPP_RATES = (3, 6, 9)


def pix2pix(maps: Sequence[_Map], num_classes: int, size: Size) -> _Map:
    """The article's: transposed convolutions, each followed by the encoder's map of its size.

    The upsampling block, its initialization included, is that of pix2pix (Isola et al., arXiv:1611.07004). A kernel of
    3 with stride 2 covers some pixels more often than others, which shows as a checkerboard.
    """
    *skips, x = maps
    for filters, skip in zip(PIX2PIX_FILTERS, reversed(skips), strict=True):
        x = keras.layers.Conv2DTranspose(
            filters,
            3,
            strides=2,
            padding='same',
            use_bias=False,
            kernel_initializer=keras.initializers.RandomNormal(stddev=0.02),
            name=f'upsample_{filters}',
        )(x)
        x = _normalize(x, f'upsample_{filters}')
        x = keras.layers.Concatenate(name=f'concatenate_{filters}')([x, skip])
    # float32 whatever the precision: a bfloat16 has 8 significant bits, to which 20.00 and 20.05 are one number.
    x = keras.layers.Conv2DTranspose(num_classes, 3, strides=2, padding='same', dtype='float32', name='logits')(x)
    return x if tuple(x.shape[1:3]) == size else resize(x, size)


def unet(maps: Sequence[_Map], num_classes: int, size: Size) -> _Map:
    """The U-Net of Ronneberger, Fischer and Brox (arXiv:1505.04597) with bilinear upsampling.

    At each stride from 16 to 2 the coarser map is enlarged, joined with that of the encoder and convolved twice. What
    joins is made thin first: nearly all multiplications of a U-Net are in its finest stages, and there encoders are
    wide. The logits are those of half the images' size, enlarged: no encoder has a map of full size that could refine
    them. Where the encoder saw the images enlarged, half their size is reached earlier.
    """
    *skips, x = maps
    for filters, thin, skip in zip(_UNET_FILTERS, _UNET_SKIP_FILTERS, reversed(skips), strict=True):
        of_encoder = _convolve(skip, thin, 1, f'decoder_{filters}_skip')
        x = keras.layers.Concatenate(name=f'decoder_{filters}_concatenate')([_enlarge(x, 2), of_encoder])
        x = _convolve(x, filters, 3, f'decoder_{filters}_1')
        x = _convolve(x, filters, 3, f'decoder_{filters}_2')
        if 2 * x.shape[1] >= size[0] and 2 * x.shape[2] >= size[1]:
            break
    return resize(_logits(x, num_classes), size)


def fpn(maps: Sequence[_Map], num_classes: int, size: Size) -> _Map:
    """The semantic branch of a feature pyramid (Kirillov et al., arXiv:1901.02446), with batch normalization.

    Top-down sums make maps of equal depth at the strides 32 to 4; each is brought to the stride 4 by convolutions and
    bilinear upsampling, and their sum gives the logits.
    """
    top, pyramid = None, []
    for stride, found in zip((32, 16, 8, 4), reversed(maps[1:]), strict=True):
        lateral = keras.layers.Conv2D(_PYRAMID_FILTERS, 1, name=f'pyramid_{stride}_lateral')(found)
        if top is not None:
            top = keras.layers.UpSampling2D(2, interpolation='nearest', name=f'pyramid_{stride}_top')(top)
            lateral = keras.layers.Add(name=f'pyramid_{stride}_add')([lateral, top])
        top = lateral
        output = keras.layers.Conv2D(_PYRAMID_FILTERS, 3, padding='same', name=f'pyramid_{stride}')(lateral)
        pyramid.append(_bring_to_stride_4(output, stride))
    x = keras.layers.Add(name='pyramid_sum')(pyramid)
    return resize(_logits(x, num_classes), size)


def _bring_to_stride_4(x: _Map, stride: int) -> _Map:
    name = f'head_{stride}'
    if stride == 4:
        return _convolve(x, _PYRAMID_HEAD_FILTERS, 3, name)
    while stride > 4:
        x = _enlarge(_convolve(x, _PYRAMID_HEAD_FILTERS, 3, f'{name}_at_{stride}'), 2)
        stride //= 2
    return x


def deeplabv3plus(maps: Sequence[_Map], num_classes: int, size: Size) -> _Map:
    """DeepLabv3+ (Chen et al., arXiv:1802.02611): dilated convolutions of several rates, and the map of stride 4.

    The dilated part takes the map of stride 32, so that it goes with every encoder. It has no dropout.
    """
    low_level, x = maps[1], maps[-1]
    height, width = x.shape[1:3]
    branches = [_convolve(x, _ASPP_FILTERS, 1, 'aspp_1')]
    branches += [_convolve_separably(x, _ASPP_FILTERS, f'aspp_rate_{rate}', rate) for rate in _ASPP_RATES]
    pooled = keras.layers.GlobalAveragePooling2D(keepdims=True, name='aspp_pool')(x)
    pooled = _convolve(pooled, _ASPP_FILTERS, 1, 'aspp_pooled')
    branches.append(keras.layers.UpSampling2D((height, width), interpolation='nearest', name='aspp_spread')(pooled))
    x = _convolve(keras.layers.Concatenate(name='aspp_concatenate')(branches), _ASPP_FILTERS, 1, 'aspp')
    low_level = _convolve(low_level, _LOW_LEVEL_FILTERS, 1, 'low_level')
    x = keras.layers.Concatenate(name='concatenate')([_enlarge(x, 8), low_level])
    x = _convolve_separably(x, _ASPP_FILTERS, 'decoder_1')
    x = _convolve_separably(x, _ASPP_FILTERS, 'decoder_2')
    return resize(_logits(x, num_classes), size)


def _convolve(x: _Map, filters: int, kernel: int, name: str) -> _Map:
    x = keras.layers.Conv2D(filters, kernel, padding='same', use_bias=False, name=name)(x)
    return _normalize(x, name)


def _convolve_separably(x: _Map, filters: int, name: str, rate: int = 1) -> _Map:
    x = keras.layers.SeparableConv2D(filters, 3, padding='same', dilation_rate=rate, use_bias=False, name=name)(x)
    return _normalize(x, name)


def _normalize(x: _Map, name: str) -> _Map:
    x = keras.layers.BatchNormalization(name=f'{name}_norm')(x)
    return keras.layers.ReLU(name=f'{name}_relu')(x)


def _enlarge(x: _Map, times: int) -> _Map:
    return keras.layers.UpSampling2D(times, interpolation='bilinear')(x)


def resize(x: _Map, size: Size) -> _Map:
    """Resizes float images or logits bilinearly."""
    # No layer: that of Keras, Resizing, makes all layers behind it behave as in training where a model is called
    # without saying whether it is.
    return keras.ops.image.resize(x, size, interpolation='bilinear')


def _logits(x: _Map, num_classes: int) -> _Map:
    return keras.layers.Conv2D(num_classes, 1, dtype='float32', name='logits')(x)  # float32: see `pix2pix`


DECODERS: dict[str, Decoder] = {
    'pix2pix': pix2pix,
    'unet': unet,
    'fpn': fpn,
    'deeplabv3plus': deeplabv3plus,
}
