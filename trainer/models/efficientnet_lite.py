"""EfficientNet-Lite0: the EfficientNet-B0 of Tan and Le (arXiv:1905.11946) without squeeze-and-excitation, with ReLU6.

Its ImageNet weights, trained with the TPU repository's `efficientnet/lite`, can be had as a package with a file of
torch's, whose names `load` translates. It has no stochastic depth: what that draws would differ between replicas.
"""

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from seg_pipeline import errors
from seg_pipeline.plurals import counted
from trainer.models import torch_file

if TYPE_CHECKING:
    import keras


@dataclasses.dataclass(frozen=True)
class _Stage:
    """Inverted residual blocks of one resolution; the first has the stride."""

    repeats: int
    kernel: int
    stride: int
    expansion: int
    filters: int


_STAGES = (
    _Stage(1, 3, 1, 1, 16),
    _Stage(2, 3, 2, 6, 24),
    _Stage(2, 5, 2, 6, 40),
    _Stage(3, 3, 2, 6, 80),
    _Stage(3, 5, 1, 6, 112),
    _Stage(4, 5, 2, 6, 192),
    _Stage(1, 3, 1, 6, 320),
)
_STEM_FILTERS, _HEAD_FILTERS = 32, 1280
_EPSILON = 1e-3  # of batch normalization

# The expanded activations before each depthwise convolution of stride 2 (96, 144, 240 and 672 channels), and the head.
SKIPS = ('block1_expand_relu', 'block3_expand_relu', 'block5_expand_relu', 'block11_expand_relu', 'head_relu')
# The layers as the file of torch's names them: a convolution, and the normalization behind it.
_TORCH_NAMES = {
    'stem': ('_conv_stem', '_bn0'),
    'expand': ('_expand_conv', '_bn0'),
    'depthwise': ('_depthwise_conv', '_bn1'),
    'project': ('_project_conv', '_bn2'),
    'head': ('_conv_head', '_bn1'),
}
_TORCH_NORM = ('weight', 'bias', 'running_mean', 'running_var')  # in the order of Keras
# What the file holds beside the network: the classifier, and counters that only torch's training uses.
_UNUSED = ('_fc.weight', '_fc.bias', '.num_batches_tracked')


def preprocess(images: Any) -> Any:
    """Scales images with values 0..255 as the network was trained with: to -127 / 128..1."""
    return (images - 127.0) / 128.0


def build(input_shape: tuple[int, int, int], **_: object) -> 'keras.Model':
    """Builds the network with fresh weights, called as functions of keras.applications are.

    Args:
        input_shape: (height, width, 3).

    Returns:
        A model from preprocessed images (batch, height, width, 3) to the head's feature map
        (batch, height / 32, width / 32, 1280).
    """
    import keras

    images = keras.Input(input_shape)
    x = _convolve(images, _STEM_FILTERS, 3, 2, 'stem')
    blocks = [(stage, stage.stride if i == 0 else 1) for stage in _STAGES for i in range(stage.repeats)]
    for i, (stage, stride) in enumerate(blocks):
        x = _block(x, stage, stride, f'block{i}')
    x = _convolve(x, _HEAD_FILTERS, 1, 1, 'head')
    return keras.Model(images, x, name='efficientnet_lite0')


def load(network: 'keras.Model', path: str, sha256: str) -> None:
    """Puts the weights of a file of torch's into the network, each tensor into one layer.

    Args:
        network: from `build`.
        path: of the file.
        sha256: its checksum.

    Raises:
        UserError: the file is damaged, or holds the weights of another network.
    """
    try:
        tensors = {name: tensor for name, tensor in torch_file.read(path, sha256).items() if not name.endswith(_UNUSED)}
        for layer in network.layers:
            if layer.weights:
                layer.set_weights([_to_keras(tensors.pop(name), layer.name) for name in _torch_names(layer.name)])
        if tensors:
            raise ValueError(f'it has {counted(len(tensors), "tensor")} too many, such as {next(iter(tensors))}')
    except KeyError as error:
        raise errors.UserError(f'{path} does not hold the weights of {network.name}: it lacks {error}') from error
    except (OSError, ValueError) as error:
        raise errors.UserError(f'{path} does not hold the weights of {network.name}: {error}') from error


def _torch_names(layer: str) -> list[str]:
    """Names the tensors of a layer with weights: 'block3_expand' and 'block3_expand_norm' are two such layers."""
    name = layer.removesuffix('_norm')
    block, _, role = name.rpartition('_')
    convolution, norm = _TORCH_NAMES[role]
    prefix = f'_blocks.{block.removeprefix("block")}.' if block else ''
    if name == layer:
        return [f'{prefix}{convolution}.weight']
    return [f'{prefix}{norm}.{weight}' for weight in _TORCH_NORM]


def _to_keras(tensor: np.ndarray, layer: str) -> np.ndarray:
    """Orders the axes of a kernel as Keras does; torch has (outputs, inputs, height, width)."""
    if tensor.ndim != 4:
        return tensor
    return tensor.transpose((2, 3, 0, 1) if layer.endswith('depthwise') else (2, 3, 1, 0))


def _block(x: 'keras.KerasTensor', stage: _Stage, stride: int, name: str) -> 'keras.KerasTensor':
    """Expands the channels, convolves each alone, and projects them back."""
    import keras

    before = x
    if stage.expansion > 1:
        x = _convolve(x, stage.expansion * x.shape[-1], 1, 1, f'{name}_expand')
    x = keras.layers.DepthwiseConv2D(stage.kernel, stride, 'same', use_bias=False, name=f'{name}_depthwise')(x)
    x = _normalize(x, f'{name}_depthwise')
    # No activation after the projection: in few channels a ReLU would lose information.
    x = _convolve(x, stage.filters, 1, 1, f'{name}_project', activate=False)
    if stride == 1 and before.shape[-1] == stage.filters:
        x = keras.layers.Add(name=f'{name}_add')([before, x])
    return x


def _convolve(
    x: 'keras.KerasTensor', filters: int, kernel: int, stride: int, name: str, *, activate: bool = True
) -> 'keras.KerasTensor':
    import keras

    x = keras.layers.Conv2D(filters, kernel, stride, 'same', use_bias=False, name=name)(x)
    return _normalize(x, name, activate=activate)


def _normalize(x: 'keras.KerasTensor', name: str, *, activate: bool = True) -> 'keras.KerasTensor':
    import keras

    x = keras.layers.BatchNormalization(epsilon=_EPSILON, name=f'{name}_norm')(x)
    return keras.layers.ReLU(6.0, name=f'{name}_relu')(x) if activate else x
