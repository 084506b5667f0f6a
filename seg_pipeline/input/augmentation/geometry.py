"""All geometry of a pair as one window of the frame or one matrix, by which image and mask are sampled once.

A matrix, float32 (3, 3), maps a pixel (x, y, 1) of the new frame to the point (x', y', 1) of the old one that it shows.
Pixels are points: the frame reaches from the middle of its first pixel, 0, to that of its last, width - 1. So a
crop never shows anything beyond the frame, and the identity gives every pixel back as it is.
"""

import dataclasses
import math

import tensorflow as tf

from seg_pipeline.input.augmentation.draws import Draw
from seg_pipeline.input.strengths import Strengths

# A point beyond the frame by a rounding error would be black: this part of the frame is more than any such error, and
# less than what can be seen (0.004 pixels of 4,096).
_FRAME_EDGE = 1e-6


@dataclasses.dataclass(frozen=True)
class Window:
    """The part of the old frame that the new one shows if nothing is rotated, sheared, scaled or shifted.

    A pixel (x, y) of the new frame shows the point scale * (x, y) + begin of the old one, which is never outside of it.

    Attributes:
        scale: float32 (2,), of width and height: at most 1; negative where the picture is mirrored.
        begin: float32 (2,), what the first pixel shows.
    """

    scale: tf.Tensor
    begin: tf.Tensor

    def matrix(self) -> tf.Tensor:
        """The same as a matrix, float32 (3, 3)."""
        return _affine(tf.linalg.diag(self.scale), self.begin)


def moves(strengths: Strengths) -> bool:
    """Tells whether these strengths can move or enlarge the picture: then a new frame is not a part of the old one."""
    return bool(strengths.rotation or strengths.shear or strengths.translation or strengths.scale != (1.0, 1.0))


def crops_or_mirrors(strengths: Strengths) -> bool:
    """Tells whether these strengths choose a part of the frame, or its mirror image."""
    crops = strengths.crop_min_area < 1.0 or strengths.crop_aspect
    return bool(crops or strengths.flip_left_right or strengths.flip_up_down)


def draw_matrix(strengths: Strengths, draw: Draw, size: tf.Tensor) -> tf.Tensor:
    """Draws the matrix of a pair.

    The picture is rotated, scaled, sheared and shifted about its middle, then cropped, then mirrored. As the matrix
    leads from the new frame to the old one, its factors undo these steps, the last one first.

    Args:
        strengths: the ranges.
        draw: of the pair.
        size: float32 (2,), width and height of the frame.

    Returns:
        float32 (3, 3).
    """
    window = draw_window(strengths, draw, size).matrix()
    return tf.matmul(_moved_middle(strengths, draw, size), window) if moves(strengths) else window


def draw_window(strengths: Strengths, draw: Draw, size: tf.Tensor) -> Window:
    """Draws a part of the frame of a random area and aspect, and whether it is mirrored.

    Of an area a and an aspect e^r, both drawn, it keeps sqrt(a e^r) of the width and sqrt(a / e^r) of the height, each
    at most 1: a box that would be wider than the frame loses area.
    """
    area = draw.between('crop_area', strengths.crop_min_area, 1.0)
    log_aspect = draw.between('crop_aspect', -strengths.crop_aspect, strengths.crop_aspect)
    parts = tf.minimum(1.0, tf.sqrt(area * tf.exp(tf.stack([log_aspect, -log_aspect]))))
    place = tf.stack([draw.between('crop_left', 0.0, 1.0), draw.between('crop_top', 0.0, 1.0)])
    begin = place * (1.0 - parts) * (size - 1.0)
    mirrored = tf.stack(
        [
            draw.below('flip_left_right', strengths.flip_left_right),
            draw.below('flip_up_down', strengths.flip_up_down),
        ]
    )
    return Window(tf.where(mirrored, -parts, parts), tf.where(mirrored, begin + parts * (size - 1.0), begin))


def _affine(linear: tf.Tensor, shift: tf.Tensor) -> tf.Tensor:
    """The matrix of p -> linear p + shift."""
    return tf.concat([tf.concat([linear, shift[:, tf.newaxis]], axis=1), [[0.0, 0.0, 1.0]]], axis=0)


def _moved_middle(strengths: Strengths, draw: Draw, size: tf.Tensor) -> tf.Tensor:
    """Undoes rotation, scale, shear and shift of the picture about its middle.

    A point p goes to middle + shift + A (p - middle), with A = scale * rotation * shear of x * shear of y. The inverse
    of A is written out: each shear has the determinant 1, and the inverse of a rotation is its transpose.
    """
    angle = draw.between('rotation', -_radians(strengths.rotation), _radians(strengths.rotation))
    x_slant, y_slant = (
        tf.tan(draw.between(name, -_radians(strengths.shear), _radians(strengths.shear)))
        for name in ('x_shear', 'y_shear')
    )
    cos, sin = tf.cos(angle), tf.sin(angle)
    # y points down, so [[cos, sin], [-sin, cos]] turns what is seen counter-clockwise, and its transpose turns it back.
    turned_back = tf.stack([[cos, -sin], [sin, cos]])
    y_unsheared, x_unsheared = tf.stack([[1.0, 0.0], [-y_slant, 1.0]]), tf.stack([[1.0, -x_slant], [0.0, 1.0]])
    inverse = y_unsheared @ x_unsheared @ turned_back / draw.log_between('scale', *strengths.scale)
    part = tf.stack(
        [draw.between(name, -strengths.translation, strengths.translation) for name in ('x_shift', 'y_shift')]
    )
    middle = (size - 1.0) / 2.0
    return _affine(inverse, middle - tf.linalg.matvec(inverse, middle + part * size))


def _radians(degrees: float) -> float:
    return degrees * math.pi / 180.0


def sample(picture: tf.Tensor, matrix: tf.Tensor, method: str, fill: int) -> tf.Tensor:
    """Samples a picture at the points of a matrix, which do not depend on the method.

    Args:
        picture: (height, width, channels).
        matrix: float32 (3, 3).
        method: 'BILINEAR', with a float32 picture, or 'NEAREST'.
        fill: the value outside of the picture.

    Returns:
        The picture that the new frame shows, of the same shape and dtype.
    """
    transform = tf.reshape(matrix, (1, 9))[:, :8]  # The last one is 1.
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=picture[tf.newaxis],
        transforms=transform,
        output_shape=tf.shape(picture)[:2],
        fill_value=float(fill),
        interpolation=method,
        fill_mode='CONSTANT',
    )[0]


def sample_window(picture: tf.Tensor, window: Window, method: str) -> tf.Tensor:
    """Samples a picture at the points of a window: what `sample` gives by its matrix, in two fifths of the time.

    Args:
        picture: (height, width, channels).
        window: the part of its frame.
        method: 'bilinear' or 'nearest'.

    Returns:
        The picture that the new frame shows, float32, of the same shape.
    """
    size = tf.shape(picture)[:2]
    last = tf.cast(tf.reverse(size, [0]), tf.float32) - 1.0
    # The op has its points as fractions of the frame. Of a frame of one pixel there is one point.
    ends = tf.math.divide_no_nan(tf.stack([window.begin, window.begin + window.scale * last]), last)
    ends = tf.clip_by_value(ends, _FRAME_EDGE, 1.0 - _FRAME_EDGE)
    boxes = tf.reshape(tf.reverse(ends, [1]), (1, 4))  # top, left, bottom, right
    return tf.raw_ops.CropAndResize(image=picture[tf.newaxis], boxes=boxes, box_ind=[0], crop_size=size, method=method)[
        0
    ]
