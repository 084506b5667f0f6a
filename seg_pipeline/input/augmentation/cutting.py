"""Rectangles of a pair that are hidden."""

import math

import tensorflow as tf

from seg_pipeline.input.augmentation.draws import Draw
from seg_pipeline.input.augmentation.policy import ImageMask
from seg_pipeline.input.strengths import Strengths

_LOG_ASPECT = math.log(2.0)  # of a square frame, a rectangle is at most twice as high as it is wide, or the reverse


def draw_box(draw: Draw, name: str, area: tuple[float, float], size: tf.Tensor) -> tf.Tensor:
    """Draws a rectangle inside of the frame.

    Args:
        draw: of the pair.
        name: of what the rectangle is for, with which the names of its numbers begin.
        area: range of its area, as a fraction of the frame's.
        size: float32 (2,), width and height of the frame.

    Returns:
        Boolean (height, width, 1), true inside.
    """
    part = draw.between(f'{name}_area', *area)
    log_aspect = draw.between(f'{name}_aspect', -_LOG_ASPECT, _LOG_ASPECT)
    sides = tf.minimum(1.0, tf.sqrt(part * tf.exp(tf.stack([log_aspect, -log_aspect])))) * size
    place = tf.stack([draw.between(f'{name}_left', 0.0, 1.0), draw.between(f'{name}_top', 0.0, 1.0)])
    begins = tf.round(place * (size - sides))
    ends = begins + tf.round(sides)
    columns, rows = (tf.range(side) for side in tf.unstack(size))
    inside_columns = (columns >= begins[0]) & (columns < ends[0])
    inside_rows = (rows >= begins[1]) & (rows < ends[1])
    return (inside_rows[:, tf.newaxis] & inside_columns)[..., tf.newaxis]


def cut_out(
    strengths: Strengths, draw: Draw, image: tf.Tensor, mask: tf.Tensor, size: tf.Tensor, ignore_id: int
) -> ImageMask:
    """Hides a rectangle as often as `strengths` says: black in the image, ignored in the mask."""
    if not strengths.cutout:
        return image, mask

    def hidden() -> ImageMask:
        box = draw_box(draw, 'cutout', strengths.cutout_area, size)
        return tf.where(box, tf.zeros_like(image), image), tf.where(box, tf.constant(ignore_id, mask.dtype), mask)

    result: ImageMask = tf.cond(draw.below('cutout', strengths.cutout), hidden, lambda: (image, mask))
    return result
