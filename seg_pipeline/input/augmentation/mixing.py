"""What one pair shows of another: a rectangle (CutMix), or whole classes (copy-paste).

Both decide for each pixel which of the two pairs it comes from, image and mask alike, so a mask holds no class that
neither had.
"""

import tensorflow as tf

from seg_pipeline.input.augmentation import cutting
from seg_pipeline.input.augmentation.draws import Draw
from seg_pipeline.input.augmentation.policy import ImageMask
from seg_pipeline.input.strengths import Strengths

_NUM_IDS = 256


def mixes(strengths: Strengths) -> bool:
    """Tells whether these strengths need another pair."""
    return bool(strengths.cutmix or strengths.copy_paste)


def is_mixed(strengths: Strengths, draw: Draw) -> tf.Tensor:
    """Tells, as a boolean scalar, whether this pair is to show anything of another."""
    return draw.below('cutmix', strengths.cutmix) | draw.below('copy_paste', strengths.copy_paste)


def mix(
    strengths: Strengths, draw: Draw, pair: ImageMask, other: ImageMask, seed: tf.Tensor, ignore_id: int
) -> ImageMask:
    """Returns the pair with what is drawn of the other one in its place.

    Args:
        strengths: what is on.
        draw: of the pair.
        pair, other: image and mask, of the same shapes.
        seed: int (2,), decides which classes are copied.
        ignore_id: is never copied as a class.
    """
    (image, mask), (other_image, other_mask) = pair, other
    size = tf.cast(tf.reverse(tf.shape(mask)[:2], [0]), tf.float32)
    in_box = cutting.draw_box(draw, 'cutmix', strengths.cutmix_area, size) & draw.below('cutmix', strengths.cutmix)
    of_class = _of_drawn_classes(strengths, other_mask, seed, ignore_id) & draw.below(
        'copy_paste', strengths.copy_paste
    )
    from_other = in_box | of_class
    return tf.where(from_other, other_image, image), tf.where(from_other, other_mask, mask)


def _of_drawn_classes(strengths: Strengths, mask: tf.Tensor, seed: tf.Tensor, ignore_id: int) -> tf.Tensor:
    """Tells of each pixel, boolean (height, width, 1), whether its class is among those that are copied."""
    ids = tf.cast(mask, tf.int32)
    pixels = tf.math.bincount(ids, minlength=_NUM_IDS, maxlength=_NUM_IDS)
    drawn = tf.random.stateless_uniform((_NUM_IDS,), seed, alg='philox') < strengths.copy_paste_share
    numbers = tf.range(_NUM_IDS)
    drawn &= (numbers != tf.argmax(pixels, output_type=tf.int32)) & (numbers != ignore_id)
    return tf.gather(drawn, ids)
