"""Sums over pixels that losses are made of (see `objective`); those of replicas add up to those of the batch."""

import dataclasses

import tensorflow as tf

from trainer.evaluation import confusion

_LEAST = 1e-7  # Keeps the derivative of a power of 0 finite.


def cross_entropy(masks: tf.Tensor, logits: tf.Tensor, ignore_id: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Sums the cross-entropy of all pixels that are not ignored.

    For a pixel of class c with the logits z it is log(sum_k exp(z_k)) - z_c, computed in float32.

    Example:
        >>> cross_entropy(tf.zeros((1, 2, 2, 1), tf.uint8), tf.zeros((1, 2, 2, 4)), ignore_id=255)  # 4 log 4 and 4

    Args:
        masks: integer ids (batch, height, width, 1), in 0..num_classes - 1 or `ignore_id`.
        logits: floats (batch, height, width, num_classes).
        ignore_id: pixels with this id do not count.

    Returns:
        Two scalars: the sum over the valid pixels in nats, float32, and their number, int64.

    Raises:
        ValueError: the shapes or types do not fit each other.
    """
    pixels = Pixels.of(masks, logits, ignore_id)
    return pixels.sum(pixels.cross_entropy), pixels.count()


@dataclasses.dataclass(frozen=True)
class Pixels:
    """The pixels of a batch, or of the part of it that a replica has.

    Attributes:
        ids: int32 (batch, height, width), the class; 0 where the pixel is ignored.
        valid: bool (batch, height, width), whether it is not.
        logits: float32 (batch, height, width, num_classes).
        cross_entropy: float32 (batch, height, width), -log of the probability of the class.
    """

    ids: tf.Tensor
    valid: tf.Tensor
    logits: tf.Tensor
    cross_entropy: tf.Tensor

    @classmethod
    def of(cls, masks: tf.Tensor, logits: tf.Tensor, ignore_id: int) -> 'Pixels':
        """Makes them of what `cross_entropy` takes, with its errors."""
        confusion.check_shapes(masks, logits)
        ids = tf.cast(tf.squeeze(masks, -1), tf.int32)
        valid = tf.not_equal(ids, ignore_id)
        # The ignored id is outside of the table, where the op gives nan (on a GPU) or an error (on a CPU). Class 0
        # replaces it here, and `sum` leaves these pixels out, which gives them the gradient 0.
        ids, logits = tf.where(valid, ids, 0), tf.cast(logits, tf.float32)
        return cls(ids, valid, logits, tf.nn.sparse_softmax_cross_entropy_with_logits(labels=ids, logits=logits))

    @property
    def num_classes(self) -> int:
        classes: int = self.logits.shape[-1]
        return classes

    def count(self) -> tf.Tensor:
        """The number of valid pixels, int64: a float32 counts no further than 2**24, 64 images of 512x512."""
        return tf.math.count_nonzero(self.valid)

    def smoothed_cross_entropy(self, smoothing: float) -> tf.Tensor:
        """Cross-entropy with a target of which the part `smoothing` is spread evenly over all classes.

        With L = log(sum_k exp(z_k)), the mean of -log of all probabilities is L - mean(z), and the cross-entropy is
        L - z_c.
        """
        mean = tf.reduce_mean(self.logits, axis=-1)
        of_class = tf.gather(self.logits, self.ids, axis=-1, batch_dims=3)
        return self.cross_entropy + smoothing * (of_class - mean)

    def focal(self, gamma: float) -> tf.Tensor:
        """Cross-entropy times (1 - q) ** gamma, with the probability q of the class."""
        missing = tf.maximum(-tf.math.expm1(-self.cross_entropy), _LEAST)
        return missing**gamma * self.cross_entropy

    def sum(self, values: tf.Tensor) -> tf.Tensor:
        """The sum of `values` over the valid pixels."""
        return tf.reduce_sum(tf.where(self.valid, values, 0.0))

    def sum_of_hardest(self, values: tf.Tensor, share: float) -> tuple[tf.Tensor, tf.Tensor]:
        """The sum of the largest values of each image, and how many those are, int64.

        Of an image with v valid pixels they are share * v, rounded, and at least one of those that there are.
        """
        pixels = values.shape[1] * values.shape[2]
        valid = tf.reshape(self.valid, (-1, pixels))
        counts = tf.math.count_nonzero(valid, axis=1)
        kept = tf.cast(tf.round(share * tf.cast(counts, tf.float64)), tf.int64)
        kept = tf.minimum(tf.maximum(kept, 1), counts)
        # Ignored pixels come last, and are no part of the sum.
        values = tf.where(valid, tf.reshape(values, (-1, pixels)), -float('inf'))
        is_kept = tf.range(pixels, dtype=tf.int64) < kept[:, tf.newaxis]
        hardest = tf.sort(values, direction='DESCENDING')
        return tf.reduce_sum(tf.where(is_kept, hardest, 0.0)), tf.reduce_sum(kept)

    def regions(self) -> dict[str, tf.Tensor]:
        """Sums of each class, float32 (num_classes,) each.

        Returns:
            `true`: its valid pixels; `predicted`: of its probability over all valid pixels; `overlap`: of that over its
            own.
        """
        classes, valid = self.num_classes, tf.cast(self.valid, tf.float32)
        ids = tf.reshape(self.ids, [-1])
        probabilities = tf.nn.softmax(self.logits) * valid[..., tf.newaxis]
        of_class = tf.exp(-self.cross_entropy) * valid
        return {
            'true': tf.math.unsorted_segment_sum(tf.reshape(valid, [-1]), ids, classes),
            'predicted': tf.reduce_sum(probabilities, axis=(0, 1, 2)),
            'overlap': tf.math.unsorted_segment_sum(tf.reshape(of_class, [-1]), ids, classes),
        }
