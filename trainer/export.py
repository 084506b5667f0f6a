"""Exports a trained model for programs that know nothing of this one.

python -m trainer.export --model_dir=RUN --format=saved_model|onnx|litert --output_dir=OUT

saved_model: OUT is a SavedModel. It takes uint8 RGB photos (batch, height, width, 3) of any size and returns uint8 ids,
    (batch, height, width): shrinking to the model's size and enlarging its answer are part of it.
onnx, litert: OUT/model.onnx or OUT/model.tflite is the network alone. It takes uint8 RGB images of the model's
    size, area-averaged as `seg_pipeline.resizing.resize_image` does, and returns float32 logits (batch, height,
    width, classes).

OUT/label_map.json names the ids. OUT appears whole or not at all.
"""

import importlib.util
import os

from absl import flags

import trainer
from seg_pipeline import command_line, errors
from trainer import config

FORMATS = ('saved_model', 'onnx', 'litert')

_MODEL_DIR = flags.DEFINE_string('model_dir', None, 'Directory of the run.', required=True)
_FORMAT = flags.DEFINE_enum('format', FORMATS[0], FORMATS, 'What to write.')
_OUTPUT_DIR = flags.DEFINE_string('output_dir', None, 'Directory to make for it.', required=True)


def main(argv: list[str]) -> None:
    """Checks what the user gave, then loads TensorFlow and exports."""
    if argv[1:]:
        raise errors.UserError(f'unexpected argument {argv[1]!r}; options begin with --')
    output_dir = _OUTPUT_DIR.value.rstrip('/')
    config.read(_MODEL_DIR.value)
    if os.path.lexists(output_dir):
        raise errors.UserError(f'--output_dir={output_dir} exists; remove it or choose another')
    if _FORMAT.value == 'onnx' and importlib.util.find_spec('tf2onnx') is None:
        raise errors.UserError('--format=onnx needs tf2onnx, which is not installed: pip install tf2onnx onnx')
    trainer.start_tensorflow()
    trainer.load_tensorflow()
    from trainer.inference import exporters  # Loads TensorFlow, which takes seconds.

    try:
        exporters.export(_MODEL_DIR.value, _FORMAT.value, output_dir)
    except OSError as error:
        raise errors.UserError(f'--output_dir={output_dir} cannot be written: {error}') from error
    print(f'{_FORMAT.value}: {output_dir}; the names of its ids: {os.path.join(output_dir, exporters.LABEL_MAP_FILE)}')


if __name__ == '__main__':
    command_line.run(main)
