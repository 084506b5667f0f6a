"""RUN/history.csv: one row for each completed epoch."""

import csv
import dataclasses
import io
import os

from seg_pipeline.storage import atomic

FILE = 'history.csv'


@dataclasses.dataclass(frozen=True)
class Validation:
    """What the validation split says after an epoch, as in `EpochRow`; all None where there is no such split."""

    val_loss: float | None = None
    val_accuracy: float | None = None
    val_mean_iou: float | None = None
    val_mean_iou_present: float | None = None


@dataclasses.dataclass(frozen=True)
class EpochRow:
    """One epoch. The val_ columns are None (empty in the file) where the data has no validation split.

    Attributes:
        epoch: counted from 1.
        phase: a name of `schedules`.
        step: optimizer steps done at its end.
        learning_rate: of its last step.
        loss: mean cross-entropy of its training pixels, in nats, as the weights were at each step.
        accuracy: of the same pixels.
        val_loss: after the epoch.
        val_accuracy: after the epoch.
        val_mean_iou: after the epoch, over the classes that occur in the truth or in the prediction.
        images_per_second: while training; of the part since a resume, where the epoch was resumed in its middle.
        seconds: training and validation; likewise.
        input_wait_share: part of the training time that was spent waiting for input, 0 to 1; likewise. None where
            several steps were done in one call, within which that is not seen.
        val_mean_iou_present: after the epoch, over the classes that occur in the truth.
    """

    epoch: int
    phase: str
    step: int
    learning_rate: float
    loss: float
    accuracy: float
    val_loss: float | None
    val_accuracy: float | None
    val_mean_iou: float | None
    images_per_second: float
    seconds: float
    input_wait_share: float | None
    val_mean_iou_present: float | None


COLUMNS = tuple(field.name for field in dataclasses.fields(EpochRow))


def append(model_dir: str, row: EpochRow) -> None:
    """Adds a row, dropping those of its own and later epochs: a resumed run does them again.

    The complete file is written anew and renamed into place, so that a reader never sees a part of a row.
    """
    kept = [old for old in read(model_dir) if int(old['epoch']) < row.epoch]
    new = {name: _format(value) for name, value in dataclasses.asdict(row).items()}
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator='\n')
    writer.writeheader()
    writer.writerows([*kept, new])
    atomic.write(os.path.join(model_dir, FILE), text.getvalue().encode())


def read(model_dir: str) -> list[dict[str, str]]:
    """Reads the rows as the file has them, text by column name, in the order of the epochs; none before the first."""
    path = os.path.join(model_dir, FILE)
    if not os.path.exists(path):
        return []
    with open(path, encoding='utf-8', newline='') as file:
        return list(csv.DictReader(file))


def as_written(value: float) -> float:
    """A number as whoever reads it from the file gets it."""
    return float(_format(value))


def _format(value: object) -> str:
    if value is None:
        return ''
    return f'{value:.6g}' if isinstance(value, float) else str(value)
