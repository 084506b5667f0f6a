"""The phases of a run."""

import pytest

from seg_pipeline import errors
from trainer import config
from trainer.training import schedules


def test_the_article_freezes_for_twenty_epochs_and_fine_tunes_for_twenty():
    assert schedules.phases(config.Recipe()) == (
        schedules.Phase('frozen', 0, 20, 1e-3),
        schedules.Phase('fine_tune', 20, 40, 1e-3),
    )


def test_without_frozen_epochs_there_is_one_phase():
    recipe = config.Recipe(epochs=5, frozen_epochs=0, fine_tune_learning_rate=1e-4)
    assert schedules.phases(recipe) == (schedules.Phase('fine_tune', 0, 5, 1e-4),)


def test_an_all_frozen_run_keeps_an_empty_phase_to_be_taken_further():
    frozen, fine_tune = schedules.phases(config.Recipe(epochs=5, frozen_epochs=5))
    assert (frozen.end, fine_tune.begin, fine_tune.end) == (5, 5, 5)
    assert not frozen.trains_encoder
    assert fine_tune.trains_encoder


def test_zero_is_a_learning_rate():
    assert schedules.phases(config.Recipe(fine_tune_learning_rate=0.0))[1].learning_rate == 0.0


@pytest.mark.parametrize(('examples', 'batch', 'steps'), [(800, 64, 13), (64, 64, 1), (65, 64, 2), (9, 4, 3)])
def test_zero_steps_are_one_pass(examples, batch, steps):
    assert schedules.steps_per_epoch(config.Recipe(steps_per_epoch=0, batch_size=batch), examples) == steps


def test_more_frozen_epochs_than_epochs_are_refused():
    with pytest.raises(errors.UserError, match='--frozen_epochs=9 is more than --epochs=8'):
        config.Recipe(epochs=8, frozen_epochs=9)
