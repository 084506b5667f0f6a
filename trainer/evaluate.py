"""Evaluates a trained model on a split of a data set, with metrics for every class.

python -m trainer.evaluate --model_dir=RUN --data_dir=DATASET_DIR [--split=validation] [flags]

Writes RUN/evaluation/<split>.json and prints the same as a table.
"""

from absl import flags

from seg_pipeline import command_line, errors
from trainer import config, data_flags, jobs, options, tensorflow_setup

_EVALUATION = options.EvaluationOptions()
_RUNTIME = options.RuntimeOptions()

flags.adopt_module_key_flags(data_flags)
_DATA_DIR = flags.DEFINE_string('data_dir', None, data_flags.DATA_DIR_HELP, required=True)
_MODEL_DIR = flags.DEFINE_string('model_dir', None, 'Directory of the run.', required=True)
_SPLIT = flags.DEFINE_string(
    'split', _EVALUATION.split, 'Split to evaluate on; default: the one that the run was validated on.'
)
_CHECKPOINT = flags.DEFINE_enum(
    'checkpoint',
    _EVALUATION.checkpoint,
    [config.BEST, config.LATEST],
    'best: the model at its largest validation mean IoU.',
)
_BATCH_SIZE = flags.DEFINE_integer(
    'batch_size',
    _EVALUATION.batch_size,
    'Global batch size: images in one step over all devices. Changes the speed, not the metrics.',
    1,
)
_TTA = flags.DEFINE_enum('tta', _EVALUATION.tta, list(options.TTA), options.TTA_HELP)
_STRATEGY = flags.DEFINE_enum(
    'strategy', _RUNTIME.strategy, list(options.STRATEGIES), 'auto: all GPUs, mirrored where there are several.'
)
_VIRTUAL_DEVICES = flags.DEFINE_integer(
    'virtual_devices', _RUNTIME.virtual_devices, 'Split the CPU into this many devices; 0: do not.', 0
)


def main(argv: list[str]) -> None:
    """Reads the flags, evaluates, and prints the table."""
    tensorflow_setup.start_tensorflow()
    if argv[1:]:
        raise errors.UserError(f'unexpected argument {argv[1]!r}; options begin with --')
    evaluation = options.EvaluationOptions(_SPLIT.value, _CHECKPOINT.value, _BATCH_SIZE.value, _TTA.value)
    runtime = options.RuntimeOptions(_STRATEGY.value, _VIRTUAL_DEVICES.value)
    result = jobs.evaluate(_MODEL_DIR.value, _DATA_DIR.value, evaluation, runtime, data_flags.options())
    print(result.table, flush=True)
    if result.unwritten:
        raise result.unwritten
    print(f'\nwritten to {result.path}')


if __name__ == '__main__':
    command_line.run(main)
