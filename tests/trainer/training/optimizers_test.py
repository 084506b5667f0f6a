"""Every optimizer that a recipe may name."""

import pytest

from trainer import config
from trainer.training import optimizers


@pytest.mark.parametrize('name', config.OPTIMIZERS)
def test_a_recipe_s_optimizer_is_made_with_its_learning_rate(name):
    made = optimizers.make(name, 0.25)
    assert type(made).__name__.lower() == name
    assert float(made.learning_rate) == 0.25
