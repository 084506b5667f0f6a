"""What TensorBoard reads of a run that was killed, by its own reader."""

import pathlib

import tensorflow as tf
from tensorboard.backend.event_processing import event_accumulator

from trainer.training import summaries


def _write(model_dir, begin, values):
    with summaries.writer(str(model_dir), begin) as writer, writer.as_default():
        for step, value in enumerate(values, start=begin + 1):
            tf.summary.scalar('loss', value, step=step)


def _read(model_dir):
    found = event_accumulator.EventAccumulator(str(model_dir / 'tensorboard'), purge_orphaned_data=False)
    found.Reload()
    return sorted((event.step, tf.make_ndarray(event.tensor_proto).item()) for event in found.Tensors('loss'))


def _files(model_dir):
    return sorted(pathlib.Path(model_dir, 'tensorboard').iterdir())


def test_what_is_done_again_is_there_once(tmp_path):
    _write(tmp_path, 0, [1.0, 2.0, 3.0])
    _write(tmp_path, 3, [4.0, 5.0])
    _write(tmp_path, 1, [20.0, 30.0])
    assert _read(tmp_path) == [(1, 1.0), (2, 20.0), (3, 30.0)]


def test_an_event_that_was_cut_short_goes_and_the_others_stay(tmp_path):
    _write(tmp_path, 0, [1.0, 2.0, 3.0])
    (path,) = _files(tmp_path)
    path.write_bytes(path.read_bytes()[:-5])
    _write(tmp_path, 2, [30.0])
    assert _read(tmp_path) == [(1, 1.0), (2, 2.0), (3, 30.0)]


def test_files_with_nothing_to_drop_are_left_alone(tmp_path):
    _write(tmp_path, 0, [1.0, 2.0])
    (path,) = _files(tmp_path)
    other = tmp_path / 'tensorboard' / 'notes.txt'
    other.write_text('mine')
    before = path.stat()
    _write(tmp_path, 2, [3.0])
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert other.read_text() == 'mine'
