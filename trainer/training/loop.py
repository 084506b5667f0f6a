"""The training loop: epochs, validation, checkpoints, progress, and going on where a run was stopped."""

import contextlib
import dataclasses
import functools
import hashlib
import io
import math
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from seg_pipeline import errors, progress
from seg_pipeline.dataset.dataset_split import Split
from seg_pipeline.input import augmentation, decoding, pipeline
from seg_pipeline.plurals import counted
from trainer import config, strategy
from trainer.evaluation import confusion_picture, evaluator, panels
from trainer.models import precision
from trainer.options import RuntimeOptions
from trainer.training import averaging, checkpoints, history, losses, objective, schedules, steps, summaries
from trainer.workers import Workers


@dataclasses.dataclass
class Clock:
    """Where the time of an epoch went, in this process; in seconds."""

    began: float
    images: int = 0
    training: float = 0.0
    waiting: float | None = 0.0  # None if a part of it was not seen

    @property
    def images_per_second(self) -> float:
        return self.images / self.training if self.training else 0.0

    @property
    def input_wait_share(self) -> float | None:
        if self.waiting is None:
            return None
        return self.waiting / self.training if self.training else 0.0


class TrainingLoop:
    """Trains one run to its last epoch, from its start or from its latest checkpoint.

    Args:
        run: configuration of the run.
        runtime: how to carry it out.
        train_split: what to learn from.
        validation_split: what to evaluate on after every epoch, where there is such a split.
        model_dir: directory of the run, config.json included.
        devices: the strategy that `state` was made for.
        state: of the run, at its start.
        class_weights: from `class_weights.read`.
        workers: the processes that train the run together, and which this one is; None for one alone.

    Attributes:
        run, state, workers: as above.
        writes: whether this process writes into the directory of the run.
        steps_per_epoch: optimizer steps in an epoch.
    """

    def __init__(
        self,
        *,
        run: config.RunConfig,
        runtime: RuntimeOptions,
        train_split: Split,
        validation_split: Split | None,
        model_dir: str,
        devices: tf.distribute.Strategy,
        state: checkpoints.TrainState,
        class_weights: tuple[float, ...] = (),
        workers: Workers | None = None,
    ) -> None:
        self.run, self.state = run, state
        self._runtime, self._model_dir = runtime, model_dir
        self._train_split, self._validation_split = train_split, validation_split
        self._devices, self._class_weights, self.workers = devices, class_weights, workers
        self.writes = workers is None or workers.is_chief
        self.steps_per_epoch = schedules.steps_per_epoch(run.recipe, train_split.num_records)
        self._step_rows: list[summaries.StepRow] = []  # those that are not written yet
        self._calls: dict[str, steps.Call] = {}  # by the name of the phase
        self._unproven: int | None = None  # the step of a checkpoint whose weights have not given a loss yet
        self._mean_ious: dict[int, float] = {}  # of the validation after each epoch, by its number

    def train(self, stop: strategy.Stop) -> bool:
        """Trains until the last epoch is done or `stop` is requested.

        Returns:
            Whether the last epoch is done. If not, the state is saved and the same command goes on from it.

        Raises:
            UserError: a checkpoint or a shard cannot be read, or the loss is no number any more.
        """
        self._checkpointer = checkpoints.Checkpointer(
            self._model_dir, self.state, self._runtime.keep_checkpoints, writes=self.writes
        )
        if self._checkpointer.restore():
            self._unproven = int(self.state.step)
            print(f'resuming {self._model_dir} after step {self._unproven}', flush=True)
            if (done := int(self.state.epoch)) > self.run.recipe.epochs:
                has_done = counted(done, 'epoch')
                print(f'--epochs={self.run.recipe.epochs} is less than the {has_done} that the run has done')
        if self.workers is not None:
            self._check_alike(self.workers)
            stop = strategy.CommonStop(self._devices, stop)
        if self.run.recipe.early_stopping_epochs:
            rows = history.read(self._model_dir)
            self._mean_ious = {int(row['epoch']): float(row['val_mean_iou']) for row in rows}
        splits = [self._train_split] if self._validation_split is None else [self._train_split, self._validation_split]
        opened = summaries.writer(self._model_dir, int(self.state.step)) if self.writes else summaries.no_writer()
        images_of_run = self.run.recipe.epochs * self.steps_per_epoch * self.run.recipe.batch_size
        # On stdout: the lines of the epochs are what a run says.
        # Of several workers the chief says it for all.
        self._output = sys.stdout if self.writes else io.StringIO()
        self._shown = progress.Progress(images_of_run, 'images', done=self._images_done, stream=self._output)
        self._profiler = summaries.Profiler(self._model_dir, self._runtime.profile_steps if self.writes else None)
        profiling = contextlib.closing(self._profiler)
        with opened as self._summaries, decoding.naming_damaged_shards(*splits), profiling, self._shown:
            for phase in schedules.phases(self.run.recipe):
                if not self._train_phase(phase, stop):
                    return False
        return True

    def _check_alike(self, workers: Workers) -> None:
        """Makes sure that all workers train the same run from the same step.

        Raises:
            UserError: they do not: they would wait for each other for ever, or mix two runs.
        """
        asked = (self.run.to_json(), self._runtime.steps_per_call, self._runtime.checkpoint_every_steps)
        digest = int.from_bytes(hashlib.sha256(repr(asked).encode()).digest()[:7], 'big')
        if len(set(strategy.gather(self._devices, digest))) > 1:
            raise errors.UserError(f'{workers}: the workers were started with different flags or data')
        if len(set(steps := strategy.gather(self._devices, int(self.state.step)))) > 1:
            raise errors.UserError(
                f'{workers}: --model_dir={self._model_dir}: the workers find checkpoints of the steps {steps} there; '
                'give them one directory that they share'
            )

    def _train_phase(self, phase: schedules.Phase, stop: strategy.Stop) -> bool:
        """Does what is left of a phase; False where it was stopped."""
        first = max(phase.begin, int(self.state.epoch))
        if first >= phase.end:
            return True
        train_step = self.make_step(phase)
        for epoch in range(first, phase.end):
            if self._is_past_its_best(phase, epoch):
                waited = counted(self.run.recipe.early_stopping_epochs, 'epoch')
                self._shown.print(f'no better mean IoU in {waited}: the run ends here', self._output)
                return True
            finished = self._train_epoch(phase, epoch, train_step, stop)
            if not finished:
                return False
        return True

    def make_step(self, phase: schedules.Phase) -> Any:
        """Makes the step of a phase, for `one_step`."""
        # In this order: the step is traced for the variables that are trainable when it is made.
        checkpoints.set_phase(self.state.model, self.run.recipe, phase)
        make = steps.make_train_step if self.run.recipe.accumulation_steps == 1 else steps.make_accumulating_step
        return make(
            self._devices,
            self.state.model,
            self.state.optimizers[phase.name],
            self.state.totals,
            objective.Objective.of(self.run.recipe, self.run.label_map.ignore_id, self._class_weights),
            clip_norm=self.run.recipe.clip_norm,
            seed=self.run.recipe.seed,
            counter=self.state.step,
            loss_scale=self.state.loss_scale,
            jit_compile=self._runtime.jit_compile,
        )

    def _is_past_its_best(self, phase: schedules.Phase, epoch: int) -> bool:
        """Whether a run that has done so many epochs ends early."""
        patience = self.run.recipe.early_stopping_epochs
        if not patience or epoch - phase.begin < patience or phase.name != schedules.FINE_TUNE:
            return False
        found = [mean_iou for number, mean_iou in sorted(self._mean_ious.items()) if number <= epoch]
        return epoch - 1 - found.index(max(found)) >= patience

    def _train_epoch(self, phase: schedules.Phase, epoch: int, train_step: Any, stop: strategy.Stop) -> bool:
        """Does what is left of an epoch; False where it was stopped."""
        batches = self.batches  # The first time this decodes the split, which is no part of any step.
        clock = Clock(began=time.perf_counter())
        end = (epoch + 1) * self.steps_per_epoch
        while (done := int(self.state.step)) < end:
            if stop.requested:
                self._save(phase, epoch)
                return False
            self._do_steps(phase, self._steps_of_call(done, end), train_step, batches, clock)
            done = int(self.state.step)
            is_due = self._shown.is_due()
            if self._unproven is not None or (is_due and self._was_left_out):
                self._check_numbers(phase, epoch)
                if not self._was_left_out:
                    self._unproven = None
            if is_due:
                self._show(phase, epoch, clock)
            # The last step of an epoch is saved by `_complete_epoch`, together with its validation.
            if self._is_checkpoint_due(done) and done < end and not self._was_left_out:
                self._save(phase, epoch)
        try:
            self._complete_epoch(phase, epoch, clock, stop)
        except evaluator.Interrupted:
            self._save(phase, epoch)
            return False
        return not stop.requested or epoch + 1 == self.run.recipe.epochs

    def _steps_of_call(self, done: int, end: int) -> int:
        """How many steps the next call does: up to the next one after which something else is due."""
        # A checkpoint is judged by the step after it, see `_check_numbers`; and a profile is one of single steps.
        if self._unproven is not None or self._runtime.profile_steps:
            return 1
        every = self._runtime.checkpoint_every_steps
        due = min(end, (done // every + 1) * every) if every else end
        return min(self._runtime.steps_per_call, due - done)

    def _do_steps(
        self, phase: schedules.Phase, count: int, train_step: Any, batches: Iterator[Any], clock: Clock
    ) -> None:
        done, optimizer = int(self.state.step), self.state.optimizers[phase.name]
        rates = [self._learning_rate(phase, step) for step in range(done, done + count)]
        if count == 1:
            (optimizer.learning_rate,) = rates
            with self._profiler.step(done + 1) as is_profiled:
                norms = [self.one_step(train_step, batches, clock)]
                if is_profiled:
                    float(norms[0])  # A GPU computes behind: its part is in the profile once it is done.
        else:
            norms = self._several_steps(phase, train_step, batches, rates, clock)
        numbered = enumerate(zip(rates, norms, strict=True), start=done + 1)
        self._step_rows += [summaries.StepRow(step, rate, norm) for step, (rate, norm) in numbered]

    def _several_steps(
        self, phase: schedules.Phase, train_step: Any, batches: Iterator[Any], rates: list[float], clock: Clock
    ) -> list[tf.Tensor]:
        """Does a step at each of the rates in one call, as `one_step` does one."""
        if phase.name not in self._calls:
            self._calls[phase.name] = steps.make_call(
                train_step,
                batches,
                self.state.optimizers[phase.name],
                self.state.step,
                accumulation_steps=self.run.recipe.accumulation_steps,
                average=self._average,
            )
        began = time.perf_counter()
        norms: list[tf.Tensor] = tf.unstack(self._calls[phase.name](tf.constant(rates)))
        clock.waiting = None  # It is a part of the call.
        clock.training += time.perf_counter() - began
        clock.images += len(rates) * self.run.recipe.batch_size
        return norms

    def one_step(self, train_step: Any, batches: Iterator[Any], clock: Clock) -> tf.Tensor:
        """Does a step, and returns the norm of its gradient, which a GPU may still be computing."""
        began = time.perf_counter()
        parts = [next(batches) for _ in range(self.run.recipe.accumulation_steps)]
        received = time.perf_counter()
        norm = train_step(*parts[0]) if len(parts) == 1 else train_step(parts)
        self.state.step.assign_add(1)
        if self._average is not None:
            self._average(self.state.step)
        if clock.waiting is not None:
            clock.waiting += received - began
        clock.training += time.perf_counter() - began
        clock.images += self.run.recipe.batch_size
        return norm

    def _learning_rate(self, phase: schedules.Phase, step: int) -> float:
        return schedules.learning_rate(self.run.recipe, phase, self.steps_per_epoch, step)

    def _save(self, phase: schedules.Phase, epoch: int) -> None:
        self._check_numbers(phase, epoch)
        self._write_steps()
        self._checkpointer.save()
        if self._unproven is None:
            self._unproven = int(self.state.step)

    def _write_steps(self) -> None:
        """Writes what TensorBoard shows of the steps since the last time: before the checkpoint that has them done."""
        summaries.write_steps(self._summaries, self._step_rows)
        self._step_rows.clear()

    def _check_numbers(self, phase: schedules.Phase, epoch: int, loss: float = 0.0) -> None:
        """Makes sure that a state is worth a checkpoint, or that the one before was.

        The loss of a step is that of the weights before it, so a checkpoint is proven by the first step after it. Only
        that step waits for its loss to be computed; the others need not.

        Args:
            phase, epoch: what is being trained.
            loss: another number to be checked.

        Raises:
            UserError: the sum of the losses so far or a weight is no finite number, or no gradient is at any loss
                scale. A checkpoint with such weights is removed.
        """
        what = self._fault(loss + float(self.state.totals.loss))
        if what is None:
            return
        step = int(self.state.step) if self._unproven is None else self._unproven
        left = self._checkpointer.drop_from(step)
        kept = 'has no checkpoint before' if left is None else f'keeps its last good checkpoint, of step {left}'
        raise errors.UserError(
            f'{what} in epoch {epoch + 1}: lower --learning_rate={phase.learning_rate:g} or set '
            f'--clip_norm, with another --model_dir; {self._model_dir} {kept}'
        )

    def _fault(self, loss: float) -> str | None:
        """What is wrong with a state of that loss, if anything is."""
        if not math.isfinite(loss):
            return f'the loss is {loss}'
        if not all(bool(tf.reduce_all(tf.math.is_finite(weight))) for weight in self.state.model.weights):
            return 'a weight is no finite number'
        scale = self.state.loss_scale
        if scale is not None and float(scale.scale) < precision.LEAST_SCALE:
            return 'the gradients of float16 are no finite numbers at any loss scale'
        return None

    @property
    def _was_left_out(self) -> bool:
        """Whether the last step was left out for its gradients. Then it proves nothing of the weights before it."""
        return self.state.loss_scale is not None and int(self.state.loss_scale.skipped) > 0

    def _complete_epoch(self, phase: schedules.Phase, epoch: int, clock: Clock, stop: strategy.Stop) -> None:
        """Validates, reports and saves an epoch.

        The checkpoint is the last write of all, after the best model, the history and the summaries. A process that is
        killed between two writes leaves the checkpoint of the step before, so the next one does this part again and
        writes the same again: `append` drops the row of this epoch, and the best model is chosen by the restored
        `best_mean_iou`. Were the checkpoint written first, a row or a best model could be missing for ever.
        """
        totals = self.state.totals
        self._check_numbers(phase, epoch)
        self._show(phase, epoch, clock, stays=True)
        validation, pictures = self._validate(phase, epoch, stop)
        row = history.EpochRow(
            epoch=epoch + 1,
            phase=phase.name,
            step=int(self.state.step),
            learning_rate=self._learning_rate(phase, int(self.state.step) - 1),
            loss=totals.mean_loss(),
            accuracy=totals.accuracy(),
            **dataclasses.asdict(validation),
            images_per_second=clock.images_per_second,
            seconds=time.perf_counter() - clock.began,
            input_wait_share=clock.input_wait_share,
        )
        if validation.val_mean_iou is not None:
            self._mean_ious[epoch + 1] = history.as_written(validation.val_mean_iou)  # a resumed run reads that
        if self.writes:
            history.append(self._model_dir, row)
        self._write_steps()
        summaries.write_epoch(self._summaries, row, pictures)
        totals.reset()
        self.state.epoch.assign(epoch + 1)
        self._checkpointer.save()
        if self._unproven is None:
            self._unproven = int(self.state.step)

    def _validate(
        self, phase: schedules.Phase, epoch: int, stop: strategy.Stop
    ) -> tuple[history.Validation, dict[str, NDArray[np.uint8]]]:
        """Evaluates on the validation split, and keeps the model if its mean IoU is the largest so far.

        Returns:
            The figures, and pictures of them for TensorBoard.

        Raises:
            evaluator.Interrupted: `stop` is requested; the same state validates again when the run goes on.
            UserError: the loss is no finite number.
        """
        if self.evaluator is None:
            return history.Validation(), {}
        total, place = self.evaluator.num_images, self._place(phase, epoch)
        metrics, loss = self.evaluator.run(
            lambda: stop.requested,
            lambda done: self._shown.update(self._images_done, place=f'{place}  validation {done}/{total}'),
        )
        self._check_numbers(phase, epoch, loss)
        self._shown.print(
            f'  validation  loss {loss:.4f}  accuracy {metrics.pixel_accuracy:.4f}  mean IoU {metrics.mean_iou:.4f}'
            f' ({metrics.mean_iou_present:.4f} over present classes)',
            self._output,
        )
        if metrics.mean_iou > float(self.state.best_mean_iou):
            self.state.best_mean_iou.assign(metrics.mean_iou)
            self._checkpointer.save_best()
        pictures = {}
        if self.writes:
            pictures[summaries.PANELS] = self._panels.draw()
            pictures[summaries.CONFUSION] = confusion_picture.draw(metrics, self.run.label_map)
        row = history.Validation(loss, metrics.pixel_accuracy, metrics.mean_iou, metrics.mean_iou_present)
        return row, pictures

    @functools.cached_property
    def batches(self) -> Iterator[Any]:
        """The batches from the state's step on; each replica takes the next part of the global batch."""
        recipe, start_step = self.run.recipe, int(self.state.step)
        # With accumulation a step takes several of these batches, so that its parts are the same on all devices.
        batch_size = recipe.batch_size // recipe.accumulation_steps
        per_replica = strategy.replica_batch_size(batch_size, self._devices)

        def make_batches(context: tf.distribute.InputContext) -> tf.data.Dataset:
            return pipeline.train_batches(
                self._train_split,
                batch_size=per_replica,
                global_batch_size=batch_size,
                seed=recipe.seed,
                start_step=start_step * recipe.accumulation_steps,
                policy=augmentation.find(recipe.augmentation, self.run.strengths),
                cache_budget_bytes=recipe.cache_budget_bytes,
                repeat_factor_threshold=recipe.repeat_factor_threshold,
                num_workers=context.num_input_pipelines,
                worker=context.input_pipeline_id,
            )

        return iter(self._devices.distribute_datasets_from_function(make_batches))

    @functools.cached_property
    def evaluator(self) -> evaluator.Evaluator | None:
        if self._validation_split is None:
            return None
        return evaluator.Evaluator(
            self._devices,
            self.state.evaluated,
            self._validation_split,
            batch_size=self.run.recipe.batch_size,
            loss=losses.cross_entropy,
            cache_budget_bytes=self.run.recipe.cache_budget_bytes,
        )

    @functools.cached_property
    def _panels(self) -> panels.Panels:
        assert self._validation_split is not None
        return panels.Panels(self.state.evaluated, self._validation_split)

    @functools.cached_property
    def _average(self) -> Callable[[tf.Tensor], None] | None:
        if self.state.averaged is None:
            return None
        decay = self.run.recipe.ema_decay
        state = self.state
        return averaging.make_averaging(self._devices, state.averaged, state.model, decay, state.loss_scale)

    def _is_checkpoint_due(self, done: int) -> bool:
        every = self._runtime.checkpoint_every_steps
        return every > 0 and done % every == 0

    @property
    def _images_done(self) -> int:
        return int(self.state.step) * self.run.recipe.batch_size

    def _place(self, phase: schedules.Phase, epoch: int) -> str:
        return f'epoch {epoch + 1}/{self.run.recipe.epochs} ({phase.name})'

    def _show(self, phase: schedules.Phase, epoch: int, clock: Clock, *, stays: bool = False) -> None:
        step, totals = int(self.state.step), self.state.totals
        self._shown.show(
            self._images_done,
            place=f'{self._place(phase, epoch)}  step {step - epoch * self.steps_per_epoch}/{self.steps_per_epoch}',
            note=f'loss {totals.mean_loss():.4f}  accuracy {totals.accuracy():.4f}',
            rate=clock.images_per_second,
            stays=stays,
        )
