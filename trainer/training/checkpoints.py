"""The state of a run: made, saved, and restored so that the run goes on bit for bit."""

import os

import keras
import tensorflow as tf

from trainer import config
from trainer import strategy as strategy_lib
from trainer.models import random_layers, segmenter, trained
from trainer.training import optimizers, schedules, steps


class TrainState(tf.Module):
    """All that a run needs to go on bit for bit. The position in the data follows from `step`.

    Attributes:
        model: the network.
        averaged: the same network with the moving average of its weights; None where the recipe has none.
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
    ) -> None:
        super().__init__()
        self.model = network
        self.averaged = averaged
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
    state = TrainState(network, phase_optimizers, averaged)
    state.start_average()
    return state


def _build(run: config.RunConfig, load_encoder: segmenter.Loader | None) -> keras.Model:
    return segmenter.build(
        run.recipe.encoder,
        run.image_size,
        run.label_map.num_classes,
        decoder=run.recipe.decoder,
        load_encoder=load_encoder,
        mixed_precision=run.recipe.mixed_precision,
        batch_norm_momentum=run.recipe.batch_norm_momentum,
    )


def set_phase(network: keras.Model, recipe: config.Recipe, phase: schedules.Phase) -> None:
    """Sets what learns in a phase, before its step is traced.

    The batch normalization of a pretrained encoder keeps its statistics throughout, also while its filters are
    fine-tuned: they come from over a million images, whereas a batch here has a few dozen, and the filters were trained
    with this normalization. An encoder with fresh weights has no statistics to keep, and without any its signal fades
    from layer to layer, so its normalization learns in both phases.
    """
    segmenter.set_trainable(network, encoder=phase.trains_encoder, encoder_batch_norm=not recipe.has_pretrained_encoder)


class Checkpointer:
    """The checkpoints of one run: the latest ones of the complete state, and the model as it was at its best."""

    def __init__(self, model_dir: str, state: TrainState, keep: int) -> None:
        latest_dir, best_dir = (os.path.join(model_dir, name) for name in (config.LATEST_DIR, config.BEST_DIR))
        latest, best = tf.train.Checkpoint(state=state), tf.train.Checkpoint(model=state.evaluated)
        self._state = state
        self._latest = tf.train.CheckpointManager(latest, latest_dir, max_to_keep=keep)
        self._best = tf.train.CheckpointManager(best, best_dir, max_to_keep=1)

    def save(self) -> None:
        """Saves the complete state under the number of its step."""
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
        trained.restore(tf.train.Checkpoint(state=self._state), path)
        return True
