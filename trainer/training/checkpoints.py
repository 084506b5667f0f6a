"""The state of a run on disk: saving all of it, going on from it, and loading the model alone."""

import os

import keras
import tensorflow as tf

from seg_pipeline import errors
from trainer import config
from trainer.models import unet
from trainer.training import schedules, steps

LATEST = 'latest'
BEST = 'best'


class State(tf.Module):
    """All that a run needs to go on bit for bit. The position in the data follows from `step`.

    Attributes:
        model: the network.
        optimizers: one for each phase, by its name, built for what learns in it.
        step: optimizer steps done.
        epoch: epochs completed, their validation included.
        best_mean_iou: the largest validation mean IoU so far; -1 before the first.
        totals: sums over the current epoch.
        seed_states: of the random layers of the model; Keras counts them among no weights.
    """

    def __init__(self, network: keras.Model, optimizers: dict[str, keras.optimizers.Optimizer]) -> None:
        super().__init__()
        self.model = network
        self.optimizers = optimizers
        self.step = steps.host_variable(tf.constant(0, tf.int64))
        self.epoch = steps.host_variable(tf.constant(0, tf.int64))
        self.best_mean_iou = steps.host_variable(tf.constant(-1.0, tf.float64))
        self.totals = steps.TrainTotals()
        weights = {id(variable) for variable in network.weights}
        self.seed_states = [variable for variable in network.variables if id(variable) not in weights]


def create_state(run: config.RunConfig, devices: tf.distribute.Strategy, load_encoder: unet.Loader | None) -> State:
    """Makes the state of a run at step 0.

    Args:
        run: its configuration.
        devices: the strategy that trains it.
        load_encoder: puts pretrained weights into the encoder, see `unet.build`.
    """
    keras.utils.set_random_seed(run.recipe.seed)
    with devices.scope():
        network = unet.build(
            run.recipe.encoder,
            run.image_size,
            run.label_map.num_classes,
            load_encoder=load_encoder,
            mixed_precision=run.recipe.mixed_precision,
            batch_norm_momentum=run.recipe.batch_norm_momentum,
        )
        optimizers = {}
        for phase in schedules.phases(run.recipe):
            optimizers[phase.name] = _OPTIMIZERS[run.recipe.optimizer](learning_rate=phase.learning_rate)
            set_phase(network, run.recipe, phase)
            optimizers[phase.name].build(network.trainable_variables)
    return State(network, optimizers)


def set_phase(network: keras.Model, recipe: config.Recipe, phase: schedules.Phase) -> None:
    """Sets what learns in a phase, before its step is traced.

    The batch normalisation of a pretrained encoder keeps its statistics throughout: they are worth more than those of
    the small batches of fine-tuning. One with fresh weights has none to keep, and its signal fades from layer to layer
    without them, so it learns them in both phases.
    """
    has_statistics = recipe.encoder_weights != 'none'
    unet.set_trainable(network, encoder=phase.trains_encoder, encoder_batch_norm=not has_statistics)


_OPTIMIZERS = {
    'rmsprop': keras.optimizers.RMSprop,
    'sgd': keras.optimizers.SGD,
    'adam': keras.optimizers.Adam,
    'adamw': keras.optimizers.AdamW,
}


class Store:
    """The checkpoints of one run: the latest of the whole state, and the model as it was at its best."""

    def __init__(self, model_dir: str, state: State, keep: int) -> None:
        latest_dir, best_dir = (os.path.join(model_dir, name) for name in (config.LATEST_DIR, config.BEST_DIR))
        latest, best = tf.train.Checkpoint(state=state), tf.train.Checkpoint(model=state.model)
        self._state = state
        self._latest = tf.train.CheckpointManager(latest, latest_dir, max_to_keep=keep)
        self._best = tf.train.CheckpointManager(best, best_dir, max_to_keep=1)

    def save(self) -> None:
        """Saves the whole state under the number of its step."""
        self._latest.save(checkpoint_number=int(self._state.step))

    def save_best(self) -> None:
        """Saves the model in the place of the best so far."""
        self._best.save(checkpoint_number=int(self._state.step))

    def restore(self) -> bool:
        """Restores the latest state; False where there is none yet.

        Raises:
            UserError: the checkpoint cannot be read.
        """
        path = self._latest.latest_checkpoint
        if path is None:
            return False
        _restore(tf.train.Checkpoint(state=self._state), path)
        return True


def load_for_inference(model_dir: str, which: str = BEST) -> tuple[keras.Model, config.RunConfig]:
    """Loads the model of a run.

    Example:
        model, run = load_for_inference('runs/article')
        ids = tf.argmax(model(images), axis=-1)  # images (batch, *run.image_size, 3)

    Args:
        model_dir: where trainer.train put it.
        which: `BEST`, the model at its largest validation mean IoU (the latest where there is no validation split), or
            `LATEST`.

    Returns:
        The model, from uint8 or float images 0..255 (batch, height, width, 3) to float32 logits
        (batch, height, width, num_classes), computing in float32; and the configuration of the run.

    Raises:
        UserError: `model_dir` is no run, or has no checkpoint yet that can be read.
    """
    run = config.read(model_dir)
    path, is_best = _find(model_dir, which)
    network = unet.build(run.recipe.encoder, run.image_size, run.label_map.num_classes)
    if is_best:
        _restore(tf.train.Checkpoint(model=network), path)
    else:
        _restore(tf.train.Checkpoint(state=tf.train.Checkpoint(model=network)), path)
    return network, run


def step_of(model_dir: str, which: str = BEST) -> int:
    """Returns after how many steps the model was saved that `load_for_inference` loads."""
    path, _ = _find(model_dir, which)
    return int(path.rsplit('-', 1)[1])


def _find(model_dir: str, which: str) -> tuple[str, bool]:
    """Returns the prefix of a checkpoint's files, and whether it is the best model (else the whole latest state)."""
    if which == BEST and (path := tf.train.latest_checkpoint(os.path.join(model_dir, config.BEST_DIR))):
        return path, True
    path = tf.train.latest_checkpoint(os.path.join(model_dir, config.LATEST_DIR))
    if path is None:
        raise errors.UserError(f'{model_dir} holds no checkpoint yet: trainer.train has not finished an epoch')
    return path, False


def _restore(checkpoint: tf.train.Checkpoint, path: str) -> None:
    """Restores every object of `checkpoint`; the file may hold more."""
    try:
        checkpoint.restore(path).assert_existing_objects_matched().expect_partial()
    except (tf.errors.OpError, AssertionError, IndexError, RuntimeError, ValueError) as error:
        reason = ' '.join(str(error).split())[:200]
        raise errors.UserError(f'checkpoint {path} cannot be restored: {reason}') from error
