"""What a policy is, and how it is applied to one pair."""

import dataclasses
from collections.abc import Callable
from typing import Protocol, runtime_checkable

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


@dataclasses.dataclass(frozen=True)
class Partner:
    """Another pair, for ops that mix two.

    Attributes:
        fetch: returns its image and mask as they are; it is only called for pairs that are mixed.
        seed: int (2,), of its own changes.
    """

    fetch: Callable[[], ImageMask]
    seed: tf.Tensor


@runtime_checkable
class MixingOp(Protocol):
    """An op that may show a part of another pair, which has gone through the same op by its own seed."""

    @property
    def mixes(self) -> bool: ...

    def mix(
        self, image: tf.Tensor, mask: tf.Tensor, seed: tf.Tensor, ignore_id: int, partner: Partner
    ) -> ImageMask: ...


Policy = tuple[Op, ...]


def needs_partner(policy: Policy) -> bool:
    """Tells whether an op of the policy mixes two pairs."""
    return any(isinstance(op, MixingOp) and op.mixes for op in policy)


def apply(
    policy: Policy,
    image: tf.Tensor,
    mask: tf.Tensor,
    seed: tf.Tensor,
    ignore_id: int,
    partner: Partner | None = None,
) -> ImageMask:
    """Applies the ops of a policy in order; the result is a pure function of the arguments.

    Example:
        image, mask = augmentation.apply(augmentation.ARTICLE, image, mask, seed=(0, 17), ignore_id=255)

    Args:
        policy: the ops; an empty one returns the pair unchanged.
        image: uint8 (height, width, 3), RGB.
        mask: uint8 (height, width, 1), class ids.
        seed: int (2,); give every use of every pair its own.
        ignore_id: the id for pixels of the new mask that show nothing of the old one.
        partner: a pair of the same shapes, for policies that mix; without it they do not.

    Returns:
        The new image and mask, of the same shapes and dtypes.

    Raises:
        ValueError: a shape or dtype is not the one above.
    """
    _check_pair(image, mask)
    for position, op in enumerate(policy):
        own = draws.child(seed, position)
        if partner is not None and isinstance(op, MixingOp) and op.mixes:
            other = Partner(partner.fetch, draws.child(partner.seed, position))
            new_image, new_mask = op.mix(image, mask, own, ignore_id, other)
        else:
            new_image, new_mask = op(image, mask, own, ignore_id)
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
