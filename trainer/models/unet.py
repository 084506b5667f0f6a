"""The article's U-Net: an encoder, four upsampling blocks that take in its skips, and a logit for each pixel and class.

The U-Net is that of Ronneberger, Fischer and Brox (arXiv:1505.04597) with its contracting path replaced by a pretrained
encoder. The upsampling block, its initialization included, is that of pix2pix (Isola et al., arXiv:1611.07004).
"""

from collections.abc import Callable

import keras

from trainer.models import encoders

Loader = Callable[[keras.Model], None]  # Puts weights into the bare network of an encoder.

UPSAMPLING_FILTERS = (512, 256, 128, 64)


def build(
    encoder: str,
    image_size: tuple[int, int],
    num_classes: int,
    *,
    load_encoder: Loader | None = None,
    mixed_precision: bool = False,
    batch_norm_momentum: float | None = None,
) -> keras.Model:
    """Builds the network with fresh weights (drawn from the seed of `keras.utils.set_random_seed`).

    Args:
        encoder: a key of `encoders.ENCODERS`.
        image_size: height and width in pixels, multiples of the encoder's stride.
        num_classes: number of ids, the background included.
        load_encoder: puts weights into the encoder's bare network; None leaves the fresh ones.
        mixed_precision: compute in bfloat16; variables, preprocessing and logits stay float32.
        batch_norm_momentum: part of its running statistics that a normalization layer keeps in a step, 0 to 1; None
            leaves each layer's own, which has no effect where nothing is trained.

    Returns:
        A model from images (batch, height, width, 3), uint8 or float with values 0..255, to float32 logits
        (batch, height, width, num_classes). `model.get_layer('encoder')` is the encoder.
    """
    # A policy is global in Keras and read by every layer when it is made, by those of keras.applications too.
    previous_policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy('mixed_bfloat16' if mixed_precision else 'float32')
    try:
        network = _build(encoder, image_size, num_classes, load_encoder)
    finally:
        keras.config.set_dtype_policy(previous_policy)
    for layer in encoders.batch_norm_layers(network) if batch_norm_momentum is not None else ():
        layer.momentum = batch_norm_momentum
    return network


def _build(
    encoder_name: str,
    image_size: tuple[int, int],
    num_classes: int,
    load_encoder: Loader | None,
) -> keras.Model:
    images = keras.Input((*image_size, 3), name='images')
    encoder = encoders.build(encoder_name, image_size, load_encoder)
    *skips, x = encoder(images)
    for filters, skip in zip(UPSAMPLING_FILTERS, reversed(skips), strict=True):
        x = _upsample(x, filters)
        x = keras.layers.Concatenate(name=f'concatenate_{filters}')([x, skip])
    # float32 also under mixed precision: a bfloat16 has 8 significant bits, to which 20.00 and 20.05 are one number.
    logits = keras.layers.Conv2DTranspose(num_classes, 3, strides=2, padding='same', dtype='float32', name='logits')(x)
    return keras.Model(images, logits, name='unet')


def _upsample(x: keras.KerasTensor, filters: int) -> keras.KerasTensor:
    """Doubles height and width as pix2pix does."""
    x = keras.layers.Conv2DTranspose(
        filters,
        3,
        strides=2,
        padding='same',
        use_bias=False,
        kernel_initializer=keras.initializers.RandomNormal(stddev=0.02),
        name=f'upsample_{filters}',
    )(x)
    # Synchronized: the statistics of the global batch, as a single device has them, not those of each replica's part.
    x = keras.layers.BatchNormalization(synchronized=True, name=f'upsample_{filters}_norm')(x)
    return keras.layers.ReLU(name=f'upsample_{filters}_relu')(x)


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
