"""The network of a run: an encoder of `encoders` and a decoder of `decoders`, from images to logits."""

from collections.abc import Callable

import keras

from trainer import config
from trainer.models import decoders, depthwise, encoders, normalization
from trainer.models import precision as precision_lib

Loader = Callable[[keras.Model], None]  # Puts weights into the bare network of an encoder.


def build(
    encoder: str,
    image_size: tuple[int, int],
    num_classes: int,
    *,
    decoder: str = config.Recipe.decoder,
    input_scale: float = 1.0,
    load_encoder: Loader | None = None,
    precision: str = config.FLOAT32,
    batch_norm_momentum: float | None = None,
) -> keras.Model:
    """Builds the network with fresh weights (drawn from the seed of `keras.utils.set_random_seed`).

    Args:
        encoder: a key of `encoders.ENCODERS`.
        image_size: height and width in pixels, multiples of the encoder's stride where `input_scale` is 1.
        num_classes: number of ids, the background included.
        decoder: a key of `decoders.DECODERS`.
        input_scale: enlarges the images first, see `encoders.input_size`.
        load_encoder: puts weights into the encoder's bare network; None leaves the fresh ones.
        precision: one of `config.PRECISIONS`, to compute in; variables, preprocessing and logits stay float32.
        batch_norm_momentum: part of its running statistics that a normalization layer keeps in a step, 0 to 1; None
            leaves each layer's own, which has no effect where nothing is trained.

    Returns:
        A model from images (batch, height, width, 3), uint8 or float with values 0..255, to float32 logits
        (batch, height, width, num_classes). `model.get_layer('encoder')` is the encoder.
    """
    # A policy is global in Keras and read by every layer when it is made, by those of keras.applications too.
    previous_policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision_lib.policy(precision))
    try:
        images = keras.Input((*image_size, 3), name='images')
        size = encoders.input_size(image_size, input_scale)
        enlarged = images if size == image_size else decoders.resize(images, size)
        maps = encoders.build(encoder, size, load_encoder)(enlarged)
        network = keras.Model(images, decoders.DECODERS[decoder](maps, num_classes, image_size), name=decoder)
    finally:
        keras.config.set_dtype_policy(previous_policy)
    normalization.synchronize(network)
    depthwise.compute_in_float32(network)
    for layer in encoders.batch_norm_layers(network) if batch_norm_momentum is not None else ():
        layer.momentum = batch_norm_momentum
    return network


def set_trainable(model: keras.Model, *, encoder: bool, encoder_batch_norm: bool) -> None:
    """Sets which part of the network learns: the decoder always does.

    Takes effect in steps that are traced afterwards. A batch normalization layer that does not learn normalizes by its
    stored statistics, also when it is called with training=True, and does not update them. That is a rule of this layer
    alone in Keras; of any other layer `trainable` freezes the weights and nothing else.

    Args:
        model: from `build`.
        encoder: whether the encoder's filters learn.
        encoder_batch_norm: whether its batch normalization learns.
    """
    network = model.get_layer('encoder')
    network.trainable = encoder
    # After the line above, which sets the attribute of every layer inside, normalization included.
    for layer in encoders.batch_norm_layers(network):
        layer.trainable = encoder_batch_norm
