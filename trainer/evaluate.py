"""Evaluates a trained model on a split of a data set, with a figure for every class.

python -m trainer.evaluate --model_dir=RUN --data_dir=DATASET_DIR [--split=validation] [flags]

Writes RUN/evaluation/<split>.json and prints the same as a table.
"""

import json
import os

from absl import flags

import trainer
from seg_pipeline import command_line, errors
from seg_pipeline.dataset import manifest as manifest_lib
from seg_pipeline.storage import atomic
from trainer import config

_EXECUTION = config.Execution()

_DATA_DIR = flags.DEFINE_string(
    'data_dir', None, 'Directory of the data set, as prepare_dataset printed it.', required=True
)
_MODEL_DIR = flags.DEFINE_string('model_dir', None, 'Directory of the run.', required=True)
_SPLIT = flags.DEFINE_string('split', config.VALIDATION_SPLIT, 'Split to evaluate on.')
_CHECKPOINT = flags.DEFINE_enum(
    'checkpoint', 'best', ['best', 'latest'], 'best: the model at its largest validation mean IoU.'
)
_BATCH_SIZE = flags.DEFINE_integer(
    'batch_size', 64, 'Global batch size: images in one step over all devices. Changes the speed, not the figures.', 1
)
_STRATEGY = flags.DEFINE_enum(
    'strategy', _EXECUTION.strategy, list(config.STRATEGIES), 'auto: all GPUs, mirrored where there are several.'
)
_VIRTUAL_DEVICES = flags.DEFINE_integer(
    'virtual_devices', _EXECUTION.virtual_devices, 'Split the CPU into this many devices; 0: do not.', 0
)


def main(argv: list[str]) -> None:
    """Checks what the user gave, then loads TensorFlow and evaluates."""
    trainer.start_tensorflow()
    if argv[1:]:
        raise errors.UserError(f'unexpected argument {argv[1]!r}; options begin with --')
    run = config.read(_MODEL_DIR.value)
    manifest = config.read_manifest(_DATA_DIR.value)
    config.check_data_fits(_MODEL_DIR.value, run, _DATA_DIR.value, config.Data.from_manifest(manifest))
    manifest_lib.check_shards(_DATA_DIR.value, manifest, [_SPLIT.value])
    _evaluate(manifest)


def _evaluate(manifest: manifest_lib.Manifest) -> None:
    trainer.load_tensorflow()
    from trainer import strategy  # These load TensorFlow, which takes seconds.
    from trainer.evaluation import evaluator
    from trainer.training import checkpoints

    devices = strategy.make(_STRATEGY.value, _VIRTUAL_DEVICES.value)
    strategy.check_batch_size(_BATCH_SIZE.value, devices)
    with devices.scope():
        model, run = checkpoints.load_for_inference(_MODEL_DIR.value, _CHECKPOINT.value)
    found = evaluator.Evaluator(devices, model, _DATA_DIR.value, manifest, _SPLIT.value, batch_size=_BATCH_SIZE.value)
    figures, _ = found.run()
    content = {
        'split': _SPLIT.value,
        'examples': manifest.num_records(_SPLIT.value),
        'data_fingerprint': manifest.fingerprint,
        'checkpoint': _CHECKPOINT.value,
        'step': checkpoints.step_of(_MODEL_DIR.value, _CHECKPOINT.value),
        **evaluator.to_json(figures, run.label_map),
    }
    path = os.path.join(_MODEL_DIR.value, config.EVALUATION_DIR, f'{_SPLIT.value}.json')
    atomic.write(path, (json.dumps(content, indent=2, ensure_ascii=False) + '\n').encode())
    print(evaluator.table(figures, run.label_map))
    print(f'\nwritten to {path}')


if __name__ == '__main__':
    command_line.run(main)
