"""The state of a run: made, saved, and restored so that the run goes on bit for bit."""

import glob
import os
import shutil
import sys

import keras
import tensorflow as tf

from seg_pipeline import errors
from trainer import config
from trainer import strategy as strategy_lib
from trainer.models import precision, random_layers, segmenter, trained
from trainer.training import optimizers, schedules, steps


class TrainState(tf.Module):
    """All that a run needs to go on bit for bit. The position in the data follows from `step`.

    Attributes:
        model: the network.
        averaged: the same network with the moving average of its weights; None where the recipe has none.
        loss_scale: of float16; None otherwise.
        optimizers: one for each phase, by its name, built for what learns in it.
        step: optimizer steps done.
        epoch: epochs completed, their validation included.
        best_mean_iou: the largest validation mean IoU so far; -1 before the first.
        totals: sums over the current epoch.
        seed_states: of the random layers of the model. Keras does not count them among the weights, so a checkpoint of
            the weights alone would start the random numbers of a resumed run anew.
    """

    def __init__(
        self,
        network: keras.Model,
        phase_optimizers: dict[str, keras.optimizers.Optimizer],
        averaged: keras.Model | None = None,
        loss_scale: precision.LossScale | None = None,
    ) -> None:
        super().__init__()
        self.model = network
        self.averaged = averaged
        self.loss_scale = loss_scale
        self.optimizers = phase_optimizers
        self.step = strategy_lib.host_variable(tf.constant(0, tf.int64))
        self.epoch = strategy_lib.host_variable(tf.constant(0, tf.int64))
        self.best_mean_iou = strategy_lib.host_variable(tf.constant(-1.0, tf.float64))
        self.totals = steps.TrainTotals()
        weights = {id(variable) for variable in network.weights}
        self.seed_states = [variable for variable in network.variables if id(variable) not in weights]

    def start_average(self) -> None:
        """Starts the moving average at the weights as they are."""
        if self.averaged is not None:
            self.averaged.set_weights(self.model.get_weights())

    @property
    def evaluated(self) -> keras.Model:
        """The model that is validated and kept."""
        return self.model if self.averaged is None else self.averaged


def create_state(
    run: config.RunConfig, devices: tf.distribute.Strategy, load_encoder: segmenter.Loader | None
) -> TrainState:
    """Makes the state of a run at step 0.

    Args:
        run: its configuration.
        devices: the strategy that trains it.
        load_encoder: puts pretrained weights into the encoder, see `segmenter.build`.
    """
    keras.utils.set_random_seed(run.recipe.seed)
    with devices.scope():
        network = _build(run, load_encoder)
        random_layers.draw_by_example(network)
        averaged = _build(run, None) if run.recipe.ema_decay else None
        # The optimizers of all phases are made and built now, not when their phase begins: then every checkpoint of a
        # run holds the same variables, and one of the first phase can be restored by a process that starts here.
        phase_optimizers = {}
        for phase in schedules.phases(run.recipe):
            set_phase(network, run.recipe, phase)
            phase_optimizers[phase.name] = optimizers.make(run.recipe, network, phase.learning_rate)
    loss_scale = precision.LossScale() if run.recipe.precision == config.FLOAT16 else None
    state = TrainState(network, phase_optimizers, averaged, loss_scale)
    state.start_average()
    return state


def _build(run: config.RunConfig, load_encoder: segmenter.Loader | None) -> keras.Model:
    return segmenter.build(
        run.recipe.encoder,
        run.image_size,
        run.label_map.num_classes,
        decoder=run.recipe.decoder,
        input_scale=run.recipe.input_scale,
        load_encoder=load_encoder,
        precision=run.recipe.precision,
        batch_norm_momentum=run.recipe.batch_norm_momentum,
    )


def set_phase(network: keras.Model, recipe: config.Recipe, phase: schedules.Phase) -> None:
    """Sets what learns in a phase, before its step is traced.

    Where the recipe does not say otherwise, the batch normalization of a pretrained encoder keeps its statistics
    throughout, also while its filters are fine-tuned: they come from over a million images, whereas a batch here has a
    few dozen, and the filters were trained with this normalization. An encoder with fresh weights has no statistics to
    keep, and without any its signal fades from layer to layer, so its normalization learns in both phases.
    """
    segmenter.set_trainable(network, encoder=phase.trains_encoder, encoder_batch_norm=recipe.trains_encoder_batch_norm)


class Checkpointer:
    """The checkpoints of one run: the latest ones of the complete state, and the model as it was at its best.

    Only one process may have one that writes, see `run_lock`: what killed ones have left half-written is removed.

    Args:
        model_dir: directory of the run.
        state: what is saved.
        keep: how many of the latest to keep.
        writes: whether to change anything there; of several workers the chief alone does.
    """

    def __init__(self, model_dir: str, state: TrainState, keep: int, *, writes: bool = True) -> None:
        self._latest_dir, best_dir = (os.path.join(model_dir, name) for name in (config.LATEST_DIR, config.BEST_DIR))
        self._state, self._writes = state, writes
        for directory in (self._latest_dir, best_dir):
            if writes:
                _clean(directory)
        latest, best = tf.train.Checkpoint(state=state), tf.train.Checkpoint(model=state.evaluated)
        self._latest = tf.train.CheckpointManager(latest, self._latest_dir, max_to_keep=keep)
        self._best = tf.train.CheckpointManager(best, best_dir, max_to_keep=1)

    def save(self) -> None:
        """Saves the complete state under the number of its step. Raises `OutsideError` where that is impossible."""
        self._save(self._latest)

    def save_best(self) -> None:
        """Saves the model in the place of the best so far. Raises `OutsideError` where that is impossible."""
        self._save(self._best)

    def _save(self, manager: tf.train.CheckpointManager) -> None:
        if not self._writes:
            return
        step = int(self._state.step)
        try:
            manager.save(checkpoint_number=step)
        except (tf.errors.OpError, OSError) as error:
            _clean(manager.directory)
            path = config.checkpoint_path(manager.directory, step)
            raise errors.OutsideError(
                f'{path}: cannot be saved: {_short(error)}; the same command goes on from the checkpoint before'
            ) from error

    def restore(self) -> bool:
        """Restores the latest state that is not damaged, and says which ones are; False where there is none yet.

        Raises:
            UserError: every checkpoint is damaged.
        """
        steps = config.saved_steps(self._latest_dir)
        for step in reversed(steps):
            path = config.checkpoint_path(self._latest_dir, step)
            try:
                trained.restore(tf.train.Checkpoint(state=self._state), path)
            except errors.UserError as error:
                if step == steps[0]:
                    raise
                print(f'warning: {error}; taking the one before', file=sys.stderr)
            else:
                return True
        return False

    def drop_from(self, step: int) -> int | None:
        """Removes the checkpoints of the state at `step` and later; returns the step of the latest that is left."""
        steps = config.saved_steps(self._latest_dir)
        if self._writes:
            for later in (found for found in steps if found >= step):
                for path in glob.glob(f'{glob.escape(config.checkpoint_path(self._latest_dir, later))}.*'):
                    os.remove(path)
            _clean(self._latest_dir)
        kept = [found for found in steps if found < step]
        return kept[-1] if kept else None


def _clean(directory: str) -> None:
    """Removes what killed processes left half-written, and makes TensorFlow's list of checkpoints that of the files."""
    if not os.path.isdir(directory):
        return
    for name in os.listdir(directory):
        path = os.path.join(directory, name)
        if name.startswith('ckpt-') and name.endswith('_temp') and os.path.isdir(path):
            shutil.rmtree(path)
        elif '.tempstate' in name or name.startswith('checkpoint.tmp'):
            os.remove(path)
    # The manager raises for an empty list, and forgets to remove what a damaged one does not name.
    paths = [config.checkpoint_path(directory, step) for step in config.saved_steps(directory)]
    if paths:
        # With times, and later than the last that is to be kept for ever, or the manager would remove none of them.
        times = [os.path.getmtime(f'{path}.index') for path in paths]
        tf.compat.v1.train.update_checkpoint_state(
            directory,
            paths[-1],
            paths,
            all_model_checkpoint_timestamps=times,
            last_preserved_timestamp=0.0,
        )
    elif os.path.exists(listing := os.path.join(directory, 'checkpoint')):
        os.remove(listing)


def _short(error: Exception) -> str:
    return ' '.join(str(error).split())[:200]
