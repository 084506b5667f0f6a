"""Random changes of geometry, colours and what is seen, by `Strengths`."""

import dataclasses

import tensorflow as tf

from seg_pipeline.input.augmentation import colors, cutting, draws, geometry, mixing
from seg_pipeline.input.augmentation.policy import ImageMask, Partner
from seg_pipeline.input.strengths import Strengths


@dataclasses.dataclass(frozen=True)
class RandomChanges:
    """Changes colours, geometry, sharpness and noise of a pair, and hides a part of it, each as its strength says.

    Colours come before geometry, so that what the geometry uncovers is black; blur and noise come after it, at the
    scale at which the network sees the picture. A strength that is off costs nothing.

    Attributes:
        strengths: how often and how far each change goes.
    """

    strengths: Strengths

    @property
    def mixes(self) -> bool:
        """Whether it needs another pair."""
        return mixing.mixes(self.strengths)

    def __call__(self, image: tf.Tensor, mask: tf.Tensor, seed: tf.Tensor, ignore_id: int) -> ImageMask:
        return self._changed(draws.Draw(draws.child(seed, 0)), image, mask, seed, ignore_id)

    def mix(self, image: tf.Tensor, mask: tf.Tensor, seed: tf.Tensor, ignore_id: int, partner: Partner) -> ImageMask:
        """Changes the pair, and puts parts of the partner into it, which is changed as its own seed says."""
        draw = draws.Draw(draws.child(seed, 0))
        pair = self._changed(draw, image, mask, seed, ignore_id)

        def mixed() -> ImageMask:
            other = self(*partner.fetch(), partner.seed, ignore_id)
            return mixing.mix(self.strengths, draw, pair, other, draws.child(seed, 2), ignore_id)

        result: ImageMask = tf.cond(mixing.is_mixed(self.strengths, draw), mixed, lambda: pair)
        return result

    def _changed(
        self, draw: draws.Draw, image: tf.Tensor, mask: tf.Tensor, seed: tf.Tensor, ignore_id: int
    ) -> ImageMask:
        strengths = self.strengths
        size = tf.cast(tf.reverse(tf.shape(mask)[:2], [0]), tf.float32)
        values = colors.change(strengths, draw, tf.cast(image, tf.float32))
        if geometry.moves(strengths):
            matrix = geometry.draw_matrix(strengths, draw, size)
            values = geometry.sample(values, matrix, 'BILINEAR', fill=0)
            mask = geometry.sample(mask, matrix, 'NEAREST', fill=ignore_id)
        elif geometry.crops_or_mirrors(strengths):
            window = geometry.draw_window(strengths, draw, size)
            values = geometry.sample_window(values, window, 'bilinear')
            mask = tf.cast(geometry.sample_window(mask, window, 'nearest'), mask.dtype)
        values = colors.blur(strengths, draw, values)
        values = colors.add_noise(strengths, draw, values, draws.child(seed, 1))
        values, mask = cutting.cut_out(strengths, draw, values, mask, size, ignore_id)
        return tf.cast(tf.round(values), tf.uint8), mask
