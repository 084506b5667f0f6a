"""The phases of a run: what learns when, and how fast."""

import dataclasses
import math

from trainer import config

FROZEN = 'frozen'
FINE_TUNE = 'fine_tune'


@dataclasses.dataclass(frozen=True)
class Phase:
    """A part of a run with an optimizer of its own.

    Attributes:
        name: `FROZEN` or `FINE_TUNE`.
        begin: its first epoch, counted from 0.
        end: the epoch after its last.
        learning_rate: constant throughout.
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
