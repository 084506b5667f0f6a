"""The phases of a run: what learns when, and how fast."""

import dataclasses
import math

from trainer import config

FROZEN = 'frozen'
FINE_TUNE = 'fine_tune'

_POLYNOMIAL_POWER = 0.9  # DeepLab's


@dataclasses.dataclass(frozen=True)
class Phase:
    """A part of a run with an optimizer of its own.

    Attributes:
        name: `FROZEN` or `FINE_TUNE`.
        begin: its first epoch, counted from 0.
        end: the epoch after its last.
        learning_rate: at its peak, which a constant schedule keeps.
    """

    name: str
    begin: int
    end: int
    learning_rate: float

    @property
    def trains_encoder(self) -> bool:
        return self.name == FINE_TUNE


def phases(recipe: config.Recipe) -> tuple[Phase, ...]:
    """Returns the phases of a run in order: the frozen one, unless it has no epochs, and fine-tuning.

    Fine-tuning is always there, if only with no epochs: its optimizer is a part of every checkpoint, so that those of a
    run that was frozen throughout can be restored when the run is extended by epochs that fine-tune.
    """
    fine_tune_rate = recipe.learning_rate if recipe.fine_tune_learning_rate is None else recipe.fine_tune_learning_rate
    frozen = Phase(FROZEN, 0, recipe.frozen_epochs, recipe.learning_rate)
    fine_tune = Phase(FINE_TUNE, recipe.frozen_epochs, recipe.epochs, fine_tune_rate)
    return (frozen, fine_tune) if recipe.frozen_epochs else (fine_tune,)


def steps_per_epoch(recipe: config.Recipe, num_examples: int) -> int:
    """Returns the optimizer steps of one epoch on a training split of `num_examples`."""
    return recipe.steps_per_epoch or math.ceil(num_examples / recipe.batch_size)


def learning_rate(recipe: config.Recipe, phase: Phase, epoch_steps: int, step: int) -> float:
    """Returns the learning rate of one step.

    Each phase warms up and falls by itself, as each begins with a new optimizer. In a phase of n steps, w of them
    warm-up, step k = 0, ..., n - 1 has the peak rate times (k + 1) / w while k < w, and then, with
    t = (k - w) / (n - w), times

        constant     1
        cosine       (1 + cos(pi t)) / 2
        polynomial   (1 - t) ** 0.9

    Args:
        recipe: names schedule and warm-up.
        phase: the one in which the step is.
        epoch_steps: steps of an epoch.
        step: its number in the run, counted from 0.
    """
    k, n, w = step - phase.begin * epoch_steps, (phase.end - phase.begin) * epoch_steps, recipe.warmup_steps
    if k < w:
        return phase.learning_rate * (k + 1) / w
    t = (k - w) / (n - w)
    if recipe.schedule == 'cosine':
        return phase.learning_rate * (1 + math.cos(math.pi * t)) / 2
    if recipe.schedule == 'polynomial':
        return phase.learning_rate * float((1 - t) ** _POLYNOMIAL_POWER)
    return phase.learning_rate
