"""Exports a trained model for programs that do not have this package.

python -m trainer.export --model_dir=RUN --format=saved_model|onnx|litert --output_dir=OUT

saved_model: OUT is a SavedModel. It takes uint8 RGB images (batch, height, width, 3) of any size and returns uint8 ids,
    (batch, height, width): shrinking to the model's size and enlarging its answer are part of it.
onnx, litert: OUT/model.onnx or OUT/model.tflite is the network alone. It takes uint8 RGB images of the model's
    size, area-averaged as `seg_pipeline.imaging.resizing.resize_image` does, and returns float32 logits (batch, height,
    width, classes).

OUT/label_map.json names the ids. OUT appears complete or not at all.
"""

import os

from absl import flags

from seg_pipeline import command_line, errors
from trainer import jobs, tensorflow_setup
from trainer.inference import export_formats

_MODEL_DIR = flags.DEFINE_string('model_dir', None, 'Directory of the run.', required=True)
_FORMAT = flags.DEFINE_enum('format', export_formats.FORMATS[0], export_formats.FORMATS, 'What to write.')
_OUTPUT_DIR = flags.DEFINE_string('output_dir', None, 'Directory to make for it.', required=True)


def main(argv: list[str]) -> None:
    """Reads the flags and exports."""
    tensorflow_setup.start_tensorflow()
    if argv[1:]:
        raise errors.UserError(f'unexpected argument {argv[1]!r}; options begin with --')
    file_format, output_dir = _FORMAT.value, _OUTPUT_DIR.value
    jobs.export(_MODEL_DIR.value, file_format, output_dir)
    labels = os.path.join(output_dir, export_formats.LABEL_MAP_FILE)
    print(f'{file_format}: {output_dir}; the names of its ids: {labels}')


if __name__ == '__main__':
    command_line.run(main)
