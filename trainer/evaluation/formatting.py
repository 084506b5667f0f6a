"""The metrics of a split, laid out as JSON values for programs and as a table for people."""

import math
from typing import Any

from seg_pipeline.labels.label_map import LabelMap
from trainer.evaluation.metrics import Metrics


def to_json(metrics: Metrics, label_map: LabelMap) -> dict[str, Any]:
    """Returns the metrics as JSON values: null for what is not defined, a list with one entry for each class."""
    classes = [
        {
            'id': i,
            'name': name,
            'present': bool(metrics.present[i]),
            'iou': _number(metrics.iou[i]),
            'dice': _number(metrics.dice[i]),
            'recall': _number(metrics.recall[i]),
            'support': int(metrics.support[i]),
            'predicted': int(metrics.predicted[i]),
        }
        for i, name in enumerate(label_map.names)
    ]
    return {
        'pixels': int(metrics.support.sum()),
        'pixel_accuracy': _number(metrics.pixel_accuracy),
        'background_accuracy': _number(metrics.background_accuracy),
        'mean_iou': _number(metrics.mean_iou),
        'mean_iou_without_background': _number(metrics.mean_iou_without_background),
        'mean_recall': _number(metrics.mean_recall),
        'present_classes': int(metrics.present.sum()),
        'classes': classes,
    }


def table(metrics: Metrics, label_map: LabelMap) -> str:
    """Returns the metrics as lines of text: every class, largest support first, absent ones named, then the means."""
    width = max(len('class'), *(len(name) for name in label_map.names))
    lines = [f'{"id":>3}  {"class":<{width}}  {"IoU":>7}  {"Dice":>7}  {"recall":>7}  {"support":>12}']
    for i in sorted(range(label_map.num_classes), key=lambda i: (-metrics.support[i], i)):
        if metrics.present[i]:
            values = '  '.join(f'{column[i]:7.4f}' for column in (metrics.iou, metrics.dice, metrics.recall))
            values += f'  {metrics.support[i]:>12}'
        else:
            values = f'absent, predicted for {metrics.predicted[i]} pixels'
        lines.append(f'{i:>3}  {label_map.names[i]:<{width}}  {values}')
    present = f'{metrics.present.sum()} of {label_map.num_classes} classes present'
    lines += [
        '',
        f'pixel accuracy             {metrics.pixel_accuracy:.4f}',
        f'  of background everywhere {metrics.background_accuracy:.4f}',
        f'mean IoU                   {metrics.mean_iou:.4f}   over {present}',
        f'  without background       {metrics.mean_iou_without_background:.4f}',
        f'mean recall                {metrics.mean_recall:.4f}',
    ]
    return '\n'.join(lines)


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
