"""What a policy is, and how it is applied to one pair."""

from typing import Protocol

import tensorflow as tf

from seg_pipeline.input.augmentation import draws

ImageMask = tuple[tf.Tensor, tf.Tensor]  # An image and its mask, as tensors.


class Op(Protocol):
    """One change of a pair.

    Args of a call:
        image: uint8 (height, width, 3), RGB.
        mask: uint8 (height, width, 1), class ids.
        seed: int (2,), all the randomness there is.
        ignore_id: the id given to pixels that show nothing of the old frame.

    A call returns the new image and mask, of the same shapes and dtypes.
    """

    def __call__(self, image: tf.Tensor, mask: tf.Tensor, seed: tf.Tensor, ignore_id: int) -> ImageMask: ...


Policy = tuple[Op, ...]


def apply(policy: Policy, image: tf.Tensor, mask: tf.Tensor, seed: tf.Tensor, ignore_id: int) -> ImageMask:
    """Applies the ops of a policy in order; the result is a pure function of the arguments.

    Example:
        image, mask = augmentation.apply(augmentation.ARTICLE, image, mask, seed=(0, 17), ignore_id=255)

    Args:
        policy: the ops; an empty one returns the pair unchanged.
        image: uint8 (height, width, 3), RGB.
        mask: uint8 (height, width, 1), class ids.
        seed: int (2,); give every use of every pair its own.
        ignore_id: the id for pixels of the new mask that show nothing of the old one.

    Returns:
        The new image and mask, of the same shapes and dtypes.

    Raises:
        ValueError: a shape or dtype is not the one above.
    """
    _check_pair(image, mask)
    for position, op in enumerate(policy):
        new_image, new_mask = op(image, mask, draws.child(seed, position), ignore_id)
        image, mask = tf.ensure_shape(new_image, image.shape), tf.ensure_shape(new_mask, mask.shape)
    return image, mask


def _check_pair(image: tf.Tensor, mask: tf.Tensor) -> None:
    """Refuses, while the graph is built, what the ops would silently treat as something else."""
    for name, tensor, channels in (('image', image, 3), ('mask', mask, 1)):
        if tensor.dtype != tf.uint8 or tensor.shape.rank != 3 or tensor.shape[-1] != channels:
            raise ValueError(
                f'the {name} is {tensor.dtype.name} {tuple(tensor.shape)}; uint8 (height, width, {channels}) is needed'
            )
    if not image.shape[:2].is_compatible_with(mask.shape[:2]):
        raise ValueError(f'the image is {tuple(image.shape[:2])} and its mask {tuple(mask.shape[:2])}')
