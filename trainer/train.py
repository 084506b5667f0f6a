"""Trains a segmentation network on a data set.

python -m trainer.train --data_dir=DATASET_DIR --model_dir=RUN [--flagfile=trainer/recipes/article.flags] [flags]

The same command goes on with a run that was stopped.
"""

import os
import shlex
import sys
from typing import Any

from absl import flags

from seg_pipeline import command_line, errors
from seg_pipeline.input import strengths
from trainer import config, data_flags, jobs, options, recipes, tensorflow_setup
from trainer.models import encoders
from trainer.report import curves
from trainer.training import history
from trainer.workers import LostWorkersError

_RECIPE = config.Recipe()
_RUNTIME = options.RuntimeOptions()

flags.adopt_module_key_flags(data_flags)
_DATA_DIR = flags.DEFINE_string('data_dir', None, data_flags.DATA_DIR_HELP, required=True)
_VALIDATION_SPLIT = flags.DEFINE_string(
    'validation_split', None, 'Split to validate on after each epoch; default: validation, if there is one.'
)
_MODEL_DIR = flags.DEFINE_string('model_dir', None, 'Directory of the run, new or to be resumed.', required=True)

_RECIPE_FLAGS: dict[str, flags.FlagHolder[Any]] = {
    'encoder': flags.DEFINE_enum('encoder', _RECIPE.encoder, list(encoders.ENCODERS), 'Encoder of the network.'),
    'decoder': flags.DEFINE_enum('decoder', _RECIPE.decoder, list(config.DECODERS), 'Decoder of the network.'),
    'encoder_weights': flags.DEFINE_string(
        'encoder_weights', _RECIPE.encoder_weights, 'imagenet, none, or a .h5 file without the classification top.'
    ),
    'init_from': flags.DEFINE_string(
        'init_from', _RECIPE.init_from, 'Run, or exported SavedModel, whose weights the whole network starts from.'
    ),
    'input_scale': flags.DEFINE_float(
        'input_scale', _RECIPE.input_scale, 'The network works on images enlarged so many times.', 0.25, 8.0
    ),
    'batch_size': flags.DEFINE_integer(
        'batch_size', _RECIPE.batch_size, 'Global batch size: images in one step over all devices together.', 1
    ),
    'epochs': flags.DEFINE_integer('epochs', _RECIPE.epochs, 'Epochs in all, the frozen ones included.', 1),
    'frozen_epochs': flags.DEFINE_integer(
        'frozen_epochs', _RECIPE.frozen_epochs, 'Leading epochs in which the encoder stays as it is.', 0
    ),
    'steps_per_epoch': flags.DEFINE_integer(
        'steps_per_epoch', _RECIPE.steps_per_epoch, 'Steps in an epoch; 0: one pass over the training split.', 0
    ),
    'seed': flags.DEFINE_integer(
        'seed', _RECIPE.seed, 'Of the first weights, the order of the data, the augmentation.', 0
    ),
    'augmentation': flags.DEFINE_string(
        'augmentation', _RECIPE.augmentation, f'{", ".join(strengths.OF_POLICY)}, or a JSON file.'
    ),
    'repeat_factor_threshold': flags.DEFINE_float(
        'repeat_factor_threshold',
        _RECIPE.repeat_factor_threshold,
        'Draw photos more often that have a class which less than this share of them has; 0: do not.',
        0.0,
        1.0,
    ),
    'loss': flags.DEFINE_string(
        'loss', _RECIPE.loss, f'Of {", ".join(config.LOSSES)}, with weights, such as cross_entropy:1,dice:0.5.'
    ),
    'class_weights': flags.DEFINE_enum(
        'class_weights',
        _RECIPE.class_weights,
        list(config.CLASS_WEIGHTS),
        'Of pixels, by frequency.',
    ),
    'label_smoothing': flags.DEFINE_float(
        'label_smoothing', _RECIPE.label_smoothing, 'Part of the target that cross_entropy spreads evenly.', 0.0, 1.0
    ),
    'focal_gamma': flags.DEFINE_float('focal_gamma', _RECIPE.focal_gamma, 'Exponent of focal.', 0.0),
    'tversky_alpha': flags.DEFINE_float(
        'tversky_alpha', _RECIPE.tversky_alpha, 'Weight of false positives in tversky; the rest: negatives.', 0.0, 1.0
    ),
    'hard_pixel_share': flags.DEFINE_float(
        'hard_pixel_share', _RECIPE.hard_pixel_share, 'Part of the pixels of an image, the hardest, to count.', 0.0, 1.0
    ),
    'optimizer': flags.DEFINE_enum('optimizer', _RECIPE.optimizer, list(config.OPTIMIZERS), 'Optimizer.'),
    'learning_rate': flags.DEFINE_float('learning_rate', _RECIPE.learning_rate, 'While the encoder is frozen.', 0.0),
    'fine_tune_learning_rate': flags.DEFINE_float(
        'fine_tune_learning_rate', _RECIPE.fine_tune_learning_rate, 'Afterwards; default: --learning_rate.', 0.0
    ),
    'schedule': flags.DEFINE_enum(
        'schedule', _RECIPE.schedule, list(config.SCHEDULES), 'How the learning rate falls within each phase.'
    ),
    'warmup_steps': flags.DEFINE_integer(
        'warmup_steps', _RECIPE.warmup_steps, 'Steps at the start of each phase in which the learning rate rises.', 0
    ),
    'momentum': flags.DEFINE_float('momentum', _RECIPE.momentum, 'Of rmsprop or sgd.', 0.0, 1.0),
    'weight_decay': flags.DEFINE_float(
        'weight_decay', _RECIPE.weight_decay, 'Of kernels, as AdamW does it; default: 0.004 with adamw, else 0.', 0.0
    ),
    'encoder_learning_rate_scale': flags.DEFINE_float(
        'encoder_learning_rate_scale',
        _RECIPE.encoder_learning_rate_scale,
        'The encoder learns at the learning rate times this.',
        0.0,
    ),
    'ema_decay': flags.DEFINE_float(
        'ema_decay', _RECIPE.ema_decay, 'Validate and predict by a moving average of the weights; 0: do not.', 0.0, 1.0
    ),
    'accumulation_steps': flags.DEFINE_integer(
        'accumulation_steps', _RECIPE.accumulation_steps, 'Take each batch in so many parts, to save memory.', 1
    ),
    'early_stopping_epochs': flags.DEFINE_integer(
        'early_stopping_epochs',
        _RECIPE.early_stopping_epochs,
        'End after so many epochs without a better one; 0: no.',
        0,
    ),
    'clip_norm': flags.DEFINE_float('clip_norm', _RECIPE.clip_norm, 'Largest global gradient norm; 0: no limit.', 0.0),
    'batch_norm_momentum': flags.DEFINE_float(
        'batch_norm_momentum',
        _RECIPE.batch_norm_momentum,
        'Part of its running statistics that a normalization layer keeps in a step.',
        0.0,
        1.0,
    ),
    'encoder_batch_norm': flags.DEFINE_enum(
        'encoder_batch_norm',
        _RECIPE.encoder_batch_norm,
        list(config.ENCODER_BATCH_NORM),
        'Normalization of the encoder; auto: kept if it is pre-trained.',
    ),
    'precision': flags.DEFINE_enum(
        'precision', _RECIPE.precision, list(config.PRECISIONS), 'Compute in this; weights and logits stay float32.'
    ),
    'cache_budget_mb': flags.DEFINE_integer(
        'cache_budget_mb', _RECIPE.cache_budget_mb, 'Memory for the decoded images of each split, in MiB.', 0
    ),
}
_DRY_RUN = flags.DEFINE_boolean(
    'dry_run', False, 'Build everything, do a step of each phase, say what the run will need, and write nothing.'
)
_PROFILE_STEPS = flags.DEFINE_string(
    'profile_steps', None, "FIRST,LAST: write TensorFlow's profile of these steps, counted from 1, for TensorBoard."
)
_WORKERS = flags.DEFINE_list(
    'workers', list(_RUNTIME.workers), 'HOST:PORT of each worker of multi_worker; default: those of TF_CONFIG.'
)
_RUNTIME_FLAGS: dict[str, flags.FlagHolder[Any]] = {
    'strategy': flags.DEFINE_enum(
        'strategy',
        _RUNTIME.strategy,
        list(options.STRATEGIES_OF_TRAINING),
        'auto: all GPUs, mirrored where there are several. multi_worker: several processes, see --workers.',
    ),
    'worker_index': flags.DEFINE_integer(
        'worker_index', _RUNTIME.worker_index, 'Which of --workers this process is; the first is 0.', 0
    ),
    'join_timeout': flags.DEFINE_float(
        'join_timeout', _RUNTIME.join_timeout, 'Seconds to wait for the other workers at the start.', 1.0
    ),
    'virtual_devices': flags.DEFINE_integer(
        'virtual_devices', _RUNTIME.virtual_devices, 'Split the CPU into this many devices; 0: do not.', 0
    ),
    'checkpoint_every_steps': flags.DEFINE_integer(
        'checkpoint_every_steps', _RUNTIME.checkpoint_every_steps, 'Save within epochs too; 0: at their ends.', 0
    ),
    'keep_checkpoints': flags.DEFINE_integer(
        'keep_checkpoints', _RUNTIME.keep_checkpoints, 'How many of the latest checkpoints to keep.', 1
    ),
    'deterministic': flags.DEFINE_boolean(
        'deterministic', _RUNTIME.deterministic, 'Give the same bits every time on a GPU too; slower.'
    ),
    'steps_per_call': flags.DEFINE_integer(
        'steps_per_call',
        _RUNTIME.steps_per_call,
        'Steps in one call of TensorFlow, for a GPU that waits for Python.',
        1,
    ),
    'jit_compile': flags.DEFINE_boolean(
        'jit_compile', _RUNTIME.jit_compile, 'Let XLA compile the step; for one device.'
    ),
}


def main(argv: list[str]) -> int:
    """Reads the flags, trains, and says what to do next."""
    tensorflow_setup.start_tensorflow()
    if argv[1:]:
        raise errors.UserError(f'unexpected argument {argv[1]!r}; options begin with --')
    data_dir, model_dir = _DATA_DIR.value, _MODEL_DIR.value
    recipe = config.Recipe(**{name: flag.value for name, flag in _RECIPE_FLAGS.items()})
    profile_steps = None if _PROFILE_STEPS.value is None else options.parse_profile_steps(_PROFILE_STEPS.value)
    runtime = options.RuntimeOptions(
        **{name: flag.value for name, flag in _RUNTIME_FLAGS.items()},
        profile_steps=profile_steps,
        workers=tuple(_WORKERS.value),
    )
    data_options = data_flags.options(_VALIDATION_SPLIT.value)
    if _DRY_RUN.value:
        print(jobs.dry_run(data_dir, model_dir, recipe, runtime, data_options).text(), flush=True)
        return 0
    try:
        result = jobs.train(data_dir, model_dir, recipe, runtime, data_options)
    except LostWorkersError as error:
        command_line.fail_at_once(str(error))
    if result.stopped_by:
        print(f'stopped after step {result.step}; the same command goes on from there', flush=True)
        return 128 + result.stopped_by  # What a shell reports of a process that this signal has ended.
    if result.curves is None:  # one of several workers: the chief says the rest
        return 0
    print(f'curves: {result.curves}')
    if result.best_mean_iou is not None:
        print(f'best validation mean IoU: {result.best_mean_iou:.4f}')
    print(_what_next(model_dir, data_dir, has_best=result.best_mean_iou is not None), flush=True)
    return 0


def _what_next(model_dir: str, data_dir: str, *, has_best: bool) -> str:
    """How to go on with a run, and where everything is."""
    run, logs = f'--model_dir={model_dir}', os.path.join(model_dir, config.TENSORBOARD_DIR)
    commands = {
        'evaluate': ['python', '-m', 'trainer.evaluate', run, f'--data_dir={data_dir}'],
        'predict': ['python', '-m', 'trainer.predict', run, '--images=DIR', '--output_dir=OUT'],
        'watch': ['tensorboard', f'--logdir={logs}'],
    }
    best = f'the best model in {config.BEST_DIR}, ' if has_best else ''
    lines = [f'{name + ":":<9} {shlex.join(words)}' for name, words in commands.items()]
    return '\n'.join(
        [
            *lines,
            f'{model_dir}: {best}the latest state in {config.LATEST_DIR}, {history.FILE}, {curves.FILE}, '
            f'{config.TENSORBOARD_DIR}',
        ]
    )


if __name__ == '__main__':
    sys.argv[1:] = recipes.resolve(sys.argv[1:])
    command_line.run(main)
