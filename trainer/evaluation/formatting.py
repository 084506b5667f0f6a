"""The metrics of a split, laid out as JSON values for programs and as a table for people."""

import math
from typing import Any

from seg_pipeline.labels.label_map import LabelMap
from seg_pipeline.plurals import counted
from trainer.evaluation.metrics import Metrics

# In the file and in the table; the means over no class are null there.
_FIGURES = (
    'pixel_accuracy',
    'background_accuracy',
    'mean_iou',
    'mean_iou_present',
    'mean_iou_without_background',
    'frequency_weighted_iou',
    'mean_dice',
    'mean_recall',
)
_FIGURES_OF_CLASS = ('iou', 'dice', 'recall', 'precision')


def to_json(metrics: Metrics, label_map: LabelMap) -> dict[str, Any]:
    """Returns the metrics as JSON values.

    Null is what is not defined. `classes` has one entry for each class, and `confusion` a row for each true class, with
    the pixels that were predicted as each class.
    """
    classes = [
        {
            'id': i,
            'name': name,
            'present': bool(metrics.present[i]),
            'occurs': bool(metrics.occurs[i]),
            **{figure: _number(getattr(metrics, figure)[i]) for figure in _FIGURES_OF_CLASS},
            'support': int(metrics.support[i]),
            'predicted': int(metrics.predicted[i]),
        }
        for i, name in enumerate(label_map.names)
    ]
    return {
        'pixels': int(metrics.support.sum()),
        **{figure: _number(getattr(metrics, figure)) for figure in _FIGURES},
        'present_classes': int(metrics.present.sum()),
        'occurring_classes': int(metrics.occurs.sum()),
        'classes': classes,
        'confusion': metrics.confusion.tolist(),
    }


def table(metrics: Metrics, label_map: LabelMap) -> str:
    """Returns the metrics as lines of text.

    Every class, largest support first; those without a pixel in the truth say so; then the figures of the whole split.
    """
    width = max(len('class'), *(len(name) for name in label_map.names))
    lines = [f'{"id":>3}  {"class":<{width}}  {"IoU":>7}  {"Dice":>7}  {"recall":>7}  {"support":>12}']
    for i in sorted(range(label_map.num_classes), key=lambda i: (-metrics.support[i], i)):
        if metrics.present[i]:
            values = '  '.join(f'{column[i]:7.4f}' for column in (metrics.iou, metrics.dice, metrics.recall))
            values += f'  {metrics.support[i]:>12}'
        else:
            values = f'absent, predicted for {counted(metrics.predicted[i], "pixel")}'
        lines.append(f'{i:>3}  {label_map.names[i]:<{width}}  {values}')
    classes = counted(label_map.num_classes, 'class', 'classes')
    occurring, present = f'{metrics.occurs.sum()} of {classes}', f'{metrics.present.sum()} of {classes}'
    lines += [
        '',
        f'pixel accuracy             {metrics.pixel_accuracy:.4f}',
        f'  of background everywhere {metrics.background_accuracy:.4f}',
        f'mean IoU                   {metrics.mean_iou:.4f}   over the {occurring} in the truth or the prediction',
        f'  present classes          {metrics.mean_iou_present:.4f}   over the {present} in the truth',
        f'  without background       {metrics.mean_iou_without_background:.4f}',
        f'  weighted by frequency    {metrics.frequency_weighted_iou:.4f}',
        f'mean Dice                  {metrics.mean_dice:.4f}',
        f'mean recall                {metrics.mean_recall:.4f}   over the present classes',
    ]
    return '\n'.join(lines)


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
