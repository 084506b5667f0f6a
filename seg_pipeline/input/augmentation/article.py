"""The article's seven changes, and the policy that draws one of them for each pair."""

import dataclasses
import math
from collections.abc import Callable

import tensorflow as tf

from seg_pipeline.input.augmentation import draws
from seg_pipeline.input.augmentation.policy import ImageMask, Op, Policy


@dataclasses.dataclass(frozen=True)
class Brightness:
    """Adds one number, drawn from [-max_delta, max_delta], to every value of the image.

    Attributes:
        max_delta: fraction of the full range; the article adds 0.1, always.
    """

    max_delta: float = 0.1

    def __call__(self, image: tf.Tensor, mask: tf.Tensor, seed: tf.Tensor, ignore_id: int) -> ImageMask:
        delta = draws.uniform(seed, -self.max_delta, self.max_delta)
        # In int16, because uint8 wraps around: 250 + 10 would become 4.
        shifted = tf.cast(image, tf.int16) + tf.cast(tf.round(255.0 * delta), tf.int16)
        return tf.cast(tf.clip_by_value(shifted, 0, 255), tf.uint8), mask


@dataclasses.dataclass(frozen=True)
class Gamma:
    """Raises every value of the image, seen as a fraction of 255, to one power.

    The logarithm of the power is uniform, so that a power and its inverse, which undo each other, are equally likely.

    Attributes:
        low, high: range of the power. The article uses 0.1, which leaves nearly every image white.
    """

    low: float = 0.7
    high: float = 1.4

    def __call__(self, image: tf.Tensor, mask: tf.Tensor, seed: tf.Tensor, ignore_id: int) -> ImageMask:
        gamma = tf.exp(draws.uniform(seed, math.log(self.low), math.log(self.high)))
        # There are 256 inputs, so a table of 256 powers does for any number of pixels.
        table = tf.round(255.0 * (tf.range(256, dtype=tf.float32) / 255.0) ** gamma)
        return tf.gather(tf.cast(table, tf.uint8), tf.cast(image, tf.int32)), mask


@dataclasses.dataclass(frozen=True)
class Hue:
    """Turns the hue of every pixel by one fraction, drawn from [-max_delta, max_delta], of the colour circle.

    Attributes:
        max_delta: fraction of the full circle; the article turns by -0.1, always.
    """

    max_delta: float = 0.1

    def __call__(self, image: tf.Tensor, mask: tf.Tensor, seed: tf.Tensor, ignore_id: int) -> ImageMask:
        return tf.image.adjust_hue(image, draws.uniform(seed, -self.max_delta, self.max_delta)), mask


@dataclasses.dataclass(frozen=True)
class CentralCrop:
    """Keeps the middle of the frame, a fraction from [min_scale, max_scale] of each side, enlarged to the old size.

    Attributes:
        min_scale, max_scale: the fraction of height and width that is kept, in (0, 1]; the article keeps 0.7.
    """

    min_scale: float = 0.7
    max_scale: float = 1.0

    def __call__(self, image: tf.Tensor, mask: tf.Tensor, seed: tf.Tensor, ignore_id: int) -> ImageMask:
        # What is cut off is half of the rest at each side, in coordinates where the frame reaches from 0 to 1.
        margin = (1.0 - draws.uniform(seed, self.min_scale, self.max_scale)) / 2.0
        box = tf.stack([margin, margin, 1.0 - margin, 1.0 - margin])
        zoomed = tf.cast(tf.round(_sample(image, box, 'bilinear', fill=0)), tf.uint8)
        return zoomed, tf.cast(_sample(mask, box, 'nearest', fill=ignore_id), mask.dtype)


@dataclasses.dataclass(frozen=True)
class FlipLeftRight:
    """Mirrors the pair left to right.

    Attributes:
        probability: how often it does; the article's mirrored copy holds every pair, hence 1.
    """

    probability: float = 1.0

    def __call__(self, image: tf.Tensor, mask: tf.Tensor, seed: tf.Tensor, ignore_id: int) -> ImageMask:
        return _reverse_sometimes(image, mask, axis=1, probability=self.probability, seed=seed)


@dataclasses.dataclass(frozen=True)
class FlipUpDown:
    """Turns the pair upside down, as a mirror does.

    Attributes:
        probability: how often it does; the article's mirrored copy holds every pair, hence 1.
    """

    probability: float = 1.0

    def __call__(self, image: tf.Tensor, mask: tf.Tensor, seed: tf.Tensor, ignore_id: int) -> ImageMask:
        return _reverse_sometimes(image, mask, axis=0, probability=self.probability, seed=seed)


@dataclasses.dataclass(frozen=True)
class Rotate90:
    """Rotates the pair about its middle by 90, 180 or 270 degrees, each as likely as the others.

    The frame keeps its size. Where it is not square, a quarter turn exchanges height and width: a tall frame then holds
    the middle of a wide picture, with uncovered bands above and below. No pixel is interpolated.

    Attributes:
        quarter_turns: the counter-clockwise quarter turns to choose from; the article turns by 1, always.
    """

    quarter_turns: tuple[int, ...] = (1, 2, 3)

    def __call__(self, image: tf.Tensor, mask: tf.Tensor, seed: tf.Tensor, ignore_id: int) -> ImageMask:
        turns = tf.gather(self.quarter_turns, draws.choice(seed, len(self.quarter_turns)))
        return _turn(image, turns, fill=0), _turn(mask, turns, fill=ignore_id)


@dataclasses.dataclass(frozen=True)
class OneOf:
    """Applies one of its ops, or none: each op, and leaving the pair as it is, is equally likely.

    Attributes:
        ops: the ops to choose from.
    """

    ops: Policy

    def __call__(self, image: tf.Tensor, mask: tf.Tensor, seed: tf.Tensor, ignore_id: int) -> ImageMask:
        def branch(op: Op) -> Callable[[], ImageMask]:
            return lambda: op(image, mask, draws.child(seed, 1), ignore_id)

        # Only the chosen branch runs: seven ops to choose from cost no more than their average. The choice and the op
        # get seeds of their own; with one seed for both, the op's draw would depend on which op was chosen.
        branches = [branch(op) for op in self.ops] + [lambda: (image, mask)]
        changed: ImageMask = tf.switch_case(draws.choice(draws.child(seed, 0), len(branches)), branches)
        return changed


# The article concatenates to its training set one copy of it for each of seven changes, so a pair is seen as it is or
# changed in one way, never in two. Drawing one of these eight for each pair and pass shows the same mixture in the long
# run, without eight copies of the data; and what the article sets to one number is drawn from a range here.
ARTICLE: Policy = (
    OneOf((Brightness(), Gamma(), Hue(), CentralCrop(), FlipLeftRight(), FlipUpDown(), Rotate90())),
)  # fmt: skip


def _reverse_sometimes(image: tf.Tensor, mask: tf.Tensor, axis: int, probability: float, seed: tf.Tensor) -> ImageMask:
    def reverse() -> ImageMask:
        return tf.reverse(image, [axis]), tf.reverse(mask, [axis])

    if probability == 1.0:
        return reverse()
    result: ImageMask = tf.cond(draws.uniform(seed, 0.0, 1.0) < probability, reverse, lambda: (image, mask))
    return result


def _sample(picture: tf.Tensor, box: tf.Tensor, method: str, fill: int) -> tf.Tensor:
    """Samples `picture` on a grid of its own size over a box.

    With H rows and a box from `top` to `bottom`, row i of the result is sampled at row

        top * (H - 1) + i * (bottom - top)

    of the picture (the documentation of tf.image.crop_and_resize, with as many rows out as in); columns likewise. The
    corners of the box are the centres of the corner pixels, not their outer edges as in tf.image.resize, so the box
    (0, 0, 1, 1) gives every pixel back as it is. The points do not depend on `method`, which is what keeps an image
    sampled bilinearly and a mask sampled by nearest neighbour over each other. Slicing and tf.image.resize would not
    do: a slice begins and ends at a pixel, whereas the fraction that a crop keeps is drawn continuously.

    Args:
        picture: (height, width, channels).
        box: float32 (4,): top, left, bottom and right, in 0..1.
        method: 'bilinear' or 'nearest'.
        fill: the value of points outside of the picture. A box as large as the frame may have some by rounding.

    Returns:
        float32 (height, width, channels).
    """
    size = tf.shape(picture)[:2]
    return tf.image.crop_and_resize(picture[tf.newaxis], box[tf.newaxis], [0], size, method, fill)[0]


def _turn(picture: tf.Tensor, turns: tf.Tensor, fill: int) -> tf.Tensor:
    """Returns `picture` turned counter-clockwise about its middle in a frame of the same size.

    A quarter turn of (height, width) has the shape (width, height). Brought back to (height, width), it loses
    (height - width) / 2 columns at each side and gains as many rows above and below (the other way round where the
    frame is wide). resize_with_crop_or_pad does both, but pads with 0 only. So the values are shifted by `fill` first,
    which makes 0 stand for it, and shifted back afterwards; uint8 arithmetic is modulo 256, hence exact.
    """
    height, width, _ = picture.shape
    turned = tf.image.rot90(picture, turns)
    if height is not None and height == width:
        return turned
    shift = tf.constant(fill, picture.dtype)
    size = tf.shape(picture)
    return tf.image.resize_with_crop_or_pad(turned - shift, size[0], size[1]) + shift
