"""Runs a model over a split, on any number of devices, and counts what it predicts."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import keras
import tensorflow as tf

from seg_pipeline.dataset.dataset_split import Split
from seg_pipeline.input import decoding, pipeline
from trainer import strategy as strategy_lib
from trainer.evaluation import confusion, metrics

# From masks, logits and the ignored id to two float32 scalars: the sum over the valid pixels, and their number.
Loss = Callable[[tf.Tensor, tf.Tensor, int], tuple[tf.Tensor, tf.Tensor]]


class Interrupted(Exception):
    """An evaluation was stopped before its end."""


class Evaluator:
    """Evaluates a model on one split as often as wanted, tracing its step once.

    The metrics come from counts of pixels, so neither the batch size nor the number of replicas changes them.

    Args:
        strategy: in whose scope `model` was made.
        model: from images to logits.
        split: what to evaluate on.
        batch_size: images in one step, over all replicas together; the replicas must divide it.
        loss: what to average over the valid pixels beside the metrics; None for no loss.
        cache_budget_bytes: keep the decoded split in memory after its first use, where it takes no more.
    """

    def __init__(
        self,
        strategy: tf.distribute.Strategy,
        model: keras.Model,
        split: Split,
        *,
        batch_size: int,
        loss: Loss | None = None,
        cache_budget_bytes: int = 0,
    ) -> None:
        self._split = split
        self.num_batches = math.ceil(split.num_records / batch_size)
        per_replica = strategy_lib.replica_batch_size(batch_size, strategy)

        def make_batches(context: tf.distribute.InputContext) -> tf.data.Dataset:
            return pipeline.eval_batches(
                split,
                batch_size=per_replica,
                num_replicas=strategy.num_replicas_in_sync,
                cache_budget_bytes=cache_budget_bytes,
                num_workers=context.num_input_pipelines,
                worker=context.input_pipeline_id,
            )

        self._batches: Iterable[Any] = strategy.distribute_datasets_from_function(make_batches)
        self._totals = EvalTotals(split.label_map.num_classes)
        self._step = make_eval_step(strategy, model, self._totals, ignore_id=split.label_map.ignore_id, loss=loss)

    @property
    def num_images(self) -> int:
        return self._split.num_records

    def run(
        self, is_stopped: Callable[[], bool] = lambda: False, show: Callable[[int], None] = lambda images: None
    ) -> tuple[metrics.Metrics, float]:
        """Returns the metrics and the mean loss per valid pixel (0 without a loss) of the model as it is now.

        Args:
            is_stopped: asked after every batch.
            show: told after every batch how many images are evaluated.

        Raises:
            Interrupted: `is_stopped` said so.
            UserError: a shard cannot be read; names the shard.
        """
        self._totals.reset()
        with decoding.naming_damaged_shards(self._split):
            for number, (images, masks) in enumerate(self._batches, start=1):
                self._step(images, masks)
                show(number * self._split.num_records // self.num_batches)
                if is_stopped():
                    raise Interrupted
        return metrics.from_confusion_matrix(self._totals.confusion.numpy()), self._totals.mean_loss()


class EvalTotals:
    """The confusion matrix and the summed loss of what was evaluated so far."""

    def __init__(self, num_classes: int) -> None:
        self.confusion = strategy_lib.host_variable(tf.zeros((num_classes, num_classes), tf.int64))
        self.loss = strategy_lib.host_variable(tf.constant(0.0, tf.float64))

    def add(self, confusion_matrix: tf.Tensor, loss: tf.Tensor) -> None:
        self.confusion.assign_add(confusion_matrix)
        self.loss.assign_add(tf.cast(loss, tf.float64))

    def reset(self) -> None:
        for variable in (self.confusion, self.loss):
            variable.assign(tf.zeros_like(variable))

    def mean_loss(self) -> float:
        """The loss per valid pixel; nan before the first one. The sum of the matrix is the number of valid pixels."""
        count = float(tf.reduce_sum(self.confusion))
        return float(self.loss) / count if count else float('nan')


def make_eval_step(
    strategy: tf.distribute.Strategy,
    model: keras.Model,
    totals: EvalTotals,
    *,
    ignore_id: int,
    loss: Loss | None = None,
) -> Callable[[Any, Any], None]:
    """Makes a step that adds one global batch of images and masks to `totals`."""

    def replica_step(images: tf.Tensor, masks: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        logits = model(images, training=False)
        loss_sum = loss(masks, logits, ignore_id)[0] if loss else tf.constant(0.0)
        return confusion.confusion_matrix(masks, logits, ignore_id), loss_sum

    def step(images: Any, masks: Any) -> None:
        # Only sums leave the replicas: a mean of the means of batches would weigh a valid pixel of a batch with few of
        # them more than the others.
        sums = strategy_lib.sum_over_replicas(strategy, strategy.run(replica_step, (images, masks)))
        totals.add(*sums)

    compiled: Callable[[Any, Any], None] = tf.function(step)
    return compiled
