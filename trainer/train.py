"""Trains a U-Net on a data set.

python -m trainer.train --data_dir=DATASET_DIR --model_dir=RUN [--flagfile=trainer/recipes/article.flags] [flags]

The same command goes on with a run that was stopped.
"""

import functools
import sys

from absl import flags

import trainer
from seg_pipeline import command_line, errors
from seg_pipeline.dataset import manifest as manifest_lib
from trainer import config, recipes
from trainer.models import encoder_weights, encoders

_RECIPE = config.Recipe()
_EXECUTION = config.Execution()

_DATA_DIR = flags.DEFINE_string(
    'data_dir', None, 'Directory of the data set, as prepare_dataset printed it.', required=True
)
_MODEL_DIR = flags.DEFINE_string('model_dir', None, 'Directory of the run, new or to be resumed.', required=True)

_RECIPE_FLAGS: dict[str, flags.FlagHolder] = {
    'encoder': flags.DEFINE_enum('encoder', _RECIPE.encoder, list(encoders.ENCODERS), 'Encoder of the U-Net.'),
    'encoder_weights': flags.DEFINE_string(
        'encoder_weights', _RECIPE.encoder_weights, 'imagenet, none, or a .h5 file without the classification top.'
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
    'augmentation': flags.DEFINE_string('augmentation', _RECIPE.augmentation, 'none, or a policy such as article.'),
    'optimizer': flags.DEFINE_enum('optimizer', _RECIPE.optimizer, list(config.OPTIMIZERS), 'Optimizer.'),
    'learning_rate': flags.DEFINE_float('learning_rate', _RECIPE.learning_rate, 'While the encoder is frozen.', 0.0),
    'fine_tune_learning_rate': flags.DEFINE_float(
        'fine_tune_learning_rate', _RECIPE.fine_tune_learning_rate, 'Afterwards; default: --learning_rate.', 0.0
    ),
    'clip_norm': flags.DEFINE_float('clip_norm', _RECIPE.clip_norm, 'Largest global gradient norm; 0: no limit.', 0.0),
    'batch_norm_momentum': flags.DEFINE_float(
        'batch_norm_momentum',
        _RECIPE.batch_norm_momentum,
        'Share of its running statistics that a normalisation layer keeps in a step.',
        0.0,
        1.0,
    ),
    'mixed_precision': flags.DEFINE_boolean(
        'mixed_precision', _RECIPE.mixed_precision, 'Compute in bfloat16; weights and logits stay float32.'
    ),
    'cache_budget_mb': flags.DEFINE_integer(
        'cache_budget_mb', _RECIPE.cache_budget_mb, 'Memory for the decoded images of each split, in MiB.', 0
    ),
}
_EXECUTION_FLAGS: dict[str, flags.FlagHolder] = {
    'strategy': flags.DEFINE_enum(
        'strategy', _EXECUTION.strategy, list(config.STRATEGIES), 'auto: all GPUs, mirrored where there are several.'
    ),
    'virtual_devices': flags.DEFINE_integer(
        'virtual_devices', _EXECUTION.virtual_devices, 'Split the CPU into this many devices; 0: do not.', 0
    ),
    'checkpoint_every_steps': flags.DEFINE_integer(
        'checkpoint_every_steps', _EXECUTION.checkpoint_every_steps, 'Save within epochs too; 0: at their ends.', 0
    ),
    'keep_checkpoints': flags.DEFINE_integer(
        'keep_checkpoints', _EXECUTION.keep_checkpoints, 'How many of the latest checkpoints to keep.', 1
    ),
}


def main(argv: list[str]) -> int | None:
    """Checks what the user gave, then loads TensorFlow and trains."""
    trainer.start_tensorflow()
    if argv[1:]:
        raise errors.UserError(f'unexpected argument {argv[1]!r}; options begin with --')
    recipe = config.Recipe(**{name: flag.value for name, flag in _RECIPE_FLAGS.items()})
    execution = config.Execution(**{name: flag.value for name, flag in _EXECUTION_FLAGS.items()})
    manifest = config.read_manifest(_DATA_DIR.value)
    run = config.RunConfig(recipe, config.Data.from_manifest(manifest))
    encoders.check(recipe.encoder, run.image_size)
    resumes = config.check_continues(_MODEL_DIR.value, run) and config.has_checkpoint(_MODEL_DIR.value)
    weights = None if resumes else encoder_weights.find(recipe.encoder, recipe.encoder_weights)
    used_splits = [name for name in (config.TRAIN_SPLIT, config.VALIDATION_SPLIT) if name in manifest.split_names]
    manifest.num_records(config.TRAIN_SPLIT)
    manifest_lib.check_shards(_DATA_DIR.value, manifest, used_splits)
    return _train(run, execution, manifest, weights)


def _train(
    run: config.RunConfig, execution: config.Execution, manifest: manifest_lib.Manifest, weights: str | None
) -> int | None:
    trainer.load_tensorflow()
    from trainer import strategy  # These load TensorFlow, which takes seconds.
    from trainer.training import checkpoints, loop, stop_signal

    devices = strategy.make(execution.strategy, execution.virtual_devices)
    strategy.check_batch_size(run.recipe.batch_size, devices)
    loop.check_augmentation(run.recipe.augmentation)
    print(f'{devices.num_replicas_in_sync} device(s), {type(devices).__name__}; {run.recipe}', flush=True)
    if weights and run.recipe.encoder_weights == encoder_weights.IMAGENET:
        encoder_weights.download(run.recipe.encoder)
    load_encoder = functools.partial(encoder_weights.load, path=weights) if weights else None
    state = checkpoints.create_state(run, devices, load_encoder)
    config.write(_MODEL_DIR.value, run)
    with stop_signal.Interruption() as stop:
        training = loop.Loop(
            run=run,
            execution=execution,
            data_dir=_DATA_DIR.value,
            manifest=manifest,
            model_dir=_MODEL_DIR.value,
            devices=devices,
            state=state,
        )
        finished = training.train(stop)
    if not finished:
        print(f'stopped after step {int(state.step)}; the same command goes on from there', flush=True)
        return stop.exit_code
    _finish(float(state.best_mean_iou))
    return None


def _finish(best_mean_iou: float) -> None:
    """Draws the curves and says what to do next."""
    from trainer.report import curves

    print(f'curves: {curves.draw_curves(_MODEL_DIR.value)}')
    if best_mean_iou >= 0:
        print(f'best validation mean IoU: {best_mean_iou:.4f}')
    model_dir = _MODEL_DIR.value
    print(f'evaluate: python -m trainer.evaluate --model_dir={model_dir} --data_dir={_DATA_DIR.value}')
    print(f'predict:  python -m trainer.predict --model_dir={model_dir} --images=DIR --output_dir=OUT', flush=True)


if __name__ == '__main__':
    sys.argv[1:] = recipes.resolve(sys.argv[1:])
    command_line.run(main)
