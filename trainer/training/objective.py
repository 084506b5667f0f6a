"""What training minimizes: a weighted sum of losses, as a function of sums over the pixels of a batch."""

import dataclasses
from collections.abc import Mapping

import tensorflow as tf

from trainer import config
from trainer.training import losses

Sums = dict[str, tf.Tensor]

PIXELS = 'pixels'
CROSS_ENTROPY = 'plain_cross_entropy'
_HARD_PIXELS = 'hard_pixels'


@dataclasses.dataclass(frozen=True)
class Objective:
    """A loss of a batch, from which each replica's part of the gradient follows.

    With the valid pixels V of the batch, and of a pixel p the class c, its probability q_p and its weight a_c:

        cross_entropy  (1 / |V|) sum_p a_c (-(1 - s) log q_p - s mean of the log of all probabilities of p)
        focal          (1 / |V|) sum_p a_c (1 - q_p) ** g (-log q_p)
        tversky        mean over the classes present of 1 - I / (I + t (P - I) + (1 - t) (Y - I))
        dice           the same with t = 1/2, which is 1 - 2 I / (P + Y)

    with s = label_smoothing, g = focal_gamma and t = tversky_alpha. Y is the number of valid pixels of a class, P the
    sum of its probability over all valid pixels, and I the sum over its own. So P - I is what is falsely positive and
    Y - I what is falsely negative. A class is present if Y is not 0. Focal loss: Lin et al., arXiv:1708.02002; dice:
    Milletari et al., arXiv:1606.04797; Tversky: Salehi et al., arXiv:1706.05721.

    With a hard_pixel_share below 1, cross_entropy and focal are means over that share of the valid pixels of each
    image, those with the largest loss. It is a share of an image, not of a batch: which pixels are the hardest of a
    batch, a replica could not know without the pixels of all others.

    Attributes:
        ignore_id: pixels with this id do not count.
        terms: the weight of each loss, by its name in `config.LOSSES`.
        class_weights: of each class, by id; empty for 1.
        label_smoothing: as above.
        focal_gamma: as above.
        tversky_alpha: as above.
        hard_pixel_share: above 0 to 1.
    """

    ignore_id: int
    terms: Mapping[str, float] = dataclasses.field(default_factory=lambda: {'cross_entropy': 1.0})
    class_weights: tuple[float, ...] = ()
    label_smoothing: float = 0.0
    focal_gamma: float = 2.0
    tversky_alpha: float = 0.3
    hard_pixel_share: float = 1.0

    @classmethod
    def of(cls, recipe: config.Recipe, ignore_id: int, class_weights: tuple[float, ...] = ()) -> 'Objective':
        """The objective of a recipe."""
        return cls(
            ignore_id=ignore_id,
            terms=config.parse_loss(recipe.loss),
            class_weights=class_weights,
            label_smoothing=recipe.label_smoothing,
            focal_gamma=recipe.focal_gamma,
            tversky_alpha=recipe.tversky_alpha,
            hard_pixel_share=recipe.hard_pixel_share,
        )

    def sums(self, masks: tf.Tensor, logits: tf.Tensor) -> Sums:
        """Sums over the pixels of a batch, or over a replica's part of it.

        Args:
            masks: integer ids (batch, height, width, 1).
            logits: floats (batch, height, width, num_classes).

        Returns:
            By name: each of `config.PIXEL_LOSSES`, `Pixels.regions` if there is another loss, and always `PIXELS`, the
            number of valid pixels, and `CROSS_ENTROPY`, as `losses.cross_entropy` sums it.

        Raises:
            ValueError: the shapes or types do not fit each other.
        """
        pixels = losses.Pixels.of(masks, logits, self.ignore_id)
        sums: Sums = {PIXELS: pixels.count(), CROSS_ENTROPY: pixels.sum(pixels.cross_entropy)}
        for name in config.PIXEL_LOSSES:
            if name in self.terms and self.hard_pixel_share < 1:
                sums[name], sums[_HARD_PIXELS] = pixels.sum_of_hardest(
                    self._values(name, pixels), self.hard_pixel_share
                )
            elif name in self.terms:
                sums[name] = pixels.sum(self._values(name, pixels))
        if set(config.REGION_LOSSES) & self.terms.keys():
            sums |= pixels.regions()
        return sums

    def value(self, sums: Sums) -> tf.Tensor:
        """The loss times the number of valid pixels, a float32 scalar: of a plain cross-entropy simply its sum.

        Args:
            sums: over all pixels of the batch.
        """
        pixels = tf.cast(sums[PIXELS], tf.float32)
        counted = tf.cast(sums.get(_HARD_PIXELS, sums[PIXELS]), tf.float32)
        total = tf.constant(0.0)
        for name, weight in self.terms.items():
            if name in config.PIXEL_LOSSES:
                # The quotient is 1 without hard pixels. It comes first, so that it is exactly 1.
                total += weight * tf.math.divide_no_nan(pixels, counted) * sums[name]
            else:
                total += weight * pixels * _overlap_loss(sums, 0.5 if name == 'dice' else self.tversky_alpha)
        return total

    def derivatives(self, sums: Sums) -> Sums:
        """The derivative of `value` by each sum that the weights of a network can change.

        Args:
            sums: over all pixels of the batch.
        """
        variable = {name: sum_ for name, sum_ in sums.items() if name in (*config.PIXEL_LOSSES, 'predicted', 'overlap')}
        with tf.GradientTape() as tape:
            tape.watch(variable)
            value = self.value({**sums, **variable})
        derivatives: Sums = tape.gradient(value, variable)
        return derivatives

    def _values(self, name: str, pixels: losses.Pixels) -> tf.Tensor:
        """The loss of each pixel, float32 (batch, height, width)."""
        if name == 'focal':
            values = pixels.focal(self.focal_gamma)
        elif self.label_smoothing:
            values = pixels.smoothed_cross_entropy(self.label_smoothing)
        else:
            values = pixels.cross_entropy
        return values * tf.gather(tf.constant(self.class_weights), pixels.ids) if self.class_weights else values


def _overlap_loss(sums: Sums, alpha: float) -> tf.Tensor:
    """The Tversky loss of the batch; 0 where no class is present."""
    true, predicted, overlap = sums['true'], sums['predicted'], sums['overlap']
    false_positive, false_negative = predicted - overlap, true - overlap
    index = tf.math.divide_no_nan(overlap, overlap + alpha * false_positive + (1 - alpha) * false_negative)
    present = tf.cast(true > 0, tf.float32)
    return tf.math.divide_no_nan(tf.reduce_sum(present * (1 - index)), tf.reduce_sum(present))
