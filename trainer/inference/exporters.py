"""Trained models as files for other programs; `trainer.export` says what is in them."""

import contextlib
import fcntl
import glob
import json
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf

from seg_pipeline import errors
from seg_pipeline.imaging import resizing
from seg_pipeline.storage import atomic
from trainer import config
from trainer.inference import export_formats, predictor
from trainer.models import trained

_YOUNG_SECONDS = 60  # a younger directory may be one that its writer has not locked yet


def export(model_dir: str, file_format: str, output_dir: str) -> None:
    """Writes the model of a run. The directory appears complete or not at all.

    Example:
        export('runs/article', 'saved_model', 'exported')
        model = tf.saved_model.load('exported')
        ids = model.serve(images)

    Args:
        model_dir: directory of the run.
        file_format: one of `export_formats.FORMATS`.
        output_dir: directory to make.

    Raises:
        UserError: `model_dir` is no run with a checkpoint, or was trained on images that were not squashed.
        OSError: `output_dir` cannot be written.
    """
    model, run = trained.load(model_dir)
    if run.data.resize != resizing.DEFAULT_MODE:  # What is exported squashes the images that it is given.
        raise errors.UserError(
            f'{model_dir} was trained on images made with --resize={run.data.resize}; '
            f'only {resizing.DEFAULT_MODE} can be exported; trainer.predict takes this run'
        )
    with _appearing(output_dir) as directory:
        _WRITERS[file_format](model, run, directory)
        labels = json.dumps(run.label_map.to_json(), indent=2, ensure_ascii=False) + '\n'
        atomic.write(os.path.join(directory, export_formats.LABEL_MAP_FILE), labels.encode())


@contextlib.contextmanager
def _appearing(path: str) -> Iterator[str]:
    """Makes a directory under another name; it gets its own when the block ends without an exception.

    What killed commands have left of the same directory is removed. A lock, which the kernel releases when a process
    ends in any way, tells theirs from those in use.
    """
    temporary = f'{path}.{uuid.uuid4().hex}{atomic.TEMPORARY_SUFFIX}'
    try:
        os.makedirs(temporary)  # in the block: a signal can end it at any line
        with _locked(temporary):
            _remove_abandoned(path)
            yield temporary
            os.rename(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _remove_abandoned(path: str) -> None:
    for found in glob.glob(f'{glob.escape(path)}.*{atomic.TEMPORARY_SUFFIX}'):
        if not atomic.TEMPORARY_NAME.fullmatch(os.path.basename(found)):
            continue
        with contextlib.suppress(OSError):
            if time.time() - os.stat(found).st_mtime > _YOUNG_SECONDS:
                with _locked(found):  # raises BlockingIOError while its writer holds it
                    shutil.rmtree(found)


@contextlib.contextmanager
def _locked(directory: str) -> Iterator[None]:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def _write_saved_model(model: keras.Model, run: config.RunConfig, directory: str) -> None:
    def serve(photos: tf.Tensor) -> tf.Tensor:
        logits = model(predictor.shrink(photos, run.image_size), training=False)
        return predictor.ids_at_size(logits, tf.shape(photos)[1:3])

    # The name of the input is a part of what callers of the SavedModel see, so it does not change with the code here.
    _archive(model, serve, tf.TensorSpec((None, None, None, 3), tf.uint8, name='photos'), directory)


def _write_onnx(model: keras.Model, run: config.RunConfig, directory: str) -> None:
    import tf2onnx

    with _network(model, run) as network:
        loaded = tf.saved_model.load(network)
        path = os.path.join(directory, export_formats.ONNX_FILE)
        tf2onnx.convert.from_function(loaded.serve, [_images_spec(run)], output_path=path)


def _write_litert(model: keras.Model, run: config.RunConfig, directory: str) -> None:
    with _network(model, run) as network:
        converted = tf.lite.TFLiteConverter.from_saved_model(network).convert()
    atomic.write(os.path.join(directory, export_formats.LITERT_FILE), converted)


_WRITERS: dict[str, Callable[[keras.Model, config.RunConfig, str], None]] = {
    export_formats.SAVED_MODEL: _write_saved_model,
    export_formats.ONNX: _write_onnx,
    export_formats.LITERT: _write_litert,
}


@contextlib.contextmanager
def _network(model: keras.Model, run: config.RunConfig) -> Iterator[str]:
    """Yields a temporary SavedModel of the network alone.

    Given the model itself, the converters lose its constants (tf2onnx) or its weights (LiteRT).
    """
    with _temporary_directory() as directory:
        network = os.path.join(directory, 'network')
        _archive(model, lambda images: {'logits': model(images, training=False)}, _images_spec(run), network)
        yield network


@contextlib.contextmanager
def _temporary_directory() -> Iterator[str]:
    """A directory for what the block and the libraries that it calls keep for a while; a signal leaves none."""
    # Not by `mkdtemp`: a signal can come when the directory is there and its name has not been returned.
    before, path = tempfile.tempdir, os.path.join(tempfile.gettempdir(), f'export-{uuid.uuid4().hex}')
    try:
        os.mkdir(path)
        tempfile.tempdir = path
        yield path
    finally:
        tempfile.tempdir = before
        try:
            shutil.rmtree(path, ignore_errors=True)
        except KeyboardInterrupt:
            shutil.rmtree(path, ignore_errors=True)
            raise


def _images_spec(run: config.RunConfig) -> tf.TensorSpec:
    return tf.TensorSpec((None, *run.image_size, 3), tf.uint8, name='images')


def _archive(model: keras.Model, serve: Callable[[tf.Tensor], Any], spec: tf.TensorSpec, directory: str) -> None:
    """Writes a SavedModel whose one endpoint is `serve`."""
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint('serve', serve, [spec])
    archive.write_out(directory, verbose=False)
