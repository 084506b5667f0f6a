"""What TensorBoard shows of a run, and that a run which was killed shows nothing twice."""

import contextlib
import os
from collections.abc import Iterator

import tensorflow as tf

from seg_pipeline.storage import atomic
from trainer import config


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
