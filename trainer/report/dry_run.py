"""What a training run will need: measured by a step of each phase, without a trace of it."""

import dataclasses
import math
import resource
import time
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from seg_pipeline import progress
from seg_pipeline.plurals import counted
from trainer.evaluation import evaluator
from trainer.training import loop, schedules


@dataclasses.dataclass(frozen=True)
class Phase:
    """A phase of a run.

    Attributes:
        name: a name of `schedules`.
        epochs: how many it has.
        steps: how many it has.
        trainable: parameters that learn in it.
        frozen: the other parameters, those of normalization among them that follow the data without a gradient.
        first_step: seconds of its first step, in which TensorFlow makes its graph.
        further_step: seconds of the next one.
    """

    name: str
    epochs: int
    steps: int
    trainable: int
    frozen: int
    first_step: float
    further_step: float

    @property
    def seconds(self) -> float:
        return self.first_step + (self.steps - 1) * self.further_step


@dataclasses.dataclass(frozen=True)
class DryRun:
    """What a run will need.

    Attributes:
        phases: those that have epochs, in order.
        input_seconds: until the first batch was there: where the training split is kept in memory, its decoding.
        validation_seconds: of one validation, beyond the first; 0 without a validation split.
        first_validation_seconds: what the first one takes longer.
        memory: peak of the resident memory of this process so far, in bytes.
        device_memory: peak by the name of each GPU, in bytes.
    """

    phases: tuple[Phase, ...]
    input_seconds: float
    validation_seconds: float
    first_validation_seconds: float
    memory: int
    device_memory: dict[str, int]

    @property
    def seconds(self) -> float:
        """Expected duration of the whole run, its checkpoints not counted."""
        epochs = sum(phase.epochs for phase in self.phases)
        validation = epochs * self.validation_seconds + self.first_validation_seconds
        return self.input_seconds + sum(phase.seconds for phase in self.phases) + validation

    def text(self) -> str:
        """The same as lines of text."""
        lines = ['dry run: nothing was written']
        for phase in self.phases:
            lines += [
                f'{phase.name}: {counted(phase.epochs, "epoch")}, {counted(phase.steps, "step")}',
                f'  parameters    {phase.trainable:,} learn, {phase.frozen:,} are frozen',
                f'  first step    {phase.first_step:.2f} s, a further one {phase.further_step:.3f} s',
            ]
        if self.validation_seconds:
            lines.append(f'validation      {self.validation_seconds:.2f} s after each epoch')
        of_devices = [f', {number / 2**20:,.0f} MiB on {name}' for name, number in self.device_memory.items()]
        lines.append(f'memory          {self.memory / 2**20:,.0f} MiB at most in this process{"".join(of_devices)}')
        lines.append(f'expected time   {progress.duration(self.seconds)} for the whole run')
        return '\n'.join(lines)


def measure(training: loop.TrainingLoop) -> DryRun:
    """Does two steps of every phase and two batches of validation.

    The weights that the steps leave are good for nothing: take another `TrainingLoop` to train.

    Raises:
        UserError: a shard cannot be read.
    """
    began = time.perf_counter()
    batches = training.batches  # decodes the split, where it is kept in memory; every step takes of the same
    input_seconds = time.perf_counter() - began
    phases = [phase for phase in schedules.phases(training.run.recipe) if phase.end > phase.begin]
    measured = tuple(_measure_phase(training, phase, batches) for phase in phases)
    first, further = _measure_validation(training)
    return DryRun(
        phases=measured,
        input_seconds=input_seconds,
        validation_seconds=further,
        first_validation_seconds=max(0.0, first - further),
        memory=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,  # Linux counts in KiB
        device_memory=_device_memory(),
    )


def _measure_phase(training: loop.TrainingLoop, phase: schedules.Phase, batches: Iterator[Any]) -> Phase:
    step = training.make_step(phase)
    model = training.state.model
    trainable = sum(math.prod(variable.shape) for variable in model.trainable_variables)
    seconds = []
    for _ in range(2):
        began = time.perf_counter()
        float(training.one_step(step, batches, loop.Clock(began)))  # until it is computed
        seconds.append(time.perf_counter() - began)
    epochs = phase.end - phase.begin
    return Phase(
        name=phase.name,
        epochs=epochs,
        steps=epochs * training.steps_per_epoch,
        trainable=trainable,
        frozen=sum(math.prod(variable.shape) for variable in model.weights) - trainable,
        first_step=seconds[0],
        further_step=seconds[1],
    )


def _measure_validation(training: loop.TrainingLoop) -> tuple[float, float]:
    """Seconds of the first validation and of a further one, by the first batch of each."""
    found = training.evaluator
    if found is None:
        return 0.0, 0.0
    seconds = []
    for _ in range(2):
        began = time.perf_counter()
        try:
            found.run(is_stopped=lambda: True)
        except evaluator.Interrupted:
            seconds.append(time.perf_counter() - began)
    return seconds[0] + (found.num_batches - 1) * seconds[1], found.num_batches * seconds[1]


def _device_memory() -> dict[str, int]:
    names = [device.name.removeprefix('/device:') for device in tf.config.list_logical_devices('GPU')]
    return {name: int(tf.config.experimental.get_memory_info(name)['peak']) for name in names}
