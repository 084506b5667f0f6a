"""Every optimizer that a recipe may name, its weight decay, and the encoder's own learning rate."""

import keras
import numpy as np
import pytest

from trainer import config
from trainer.models import segmenter
from trainer.training import optimizers


@pytest.fixture(scope='module')
def network():
    return segmenter.build('tiny_bn', (32, 32), 3)


def _recipe(**options):
    return config.Recipe(encoder='tiny_bn', encoder_weights='none', **options)


@pytest.mark.parametrize('name', config.OPTIMIZERS)
def test_a_recipe_s_optimizer_is_made_with_its_learning_rate(network, name):
    made = optimizers.make(_recipe(optimizer=name), network, 0.25)
    assert type(made).__name__.lower() == name
    assert float(made.learning_rate) == 0.25


@pytest.mark.parametrize('name', config.OPTIMIZERS)
def test_without_options_a_step_is_that_of_keras(network, name):
    rng = np.random.default_rng(0)
    start = [variable.numpy() for variable in network.trainable_variables]
    gradients = [rng.normal(size=variable.shape).astype(np.float32) for variable in start]
    decay = {'weight_decay': 0.0} if name == 'adamw' else {}
    after = []
    for made in (
        keras.optimizers.get({'class_name': name, 'config': {'learning_rate': 0.1, **decay}}),
        optimizers.make(_recipe(optimizer=name, weight_decay=0.0), network, 0.1),
    ):
        for _ in range(2):
            made.apply([keras.ops.convert_to_tensor(gradient) for gradient in gradients], network.trainable_variables)
        after.append([variable.numpy() for variable in network.trainable_variables])
        for variable, value in zip(network.trainable_variables, start, strict=True):
            variable.assign(value)
    for ours, theirs, before in zip(*after, start, strict=True):
        np.testing.assert_array_equal(ours, theirs)
        assert not np.array_equal(ours, before)


@pytest.mark.parametrize(('name', 'decay', 'expected'), [('sgd', 0.5, 0.5), ('adamw', None, 0.004), ('adam', None, 0)])
def test_kernels_decay_at_their_own_rate_and_nothing_else_does(two_devices, name, decay, expected):
    with two_devices.scope():
        mirrored = segmenter.build('tiny_bn', (32, 32), 3)
        recipe = _recipe(optimizer=name, weight_decay=decay, encoder_learning_rate_scale=0.25)
        made = optimizers.make(recipe, mirrored, 0.1)
    variables = mirrored.trainable_variables
    for variable in variables:
        variable.assign(np.full(variable.shape, 2.0))
    nothing = [keras.ops.zeros(variable.shape) for variable in variables]
    two_devices.run(lambda: made.apply(nothing, variables))
    for variable in variables:
        rate = 0.1 * (0.25 if variable.path.startswith(('conv', 'norm')) else 1)
        is_kernel = variable.name == 'kernel'
        np.testing.assert_allclose(variable, 2 - 2 * rate * expected * is_kernel, rtol=1e-6, err_msg=variable.path)


@pytest.mark.parametrize('name', config.OPTIMIZERS)
def test_the_encoder_learns_at_a_part_of_the_rate(network, name):
    start = [variable.numpy() for variable in network.trainable_variables]
    made = optimizers.make(_recipe(optimizer=name, encoder_learning_rate_scale=0.25, weight_decay=0.0), network, 0.1)
    gradients = [keras.ops.ones(variable.shape) for variable in network.trainable_variables]
    made.apply(gradients, network.trainable_variables)
    steps = {
        variable.path.startswith(('conv', 'norm')): float((before - variable.numpy()).mean())
        for variable, before in zip(network.trainable_variables, start, strict=True)
    }
    assert steps[True] == pytest.approx(0.25 * steps[False], rel=1e-4)
    assert steps[False] > 0.09
    for variable, value in zip(network.trainable_variables, start, strict=True):
        variable.assign(value)


def test_momentum_by_hand(network):
    made = optimizers.make(_recipe(optimizer='sgd', momentum=0.5), network, 0.1)
    start = network.trainable_variables[0].numpy()
    for _ in range(2):
        made.apply([keras.ops.ones(variable.shape) for variable in network.trainable_variables])
    # Velocities 0.1 and 0.5 * 0.1 + 0.1.
    np.testing.assert_allclose(start - network.trainable_variables[0].numpy(), 0.1 + 0.15, rtol=1e-4)
