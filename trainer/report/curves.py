"""The curves of a run: what history.csv says, drawn."""

import io
import os
from typing import TYPE_CHECKING

from seg_pipeline import errors
from seg_pipeline.storage import atomic
from trainer.training import history, schedules

if TYPE_CHECKING:
    from matplotlib import axes

FILE = 'curves.png'
_TRAINING_COLOR, _VALIDATION_COLOR, _NOTE_COLOR = '#1f5fa8', '#d9622b', '#707070'
_DOTS_PER_INCH = 120


def draw_curves(model_dir: str) -> str:
    """Draws accuracy and loss of every epoch, of training and validation, with the start of fine-tuning marked.

    Args:
        model_dir: directory of a run that has completed an epoch.

    Returns:
        The path of the picture, RUN/curves.png.

    Raises:
        UserError: the run has no history yet.
    """
    from matplotlib.figure import Figure  # Takes a second; and the object interface needs no display.

    rows = history.read(model_dir)
    if not rows:
        raise errors.UserError(
            f'{os.path.join(model_dir, history.FILE)} does not exist: trainer.train has not finished an epoch'
        )
    figure = Figure(figsize=(10, 4), layout='constrained')
    accuracy, loss = figure.subplots(1, 2)
    _draw(accuracy, rows, 'accuracy', 'Pixel accuracy')
    _draw(loss, rows, 'loss', 'Loss (cross-entropy)')
    loss.set_ylim(bottom=0)
    figure.legend(*accuracy.get_legend_handles_labels(), loc='outside lower center', ncols=3, frameon=False)
    picture = io.BytesIO()
    figure.savefig(picture, format='png', dpi=_DOTS_PER_INCH)
    path = os.path.join(model_dir, FILE)
    atomic.write(path, picture.getvalue())
    return path


def _draw(axes: 'axes.Axes', rows: list[dict[str, str]], column: str, title: str) -> None:
    """Draws one metric of each epoch, and that of validation where the run has it."""
    from matplotlib import ticker

    curves = (('training', column, _TRAINING_COLOR), ('validation', f'val_{column}', _VALIDATION_COLOR))
    for label, name, color in curves:
        points = [(int(row['epoch']), float(row[name])) for row in rows if row[name]]
        if points:
            axes.plot(*zip(*points, strict=True), color=color, label=label, marker='o', markersize=3)
    _mark_fine_tuning(axes, rows)
    axes.set_title(title, loc='left', fontweight='bold')
    axes.set_xlabel('epoch')
    axes.xaxis.set_major_locator(ticker.MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(axis='y', alpha=0.3)
    axes.spines[['top', 'right']].set_visible(False)


def _mark_fine_tuning(axes: 'axes.Axes', rows: list[dict[str, str]]) -> None:
    """Draws a line between the last frozen epoch and the first that fine-tunes the encoder, where there are both."""
    first = next((int(row['epoch']) for row in rows if row['phase'] == schedules.FINE_TUNE), None)
    if first is None or rows[0]['phase'] == schedules.FINE_TUNE:
        return
    # Half an epoch before: the line stands between the points of two epochs and belongs to neither.
    label = f'fine-tuning from epoch {first}'
    axes.axvline(first - 0.5, color=_NOTE_COLOR, linestyle='--', linewidth=1, label=label)
