"""Seconds a step and peak memory of the trainer's own loop, beside plain keras.Model.fit on the same model and batches.

python -m benchmarks.train_step [--data_dir=DATASET_DIR] [flags]

Each contender runs in a process of its own, so that the peak of its memory is its own; the first steps, which trace
and warm up, are counted apart. Without --data_dir a small synthetic data set is drawn and prepared first.
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
_BATCH_SIZE = flags.DEFINE_integer('batch_size', 16, 'Global batch size.', 1)
_STEPS = flags.DEFINE_integer('steps', 6, 'Steps that count.', 1)
_WARMUP = flags.DEFINE_integer('warmup', 2, 'Steps before those.', 1)
_VIRTUAL_DEVICES = flags.DEFINE_integer('virtual_devices', 0, 'Split the CPU; 0: do not.', 0)
_CONTENDER = flags.DEFINE_string(
    'contender', None, 'Run this one alone, in this process, and print its result as JSON.'
)

_MIB_PER_RSS_UNIT = 2**-20 if sys.platform == 'darwin' else 2**-10


@dataclasses.dataclass(frozen=True)
class Result:
    """What one contender took.

    Attributes:
        seconds_a_step: median.
        warmup_seconds: tracing included.
        input_wait_share: part of the steps' time spent waiting for input; None where the contender hides it.
        peak_rss_mib: of its whole process.
        loss: mean over the steps that count, to see that both did the same work.
    """

    seconds_a_step: float
    warmup_seconds: float
    input_wait_share: float | None
    peak_rss_mib: float
    loss: float


def main(argv: list[str]) -> None:
    """Measures every contender and prints one table."""
    del argv
    tensorflow_setup.start_tensorflow()
    if _CONTENDER.value:
        print(json.dumps(dataclasses.asdict(CONTENDERS[_CONTENDER.value](_DATA_DIR.value))))
        return
    with tempfile.TemporaryDirectory() as scratch:
        data_dir = _DATA_DIR.value or _synthetic_data(scratch)
        results = {name: _measure(name, data_dir) for name in CONTENDERS}
    height, width = manifest_lib.read(data_dir).image_size if _DATA_DIR.value else (128, 128)
    print(
        f'\n{_ENCODER.value}, batch {_BATCH_SIZE.value}, {height}x{width}, {_STEPS.value} steps, {os.cpu_count()} cores'
    )
    print(f'{"":18} {"s/step":>8} {"images/s":>9} {"warm-up s":>10} {"input wait":>11} {"peak MiB":>9} {"loss":>8}')
    for name, result in results.items():
        wait = '-' if result.input_wait_share is None else f'{result.input_wait_share:.1%}'
        print(
            f'{name:18} {result.seconds_a_step:8.3f} {_BATCH_SIZE.value / result.seconds_a_step:9.1f} '
            f'{result.warmup_seconds:10.1f} {wait:>11} {result.peak_rss_mib:9.0f} {result.loss:8.4f}'
        )


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


def _prepare(data_dir: str) -> tuple[Any, Any, Any, Callable[[Any], Any]]:
    """Makes what both contenders share: devices, a state whose encoder learns, the label table, the batches."""
    from seg_pipeline.input import augmentation, pipeline
    from trainer import config, strategy
    from trainer.training import checkpoints

    manifest = manifest_lib.read(data_dir)
    recipe = config.Recipe(
        encoder=_ENCODER.value, encoder_weights=config.NO_WEIGHTS, batch_size=_BATCH_SIZE.value, frozen_epochs=0
    )
    run = config.RunConfig(recipe, config.Data.from_manifest(manifest))
    devices = strategy.make('auto', _VIRTUAL_DEVICES.value)

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

    return devices, checkpoints.create_state(run, devices, None), run.label_map, batches


def _own_loop(data_dir: str) -> Result:
    from trainer.training import objective, steps

    devices, state, label_map, batches = _prepare(data_dir)
    step = steps.make_train_step(
        devices, state.model, state.optimizers['fine_tune'], state.totals, objective.Objective(label_map.ignore_id)
    )
    iterator = iter(devices.distribute_datasets_from_function(batches))
    waiting, times = [], []
    for number in range(_WARMUP.value + _STEPS.value):
        if number == _WARMUP.value:
            state.totals.reset()
        began = time.perf_counter()
        images, masks = next(iterator)
        received = time.perf_counter()
        step(images, masks)
        loss = state.totals.mean_loss()  # Waits for an accelerator to be done.
        times.append(time.perf_counter() - began)
        waiting.append(received - began)
    share = sum(waiting[_WARMUP.value :]) / sum(times[_WARMUP.value :])
    return _result(times, loss, share)


def _keras_fit(data_dir: str) -> Result:
    import keras

    devices, state, label_map, batches = _prepare(data_dir)
    times: list[float] = []
    losses: list[float] = []

    class Stopwatch(keras.callbacks.Callback):
        began = time.perf_counter()

        def on_train_batch_end(self, batch: int, logs: dict[str, float]) -> None:
            del batch
            times.append(time.perf_counter() - self.began)
            losses.append(float(logs['loss']))
            self.began = time.perf_counter()

    with devices.scope():
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=label_map.ignore_id)
        state.model.compile(state.optimizers['fine_tune'], loss)
    total = _WARMUP.value + _STEPS.value
    state.model.fit(batches(), steps_per_epoch=total, epochs=1, verbose=0, shuffle=False, callbacks=[Stopwatch()])
    # Keras reports the running mean of the epoch; this takes the warm-up out of it.
    counted = (losses[-1] * total - losses[_WARMUP.value - 1] * _WARMUP.value) / _STEPS.value
    return _result(times, counted, None)


def _result(times: list[float], loss: float, input_wait_share: float | None) -> Result:
    return Result(
        seconds_a_step=statistics.median(times[_WARMUP.value :]),
        warmup_seconds=sum(times[: _WARMUP.value]),
        input_wait_share=input_wait_share,
        peak_rss_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _MIB_PER_RSS_UNIT,
        loss=loss,
    )


CONTENDERS: dict[str, Callable[[str], Result]] = {'trainer': _own_loop, 'keras.Model.fit': _keras_fit}


if __name__ == '__main__':
    command_line.run(main)
