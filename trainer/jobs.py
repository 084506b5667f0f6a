"""What each command does, as a function of values: the commands add flags, the package `trainer` documentation.

Every function first checks what it was given, then loads TensorFlow, which takes seconds. That is why modules that
import TensorFlow are imported inside of the functions.
"""

import contextlib
import dataclasses
import functools
import json
import os
import signal
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from seg_pipeline import errors, progress, storage
from seg_pipeline.input import strengths
from seg_pipeline.plurals import counted
from seg_pipeline.storage import atomic
from trainer import config, tensorflow_setup
from trainer.evaluation import formatting
from trainer.evaluation.metrics import Metrics
from trainer.inference import export_formats, photos
from trainer.models import encoder_weights, encoders, initial_weights
from trainer.options import FLIP, AugmentationOptions, EvaluationOptions, PredictionOptions, RuntimeOptions
from trainer.report import augmentation_page, curves
from trainer.training import class_weights, run_lock, schedules, stop_signal
from trainer.workers import Workers

if TYPE_CHECKING:
    import keras

    from trainer.report import dry_run as dry_run_lib
    from trainer.training import loop


@dataclasses.dataclass(frozen=True)
class TrainingResult:
    """How a run ended.

    Attributes:
        step: optimizer steps done in all.
        best_mean_iou: the largest validation mean IoU; None without a validation split.
        stopped_by: the signal that stopped the run, to be resumed; None if the last epoch is done.
        curves: path of the picture of its curves; None if it was stopped, or if another worker draws it.
    """

    step: int
    best_mean_iou: float | None
    stopped_by: signal.Signals | None = None
    curves: str | None = None


@dataclasses.dataclass(frozen=True)
class EvaluationResult:
    """The metrics of a split.

    Attributes:
        metrics: of the split.
        path: the JSON file that holds them.
        table: the same as lines of text.
        unwritten: why the file cannot be written, where it cannot.
    """

    metrics: Metrics
    path: str
    table: str
    unwritten: Exception | None = None


@dataclasses.dataclass(frozen=True)
class PredictionResult:
    """What became of the images.

    Attributes:
        num_images: those that were found.
        failures: a message for each one that was left out because it, or its ground truth, cannot be read.
    """

    num_images: int
    failures: list[str]


def train(
    data_dir: str,
    model_dir: str,
    recipe: config.Recipe | None = None,
    runtime: RuntimeOptions | None = None,
    data_options: config.DataOptions | None = None,
) -> TrainingResult:
    """Does what `trainer.train` says."""
    options = data_options or config.DataOptions()
    training_loop = _make_loop(data_dir, model_dir, recipe or config.Recipe(), runtime or RuntimeOptions(), options)
    run, state = training_loop.run, training_loop.state
    workers = training_loop.workers
    with contextlib.ExitStack() as stack:
        if training_loop.writes:
            stack.enter_context(run_lock.held(model_dir))
            config.check_continues(model_dir, run)  # again: another command may have begun a run here meanwhile
            config.write(model_dir, run)
        stop = stack.enter_context(stop_signal.StopSignal())
        finished = training_loop.train(stop) if workers is None else _train_together(training_loop, workers, stop)
    step, best = int(state.step), float(state.best_mean_iou)
    best_mean_iou = best if best >= 0 else None
    if not finished:
        return TrainingResult(step, best_mean_iou, stopped_by=stop.signal or signal.SIGTERM)
    return TrainingResult(step, best_mean_iou, curves=curves.draw_curves(model_dir) if training_loop.writes else None)


def _train_together(training_loop: 'loop.TrainingLoop', workers: Workers, stop: stop_signal.StopSignal) -> bool:
    """Trains as one of several workers; raises `LostWorkersError` where another one is lost."""
    import tensorflow as tf

    of_network = (
        tf.errors.UnavailableError,
        tf.errors.AbortedError,
        tf.errors.CancelledError,
        tf.errors.DeadlineExceededError,
    )
    try:
        return training_loop.train(stop)
    except (tf.errors.OpError, RuntimeError) as error:  # of a collective operation, from a graph or from Python
        if isinstance(error, of_network) or workers.unreachable():
            raise workers.loss(error) from error
        raise


def dry_run(
    data_dir: str,
    model_dir: str,
    recipe: config.Recipe | None = None,
    runtime: RuntimeOptions | None = None,
    data_options: config.DataOptions | None = None,
) -> 'dry_run_lib.DryRun':
    """Does what `trainer.dry_run` says."""
    options = data_options or config.DataOptions()
    training_loop = _make_loop(
        data_dir, model_dir, recipe or config.Recipe(), runtime or RuntimeOptions(), options, may_write=False
    )
    from trainer.report import dry_run as dry_run_lib

    return dry_run_lib.measure(training_loop)


def _make_loop(
    data_dir: str,
    model_dir: str,
    recipe: config.Recipe,
    runtime: RuntimeOptions,
    data_options: config.DataOptions,
    *,
    may_write: bool = True,
) -> 'loop.TrainingLoop':
    """Builds everything that trains, once everything is checked; downloads weights, if it may, and writes no more."""
    source = config.open_source(data_dir, data_options)
    train_split, validation_split = source.split(config.TRAIN_SPLIT), source.validation_split()
    run = config.RunConfig(recipe, source.data, strengths.find(recipe.augmentation))
    encoders.check(recipe.encoder, encoders.input_size(run.image_size, recipe.input_scale))
    resumes = config.check_continues(model_dir, run) and config.has_checkpoint(model_dir)
    workers = runtime.find_workers()
    if workers is None or workers.is_chief:
        run_lock.check(model_dir)
    _check_profile(runtime, recipe.epochs * schedules.steps_per_epoch(recipe, train_split.num_records))
    _warn_of_noise(recipe)
    init_from = None if resumes else recipe.init_from
    if init_from is not None:
        initial_weights.check(init_from, recipe)
    of_encoder = config.NO_WEIGHTS if resumes or init_from is not None else recipe.encoder_weights
    weights = encoder_weights.find(recipe.encoder, of_encoder)
    train_split.check_shards()
    weights_of_classes = class_weights.read(train_split, recipe.class_weights)
    if validation_split is not None:
        validation_split.check_shards()
    elif recipe.early_stopping_epochs:
        raise errors.UserError(
            f'--early_stopping_epochs={recipe.early_stopping_epochs} needs a split {config.VALIDATION_SPLIT}, '
            f'which {data_dir} does not have; name another as --validation_split: {", ".join(source.split_names)}'
        )
    _say(source.note_of_training)

    tensorflow_setup.load_tensorflow(runtime.deterministic)
    from seg_pipeline.input import pipeline
    from trainer import strategy
    from trainer.training import checkpoints, loop

    pipeline.check_repeats(train_split, recipe.repeat_factor_threshold, recipe.cache_budget_bytes)
    devices = strategy.make(runtime.strategy, runtime.virtual_devices, workers, runtime.join_timeout)
    if runtime.jit_compile and devices.num_replicas_in_sync > 1:
        raise errors.UserError(
            f'--jit_compile is for one device, not {devices.num_replicas_in_sync}: XLA cannot compile the sums over '
            'devices that normalization needs; leave it out, or give --strategy=one_device'
        )
    # Raises before anything is written.
    strategy.replica_batch_size(recipe.batch_size, devices, recipe.accumulation_steps)
    here = f', {workers}' if workers else ''
    print(f'{devices.num_replicas_in_sync} device(s), {type(devices).__name__}{here}; {recipe}', flush=True)
    if run.strengths:
        print(run.strengths, flush=True)
    if weights and not may_write and not os.path.exists(weights):
        print(f'{weights} is not here; a dry run does not download it')
        weights = None
    elif weights and recipe.encoder_weights == config.IMAGENET_WEIGHTS:
        encoder_weights.download(recipe.encoder)
    load_encoder = functools.partial(encoder_weights.load, encoder=recipe.encoder, path=weights) if weights else None
    state = checkpoints.create_state(run, devices, load_encoder)
    if init_from is not None:
        print(initial_weights.load(state.model, init_from, run.label_map), flush=True)
        state.start_average()
    return loop.TrainingLoop(
        run=run,
        runtime=runtime,
        train_split=train_split,
        validation_split=validation_split,
        model_dir=model_dir,
        devices=devices,
        state=state,
        class_weights=weights_of_classes,
        workers=workers,
    )


def _check_profile(runtime: RuntimeOptions, num_steps: int) -> None:
    if runtime.profile_steps and runtime.profile_steps[0] > num_steps:
        first, last = runtime.profile_steps
        raise errors.UserError(f'--profile_steps={first},{last}: the run has {counted(num_steps, "step")}')


def _say(note: str | None) -> None:
    if note:
        print(note, file=sys.stderr)


def _warn_of_noise(recipe: config.Recipe) -> None:
    if recipe.frozen_epochs and recipe.encoder_weights == config.NO_WEIGHTS and recipe.init_from is None:
        print(
            f'warning: --encoder_weights=none with --frozen_epochs={recipe.frozen_epochs}: the encoder stays random '
            'for so long; give --frozen_epochs=0, or weights',
            file=sys.stderr,
        )


def evaluate(
    model_dir: str,
    data_dir: str,
    evaluation: EvaluationOptions | None = None,
    runtime: RuntimeOptions | None = None,
    data_options: config.DataOptions | None = None,
) -> EvaluationResult:
    """Does what `trainer.evaluate` says."""
    evaluation, runtime = evaluation or EvaluationOptions(), runtime or RuntimeOptions()
    run = config.read(model_dir)
    source = config.open_source(data_dir, data_options, run.data)
    config.check_data_fits(model_dir, run, data_dir, source.data)
    split = source.split(evaluation.split or run.data.validation_split)
    split.check_shards()
    _say(source.note)

    tensorflow_setup.load_tensorflow()
    from trainer import strategy
    from trainer.evaluation import evaluator
    from trainer.models import flips, trained
    from trainer.training import losses

    devices = strategy.make(runtime.strategy, runtime.virtual_devices)
    strategy.replica_batch_size(evaluation.batch_size, devices)  # Raises before the model is loaded.
    with devices.scope():
        model, _ = trained.load(model_dir, evaluation.checkpoint)
        model = flips.average(model) if evaluation.tta == FLIP else model
    found = evaluator.Evaluator(devices, model, split, batch_size=evaluation.batch_size, loss=losses.cross_entropy)
    with progress.Progress(split.num_records, 'images') as shown:
        metrics, loss = found.run(show=shown.update)
    content = {
        'split': split.name,
        'examples': split.num_records,
        'data_fingerprint': source.data.fingerprint,
        'checkpoint': evaluation.checkpoint,
        'tta': evaluation.tta,
        'step': trained.step_of(model_dir, evaluation.checkpoint),
        'loss': loss,
        **formatting.to_json(metrics, run.label_map),
    }
    path = os.path.join(model_dir, config.EVALUATION_DIR, f'{split.name}.json')
    unwritten = None
    try:
        with storage.writing(path):
            atomic.write(path, (json.dumps(content, indent=2, ensure_ascii=False) + '\n').encode())
    except (errors.UserError, errors.OutsideError) as error:
        unwritten = error  # the figures took minutes, and whoever reads a run need not be allowed to write there
    return EvaluationResult(metrics, path, formatting.table(metrics, run.label_map), unwritten)


def predict(
    model_dir: str, images: str, output_dir: str, prediction: PredictionOptions | None = None
) -> PredictionResult:
    """Does what `trainer.predict` says."""
    prediction = prediction or PredictionOptions()
    run = config.read(model_dir)
    config.check_output_dir('output_dir', output_dir)
    found = photos.find(images, prediction.masks)
    if prediction.data_dir:
        split = prediction.split or run.data.validation_split
        found = photos.only_of_dataset(found, prediction.data_dir, split)

    tensorflow_setup.load_tensorflow()
    from trainer.inference import pictures, predictor
    from trainer.models import flips, trained

    model, run = trained.load(model_dir)
    model = flips.average(model) if prediction.tta == FLIP else model
    with storage.writing(output_dir):
        failures = pictures.predict(found, predictor.Predictor(model), run, output_dir, prediction.batch_size)
    return PredictionResult(len(found), failures)


def export(model_dir: str, file_format: str, output_dir: str) -> None:
    """Does what `trainer.export` says."""
    config.read(model_dir)
    config.check_output_dir('output_dir', output_dir)
    output_dir = output_dir.rstrip('/') or '/'  # A temporary directory beside it has its name and a suffix.
    if os.path.lexists(output_dir):
        raise errors.UserError(f'--output_dir={output_dir} exists; remove it or choose another')
    export_formats.check_installed(file_format)

    tensorflow_setup.load_tensorflow()
    from trainer.inference import exporters

    with storage.writing(output_dir):
        exporters.export(model_dir, file_format, output_dir)


def show_augmentation(
    data_dir: str,
    output_dir: str,
    wanted: AugmentationOptions | None = None,
    data_options: config.DataOptions | None = None,
) -> str:
    """Does what `trainer.show_augmentation` says."""
    wanted = wanted or AugmentationOptions()
    name, pairs, seed = wanted.augmentation, wanted.pairs, wanted.seed
    drawn = strengths.find(name)
    config.check_output_dir('output_dir', output_dir)
    source = config.open_source(data_dir, data_options)
    split = source.split(config.TRAIN_SPLIT)
    split.check_shards()
    _say(source.note)

    tensorflow_setup.load_tensorflow()
    from seg_pipeline.input import augmentation, decoding, pipeline

    def first_pairs(
        policy: augmentation.Policy, done: int, shown: progress.Progress
    ) -> Iterator[augmentation_page.Pair]:
        batches = pipeline.train_batches(
            split, batch_size=1, global_batch_size=1, seed=seed, start_step=0, policy=policy, cache_budget_bytes=0
        )
        with decoding.naming_damaged_shards(split):
            for number, (images, masks) in enumerate(batches.take(pairs).as_numpy_iterator(), start=1):
                shown.update(done + number)
                yield images[0], masks[0, ..., 0]

    policy = augmentation.find(name, drawn)
    with progress.Progress(2 * pairs, 'pairs') as shown:
        before, after = list(first_pairs(augmentation.NONE, 0, shown)), list(first_pairs(policy, pairs, shown))
    rows = [augmentation_page.BeforeAndAfter(*states) for states in zip(before, after, strict=True)]
    title = f'--augmentation={name} on {source.data.dataset_name}, seed {seed}'
    path = os.path.join(output_dir, 'augmentation.html')
    with storage.writing(output_dir):
        atomic.write(path, augmentation_page.render(rows, split.label_map, title, str(drawn or policy)))
    return path


def load_model(model_dir: str, checkpoint: str | None = None) -> tuple['keras.Model', config.RunConfig]:
    """Does what `trainer.load_model` says."""
    config.read(model_dir)

    tensorflow_setup.load_tensorflow()
    from trainer.models import trained

    return trained.load(model_dir, checkpoint or config.BEST)
