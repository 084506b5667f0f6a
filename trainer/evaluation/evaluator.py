"""Evaluates a model on a split, and lays the figures out for people and for programs."""

import math
from collections.abc import Iterable
from typing import Any

import keras
import tensorflow as tf

from seg_pipeline.dataset import manifest as manifest_lib
from seg_pipeline.input import pipeline
from seg_pipeline.labels import label_map as label_map_lib
from trainer.evaluation import metrics
from trainer.training import steps


class Evaluator:
    """Evaluates a model on one split as often as wanted, tracing its step once.

    The figures come from counts of pixels, so neither the batch size nor the number of replicas changes them.

    Args:
        strategy: in whose scope `model` was made.
        model: from images to logits.
        data_dir: directory of the data set.
        manifest: its manifest.
        split: name of the split.
        batch_size: images in one step, over all replicas together; the replicas must divide it.
        cache_budget_bytes: keep the decoded split in memory after its first use, where it takes no more.
    """

    def __init__(
        self,
        strategy: tf.distribute.Strategy,
        model: keras.Model,
        data_dir: str,
        manifest: manifest_lib.Manifest,
        split: str,
        *,
        batch_size: int,
        cache_budget_bytes: int = 0,
    ) -> None:
        self._source = (data_dir, manifest, split)
        replicas = strategy.num_replicas_in_sync

        def make_batches(context: tf.distribute.InputContext) -> tf.data.Dataset:
            return pipeline.eval_batches(
                *self._source,
                batch_size=batch_size // replicas,
                num_replicas=replicas,
                cache_budget_bytes=cache_budget_bytes,
                num_workers=context.num_input_pipelines,
                worker=context.input_pipeline_id,
            )

        self._batches: Iterable[Any] = strategy.distribute_datasets_from_function(make_batches)
        self._totals = steps.EvalTotals(manifest.label_map.num_classes)
        self._step = steps.make_eval_step(strategy, model, self._totals, ignore_id=manifest.label_map.ignore_id)

    def run(self) -> tuple[metrics.Figures, float]:
        """Returns the figures and the mean cross-entropy of the model as it is now."""
        self._totals.reset()
        with pipeline.naming_damaged_shards(*self._source):
            for images, masks in self._batches:
                self._step(images, masks)
        return metrics.figures(self._totals.confusion.numpy()), self._totals.mean_loss()


def to_json(figures: metrics.Figures, label_map: label_map_lib.LabelMap) -> dict[str, Any]:
    """Returns the figures as JSON values: null for what is not defined, a list with one entry for each class."""
    classes = [
        {
            'id': i,
            'name': name,
            'present': bool(figures.present[i]),
            'iou': _number(figures.iou[i]),
            'dice': _number(figures.dice[i]),
            'recall': _number(figures.recall[i]),
            'support': int(figures.support[i]),
            'predicted': int(figures.predicted[i]),
        }
        for i, name in enumerate(label_map.names)
    ]
    return {
        'pixels': int(figures.support.sum()),
        'pixel_accuracy': _number(figures.pixel_accuracy),
        'background_accuracy': _number(figures.background_accuracy),
        'mean_iou': _number(figures.mean_iou),
        'mean_iou_without_background': _number(figures.mean_iou_without_background),
        'mean_recall': _number(figures.mean_recall),
        'present_classes': int(figures.present.sum()),
        'classes': classes,
    }


def table(figures: metrics.Figures, label_map: label_map_lib.LabelMap) -> str:
    """Returns the figures as lines of text: every class, largest support first, absent ones named, then the means."""
    width = max(len('class'), *(len(name) for name in label_map.names))
    lines = [f'{"id":>3}  {"class":<{width}}  {"IoU":>7}  {"Dice":>7}  {"recall":>7}  {"support":>12}']
    for i in sorted(range(label_map.num_classes), key=lambda i: (-figures.support[i], i)):
        if figures.present[i]:
            values = '  '.join(f'{column[i]:7.4f}' for column in (figures.iou, figures.dice, figures.recall))
            values += f'  {figures.support[i]:>12}'
        else:
            values = f'absent, predicted for {figures.predicted[i]} pixels'
        lines.append(f'{i:>3}  {label_map.names[i]:<{width}}  {values}')
    present = f'{figures.present.sum()} of {label_map.num_classes} classes present'
    lines += [
        '',
        f'pixel accuracy             {figures.pixel_accuracy:.4f}',
        f'  of background everywhere {figures.background_accuracy:.4f}',
        f'mean IoU                   {figures.mean_iou:.4f}   over {present}',
        f'  without background       {figures.mean_iou_without_background:.4f}',
        f'mean recall                {figures.mean_recall:.4f}',
    ]
    return '\n'.join(lines)


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
