"""Exports a trained model for programs that know nothing of this one.

python -m trainer.export --model_dir=RUN --format=saved_model --output_dir=OUT

A SavedModel takes uint8 RGB photos (batch, height, width, 3) of any size and returns their uint8 ids, (batch, height,
width): shrinking to the model's size and enlarging its answer are part of it. OUT/label_map.json names the ids.
"""

import json
import os
import shutil
import uuid

from absl import flags

import trainer
from seg_pipeline import command_line, durable_files, errors
from trainer import config

LABEL_MAP_FILE = 'label_map.json'

_MODEL_DIR = flags.DEFINE_string('model_dir', None, 'Directory of the run.', required=True)
_FORMAT = flags.DEFINE_enum('format', 'saved_model', ['saved_model'], 'saved_model: for TensorFlow and TF Serving.')
_OUTPUT_DIR = flags.DEFINE_string('output_dir', None, 'Where the model goes; must not exist.', required=True)


def main(argv: list[str]) -> None:
    """Checks what the user gave, then loads TensorFlow and exports."""
    if argv[1:]:
        raise errors.UserError(f'unexpected argument {argv[1]!r}; options begin with --')
    output_dir = _OUTPUT_DIR.value.rstrip('/')
    config.read(_MODEL_DIR.value)
    if os.path.lexists(output_dir):
        raise errors.UserError(f'--output_dir={output_dir} exists; remove it or choose another')
    trainer.start_tensorflow()
    try:
        export_saved_model(_MODEL_DIR.value, output_dir)
    except OSError as error:
        raise errors.UserError(f'--output_dir={output_dir} cannot be written: {error}') from error
    print(f'{output_dir}: uint8 photos (batch, height, width, 3) in, uint8 ids (batch, height, width) out;')
    print(f'the names of the ids are in {output_dir}/{LABEL_MAP_FILE}')


def export_saved_model(model_dir: str, output_dir: str) -> None:
    """Writes the model of a run as a SavedModel, whole or not at all.

    Example:
        serve = tf.saved_model.load(output_dir).serve
        ids = serve(photos)

    Args:
        model_dir: directory of the run.
        output_dir: directory to make.

    Raises:
        UserError: `model_dir` is no run with a checkpoint.
        OSError: `output_dir` cannot be written.
    """
    import keras
    import tensorflow as tf

    from trainer import checkpoints, inference

    model, run = checkpoints.load_for_inference(model_dir)

    def serve(photos: tf.Tensor) -> tf.Tensor:
        logits = model(inference.shrink(photos, run.image_size), training=False)
        return inference.ids_at_size(logits, tf.shape(photos)[1:3])

    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint('serve', serve, [tf.TensorSpec((None, None, None, 3), tf.uint8, name='photos')])
    temporary = f'{output_dir}.{uuid.uuid4().hex}{durable_files.TEMPORARY_SUFFIX}'
    try:
        archive.write_out(temporary, verbose=False)
        labels = json.dumps(run.label_map.to_json(), indent=2, ensure_ascii=False) + '\n'
        durable_files.write(os.path.join(temporary, LABEL_MAP_FILE), labels.encode())
        os.rename(temporary, output_dir)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


if __name__ == '__main__':
    command_line.run(main)
