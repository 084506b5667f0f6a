"""The formats of an exported model: their names, their files and what they need. Read without TensorFlow."""

import importlib.util

from seg_pipeline import errors

SAVED_MODEL, ONNX, LITERT = 'saved_model', 'onnx', 'litert'
FORMATS = (SAVED_MODEL, ONNX, LITERT)

LABEL_MAP_FILE = 'label_map.json'  # Beside the model, in every format.
ONNX_FILE = 'model.onnx'
LITERT_FILE = 'model.tflite'


def check_installed(file_format: str) -> None:
    """Raises `UserError` if a format needs a package that is not installed, or is none of `FORMATS`."""
    if file_format not in FORMATS:
        raise errors.UserError(f'unknown --format={file_format}; known are {", ".join(FORMATS)}')
    if file_format == ONNX and importlib.util.find_spec('tf2onnx') is None:
        raise errors.UserError('--format=onnx needs tf2onnx, which is not installed: pip install tf2onnx onnx')
