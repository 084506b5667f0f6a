"""What TensorBoard shows of a run, and that a run which was killed shows nothing twice."""

import contextlib
import dataclasses
import math
import os
from collections.abc import Iterator, Mapping

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from seg_pipeline.storage import atomic
from trainer import config
from trainer.training import history

# What is drawn of every step, and of the validation after every epoch; beside them each number of `EpochRow`.
STEP_LEARNING_RATE, STEP_GRADIENT_NORM = 'step/learning_rate', 'step/gradient_norm'
PANELS, CONFUSION = 'validation/photos', 'validation/confusion'


@dataclasses.dataclass(frozen=True)
class StepRow:
    """One step.

    Attributes:
        step: steps done with it.
        learning_rate: of it.
        gradient_norm: global norm of its gradient before clipping, a float32 scalar that may be still computed.
    """

    step: int
    learning_rate: float
    gradient_norm: tf.Tensor


@contextlib.contextmanager
def writer(model_dir: str, step: int) -> Iterator[tf.summary.SummaryWriter]:
    """Opens a writer for what follows `step`, and closes it at the end of the block.

    A process that is killed between its summaries and its checkpoint leaves summaries of steps that the next process
    does again. They are taken out of the files here, because TensorBoard would draw them beside the new ones.

    Args:
        model_dir: directory of the run.
        step: of the state that the run goes on from; 0 at its start.
    """
    directory = os.path.join(model_dir, config.TENSORBOARD_DIR)
    _drop_later(directory, step)
    summaries = tf.summary.create_file_writer(directory)
    with contextlib.closing(summaries):
        yield summaries


@contextlib.contextmanager
def no_writer() -> Iterator[tf.summary.SummaryWriter]:
    """In the place of `writer`, one that writes nothing."""
    yield tf.summary.create_noop_writer()


def write_steps(summaries: tf.summary.SummaryWriter, rows: list[StepRow]) -> None:
    """Writes steps to the file."""
    with summaries.as_default():
        for row in rows:
            tf.summary.scalar(STEP_LEARNING_RATE, row.learning_rate, row.step)
            if math.isfinite(norm := float(row.gradient_norm)):  # That of a step that is left out says nothing.
                tf.summary.scalar(STEP_GRADIENT_NORM, norm, row.step)
    summaries.flush()


def write_epoch(
    summaries: tf.summary.SummaryWriter, row: history.EpochRow, pictures: Mapping[str, NDArray[np.uint8]]
) -> None:
    """Writes the numbers of an epoch, and pictures (height, width, 3) by their names, to the file."""
    with summaries.as_default(step=row.step):
        for name, value in dataclasses.asdict(row).items():
            if isinstance(value, float):
                tf.summary.scalar(name, value)
        for name, picture in pictures.items():
            tf.summary.image(name, picture[np.newaxis])
    summaries.flush()


class Profiler:
    """Writes TensorFlow's profile of some steps, for TensorBoard's plugin `profile`.

    Args:
        model_dir: directory of the run.
        steps: the first and the last, counted from 1; None for none.
    """

    def __init__(self, model_dir: str, steps: tuple[int, int] | None) -> None:
        self._directory = os.path.join(model_dir, config.TENSORBOARD_DIR)
        self._steps = steps or (0, -1)
        self._running = False

    @contextlib.contextmanager
    def step(self, number: int) -> Iterator[bool]:
        """Records what the block does, if it is one of the steps; the block is told whether it is."""
        first, last = self._steps
        if not first <= number <= last:
            yield False
            return
        if not self._running:
            tf.profiler.experimental.start(self._directory)
            self._running = True
        with tf.profiler.experimental.Trace('train', step_num=number, _r=1):
            yield True
        if number == last:
            self.close()

    def close(self) -> None:
        """Writes the profile, where one is being made."""
        if self._running:
            self._running = False
            tf.profiler.experimental.stop()


def _drop_later(directory: str, step: int) -> None:
    """Takes the events after `step` out of the files of earlier processes; also an event that was cut short."""
    if not os.path.isdir(directory):
        return
    for name in sorted(os.listdir(directory)):
        if not name.startswith('events.out.tfevents'):
            continue
        path = os.path.join(directory, name)
        events, is_whole = _read(path)
        kept = [event for event in events if tf.compat.v1.Event.FromString(event).step <= step]
        if is_whole and len(kept) == len(events):
            continue
        # The writer of TFRecord files has no end of its own: the file is written beside and renamed as a whole.
        part = f'{path}{atomic.TEMPORARY_SUFFIX}'
        with tf.io.TFRecordWriter(part) as records:
            for event in kept:
                records.write(event)
        os.replace(part, path)


def _read(path: str) -> tuple[list[bytes], bool]:
    """The events of a file up to the first that is damaged, and whether none is."""
    events = []
    try:
        for event in tf.data.TFRecordDataset(path):
            events.append(event.numpy())
    except tf.errors.OpError:
        return events, False
    return events, True
