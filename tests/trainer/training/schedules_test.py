"""The phases of a run."""

import math

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


def _rates(steps, epoch_steps, phase=0, **options):
    recipe = config.Recipe(epochs=4, frozen_epochs=2, learning_rate=8.0, fine_tune_learning_rate=2.0, **options)
    found = schedules.phases(recipe)[phase]
    return [schedules.learning_rate(recipe, found, epoch_steps, step) for step in steps]


def test_a_constant_rate_after_warm_up():
    assert _rates(range(6), 3, warmup_steps=4) == [2, 4, 6, 8, 8, 8]
    assert _rates([0, 5], 3) == [8, 8]


def test_cosine_falls_in_each_phase_anew():
    # Phases of 2 epochs of 3 steps: 2 steps of warm-up, then t = 0, 1/4, 1/2, 3/4 of half a turn.
    half = math.sqrt(0.5)
    expected = [0.5, 1, 1, (1 + half) / 2, 0.5, (1 - half) / 2]
    assert _rates(range(6), 3, schedule='cosine', warmup_steps=2) == pytest.approx([8 * x for x in expected])
    assert _rates(range(6, 12), 3, 1, schedule='cosine', warmup_steps=2) == pytest.approx([2 * x for x in expected])


def test_polynomial_by_hand():
    expected = [8, 8 * 0.75**0.9, 8 * 0.5**0.9, 8 * 0.25**0.9]
    assert _rates(range(4), 2, schedule='polynomial') == pytest.approx(expected)


@pytest.mark.parametrize('schedule', config.SCHEDULES)
def test_a_warm_up_longer_than_the_run_goes_on(schedule):
    assert _rates([0, 3], 2, schedule=schedule, warmup_steps=800) == pytest.approx([0.01, 0.04])
