"""Seconds a step and peak memory of the trainer's own loop, beside plain keras.Model.fit on the same batches.

python -m benchmarks.train_step [--data_dir=DATASET_DIR] [flags]

Keras's contender trains the same network of Keras's layers as they are; the trainer's has their fused normalization.
Where there is no GPU, the trainer runs on the CPU divided into two devices too; where there is one, in each precision,
compiled by XLA, and with ten steps a call. Each contender runs in a process of its own, so that the peak of its memory
is its own; the first steps, which trace and warm up, are counted apart. Without --data_dir a small synthetic data set
is drawn and prepared first.
"""

import dataclasses
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

from absl import flags

from seg_pipeline import command_line
from seg_pipeline.dataset import manifest as manifest_lib
from seg_pipeline.dataset.dataset_split import DatasetSplit
from trainer import tensorflow_setup

_DATA_DIR = flags.DEFINE_string('data_dir', None, 'Data set; default: a synthetic one.')
_ENCODER = flags.DEFINE_string('encoder', 'densenet121', 'Encoder of the U-Net, with fresh weights; all of it learns.')
_DECODER = flags.DEFINE_string('decoder', 'pix2pix', 'Decoder of the network.')
_BATCH_SIZE = flags.DEFINE_integer('batch_size', 16, 'Global batch size.', 1)
_STEPS = flags.DEFINE_integer('steps', 6, 'Steps that count.', 1)
_WARMUP = flags.DEFINE_integer('warmup', 2, 'Steps before those.', 1)
_PRECISION = flags.DEFINE_string('precision', 'float32', 'Of every contender that does not say another.')
_CONTENDER = flags.DEFINE_string(
    'contender', None, 'Run this one alone, in this process, and print its result as JSON.'
)

_MIB_PER_RSS_UNIT = 2**-20 if sys.platform == 'darwin' else 2**-10


@dataclasses.dataclass(frozen=True)
class Contender:
    """How one contender trains.

    Attributes:
        keras: by keras.Model.fit, with Keras's own layers; else by the trainer's step.
        devices: into how many the CPU is divided; 0 takes it, or the GPU, as it is.
        precision: None for --precision.
        jit_compile: let XLA compile the step.
        steps_per_call: steps in one call of TensorFlow.
    """

    keras: bool = False
    devices: int = 0
    precision: str | None = None
    jit_compile: bool = False
    steps_per_call: int = 1


_EVERYWHERE = {'trainer': Contender(), 'keras.Model.fit': Contender(keras=True)}
_ON_CPU = {'trainer, 2 devices': Contender(devices=2)}
_ON_GPU = {
    'trainer, bfloat16': Contender(precision='bfloat16'),
    'trainer, float16': Contender(precision='float16'),
    'trainer, XLA': Contender(jit_compile=True),
    'trainer, bfloat16, XLA': Contender(precision='bfloat16', jit_compile=True),
    'trainer, bfloat16, XLA, 10 steps a call': Contender(precision='bfloat16', jit_compile=True, steps_per_call=10),
}
CONTENDERS = {**_EVERYWHERE, **_ON_CPU, **_ON_GPU}


@dataclasses.dataclass(frozen=True)
class Result:
    """What one contender took.

    Attributes:
        seconds_a_step: median; of the steps of a call, their mean.
        warmup_seconds: tracing included.
        input_wait_share: part of the steps' time spent waiting for input; None where the contender hides it.
        peak_rss_mib: of its whole process.
        loss: mean over the steps that count, to see that all did the same work.
        has_gpu: whether there is one.
    """

    seconds_a_step: float
    warmup_seconds: float
    input_wait_share: float | None
    peak_rss_mib: float
    loss: float
    has_gpu: bool


def main(argv: list[str]) -> None:
    """Measures every contender and prints one table."""
    del argv
    tensorflow_setup.start_tensorflow()
    settings = _Settings(
        _ENCODER.value, _DECODER.value, _BATCH_SIZE.value, _PRECISION.value, _WARMUP.value, _STEPS.value
    )
    if _CONTENDER.value:
        print(json.dumps(dataclasses.asdict(_run(CONTENDERS[_CONTENDER.value], settings, _DATA_DIR.value))))
        return
    with tempfile.TemporaryDirectory() as scratch:
        data_dir = _DATA_DIR.value or _synthetic_data(scratch)
        height, width = manifest_lib.read(data_dir).image_size
        results = {name: _measure(name, data_dir) for name in _EVERYWHERE}
        has_gpu = results['trainer'].has_gpu
        results |= {name: _measure(name, data_dir) for name in (_ON_GPU if has_gpu else _ON_CPU)}
    print(f'\n{settings}, {height}x{width}, {os.cpu_count()} cores')
    columns = (
        f'{"s/step":>8} {"of fit":>7} {"images/s":>9} {"warm-up s":>10} {"input wait":>11} {"peak MiB":>9} {"loss":>8}'
    )
    print(f'{"":40} {columns}')
    of_fit = results['keras.Model.fit'].seconds_a_step
    for name, result in results.items():
        wait = '-' if result.input_wait_share is None else f'{result.input_wait_share:.1%}'
        print(
            f'{name:40} {result.seconds_a_step:8.3f} {result.seconds_a_step / of_fit:7.2f} '
            f'{settings.batch_size / result.seconds_a_step:9.1f} {result.warmup_seconds:10.1f} {wait:>11} '
            f'{result.peak_rss_mib:9.0f} {result.loss:8.4f}'
        )


@dataclasses.dataclass(frozen=True)
class _Settings:
    """What all contenders share; the flags of the same names."""

    encoder: str
    decoder: str
    batch_size: int
    precision: str
    warmup: int
    steps: int


def _measure(name: str, data_dir: str) -> Result:
    """Runs one contender in a fresh process."""
    print(f'{name} ...', flush=True)
    own = [argument for argument in sys.argv[1:] if not argument.startswith('--data_dir')]
    command = [sys.executable, '-m', 'benchmarks.train_step', *own, f'--data_dir={data_dir}', f'--contender={name}']
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return Result(**json.loads(done.stdout.splitlines()[-1]))


def _synthetic_data(scratch: str) -> str:
    """Draws and prepares 128 pairs at 128x128; returns the directory of the data set."""
    pairs = pathlib.Path(scratch) / 'pairs'
    draw = [sys.executable, '-m', 'seg_pipeline.synthetic', f'--output_dir={pairs}', '--pairs=128']
    subprocess.run(draw, check=True, stdout=subprocess.DEVNULL)
    prepare = [sys.executable, '-m', 'beam_jobs.prepare_dataset', f'--images={pairs / "png_images"}']
    prepare += [f'--masks={pairs / "png_masks"}', f'--labels={pairs / "labels.csv"}', f'--output_dir={scratch}/data']
    done = subprocess.run(prepare, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout.splitlines()[-1]


def _run(contender: Contender, settings: _Settings, data_dir: str) -> Result:
    from seg_pipeline.input import augmentation, pipeline
    from trainer import config, strategy
    from trainer.training import checkpoints

    manifest = manifest_lib.read(data_dir)
    recipe = config.Recipe(
        encoder=settings.encoder,
        decoder=settings.decoder,
        encoder_weights=config.NO_WEIGHTS,
        batch_size=settings.batch_size,
        frozen_epochs=0,
        precision=contender.precision or settings.precision,
    )
    devices = strategy.make('auto', contender.devices)

    def batches(context: Any = None) -> Any:
        replicas = context.num_replicas_in_sync if context else 1
        return pipeline.train_batches(
            DatasetSplit(data_dir, manifest, config.TRAIN_SPLIT),
            batch_size=recipe.batch_size // replicas,
            global_batch_size=recipe.batch_size,
            seed=0,
            start_step=0,
            policy=augmentation.ARTICLE,
            cache_budget_bytes=recipe.cache_budget_bytes,
        )

    run = config.RunConfig(recipe, config.Data.from_manifest(manifest))
    state = checkpoints.create_state(run, devices, None)
    train = _keras_fit if contender.keras else _own_steps
    return train(contender, settings, run, devices, state, batches)


def _own_steps(
    contender: Contender, settings: _Settings, run: Any, devices: Any, state: Any, batches: Callable[..., Any]
) -> Result:
    import tensorflow as tf

    from trainer.training import objective, steps

    optimizer, rate = state.optimizers['fine_tune'], run.recipe.learning_rate
    of_run = objective.Objective.of(run.recipe, run.label_map.ignore_id)
    step = steps.make_train_step(
        devices,
        state.model,
        optimizer,
        state.totals,
        of_run,
        counter=state.step,
        loss_scale=state.loss_scale,
        jit_compile=contender.jit_compile,
    )
    iterator = iter(devices.distribute_datasets_from_function(batches))
    per_call = contender.steps_per_call
    several = steps.make_call(step, iterator, optimizer, state.step) if per_call > 1 else None
    waiting, times = [], []
    for number in range(settings.warmup + settings.steps):
        if number == settings.warmup:
            state.totals.reset()
        began = received = time.perf_counter()
        if several is None:
            images, masks = next(iterator)
            received = time.perf_counter()
            step(images, masks)
            state.step.assign_add(1)
        else:
            several(tf.fill([per_call], rate))
        loss = state.totals.mean_loss()  # Waits for an accelerator to be done.
        times.append((time.perf_counter() - began) / per_call)
        waiting.append(received - began)
    share = None if several else sum(waiting[settings.warmup :]) / sum(times[settings.warmup :])
    return _result(times, settings.warmup, loss, share)


def _keras_fit(
    contender: Contender, settings: _Settings, run: Any, devices: Any, state: Any, batches: Callable[..., Any]
) -> Result:
    import keras

    del contender
    times: list[float] = []
    losses: list[float] = []

    class Stopwatch(keras.callbacks.Callback):
        began = time.perf_counter()

        def on_train_batch_end(self, batch: int, logs: dict[str, float]) -> None:
            del batch
            times.append(time.perf_counter() - self.began)
            losses.append(float(logs['loss']))
            self.began = time.perf_counter()

    _give_back_to_keras(state.model)
    with devices.scope():
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=run.label_map.ignore_id)
        state.model.compile(state.optimizers['fine_tune'], loss)
    total = settings.warmup + settings.steps
    state.model.fit(batches(), steps_per_epoch=total, epochs=1, verbose=0, shuffle=False, callbacks=[Stopwatch()])
    # Keras reports the running mean of the epoch; this takes the warm-up out of it.
    counted = (losses[-1] * total - losses[settings.warmup - 1] * settings.warmup) / settings.steps
    return _result(times, settings.warmup, counted, None)


def _give_back_to_keras(model: Any) -> None:
    """Takes the trainer's own calls off the layers of a model, so that each computes as Keras made it."""
    for layer in model._flatten_layers():
        if 'call' in vars(layer):
            del layer.call
        if hasattr(layer, 'synchronized'):
            layer.synchronized = False


def _result(times: list[float], warmup: int, loss: float, input_wait_share: float | None) -> Result:
    import tensorflow as tf

    return Result(
        seconds_a_step=statistics.median(times[warmup:]),
        warmup_seconds=sum(times[:warmup]),
        input_wait_share=input_wait_share,
        peak_rss_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _MIB_PER_RSS_UNIT,
        loss=loss,
        has_gpu=bool(tf.config.list_physical_devices('GPU')),
    )


if __name__ == '__main__':
    command_line.run(main)
