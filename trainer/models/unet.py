"""The article's U-Net: an encoder, four upsampling blocks of pix2pix that take in its skips, logits for each pixel."""

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
        batch_norm_momentum: share of its running statistics that a normalisation layer keeps in a step, 0 to 1; None
            leaves each layer's own, which is of no consequence where nothing is trained.

    Returns:
        A model from images (batch, height, width, 3), uint8 or float with values 0..255, to float32 logits
        (batch, height, width, num_classes). `model.get_layer('encoder')` is the encoder.
    """
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
    x = keras.layers.BatchNormalization(synchronized=True, name=f'upsample_{filters}_norm')(x)
    return keras.layers.ReLU(name=f'upsample_{filters}_relu')(x)


def set_trainable(model: keras.Model, *, encoder: bool, encoder_batch_norm: bool) -> None:
    """Sets which part of the network learns: the decoder always does.

    Takes effect in steps that are traced afterwards. A batch normalisation layer that does not learn normalises by its
    stored statistics and leaves them alone.

    Args:
        model: from `build`.
        encoder: whether the encoder's filters learn.
        encoder_batch_norm: whether its batch normalisation learns.
    """
    network = model.get_layer('encoder')
    network.trainable = encoder
    for layer in encoders.batch_norm_layers(network):
        layer.trainable = encoder_batch_norm
