"""The trained model of a run: found among its checkpoints and loaded, ready to predict."""

import os

import keras
import tensorflow as tf

from seg_pipeline import errors
from trainer import config
from trainer.models import segmenter


def load(model_dir: str, which: str = config.BEST) -> tuple[keras.Model, config.RunConfig]:
    """Loads the model of a run.

    Example:
        model, run = load('runs/article')
        ids = tf.argmax(model(images), axis=-1)  # images (batch, *run.image_size, 3)

    Args:
        model_dir: where trainer.train put it.
        which: `config.BEST`, the model at its largest validation mean IoU (the latest where there is no validation
            split), or `config.LATEST`.

    Returns:
        The model, from uint8 or float images 0..255 (batch, height, width, 3) to float32 logits
        (batch, height, width, num_classes), computing in float32; and the configuration of the run.

    Raises:
        UserError: `model_dir` is no run, or has no checkpoint yet that can be read.
    """
    run = config.read(model_dir)
    path, is_best = _find(model_dir, which)
    recipe = run.recipe
    network = segmenter.build(
        recipe.encoder,
        run.image_size,
        run.label_map.num_classes,
        decoder=recipe.decoder,
        input_scale=recipe.input_scale,
    )
    if is_best:
        restore(tf.train.Checkpoint(model=network), path)
    else:
        # A checkpoint of the complete state names its objects by their attributes: the network is state.model there.
        # Of a run that averages its weights, the average is meant.
        name = 'averaged' if recipe.ema_decay else 'model'
        restore(tf.train.Checkpoint(state=tf.train.Checkpoint(**{name: network})), path)
    return network, run


def step_of(model_dir: str, which: str = config.BEST) -> int:
    """Returns after how many steps the model was saved that `load` loads."""
    path, _ = _find(model_dir, which)
    return int(path.rsplit('-', 1)[1])


def restore(checkpoint: tf.train.Checkpoint, path: str) -> None:
    """Restores every object of `checkpoint`; the file may hold more.

    Raises:
        UserError: the file is damaged, or lacks one of the objects.
    """
    try:
        # By default TensorFlow leaves an object that the file lacks as it is, without a word.
        checkpoint.restore(path).assert_existing_objects_matched().expect_partial()
    except (tf.errors.OpError, AssertionError, IndexError, RuntimeError, ValueError) as error:
        reason = ' '.join(str(error).split())[:200]
        raise errors.UserError(f'checkpoint {path} cannot be restored: {reason}') from error


def _find(model_dir: str, which: str) -> tuple[str, bool]:
    """Returns the prefix of a checkpoint's files, and whether it is the best model (else the complete latest state)."""
    for name in (config.BEST_DIR, config.LATEST_DIR) if which == config.BEST else (config.LATEST_DIR,):
        directory = os.path.join(model_dir, name)
        if steps := config.saved_steps(directory):
            return config.checkpoint_path(directory, steps[-1]), name == config.BEST_DIR
    raise errors.UserError(f'{model_dir} holds no checkpoint yet: trainer.train has not finished an epoch')
