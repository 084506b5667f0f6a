"""The loss scale of float16 by hand: which gradients arrive, and which steps are left out."""

import dataclasses
import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.trainer.training import distributed
from trainer.models import precision
from trainer.training import averaging, objective, steps

_SIZE = 16  # so that the batch of 4 has 2**10 pixels


@dataclasses.dataclass
class _Run:
    """A network of one weight w, which computes in float16: the logits of a pixel are (top * w * pixel, 0)."""

    devices: tf.distribute.Strategy
    model: keras.Model
    optimizer: keras.optimizers.Optimizer
    totals: steps.TrainTotals
    scale: precision.LossScale
    parts: int = 1
    clip_norm: float = 0.0

    @property
    def weight(self):
        return float(np.squeeze(self.model.trainable_weights[0]))

    @property
    def updates(self):
        return int(np.asarray(self.optimizer.iterations))

    def step(self, images):
        """The mean cross-entropy of class 0: its derivative by w is top * -1/2 * the mean of the pixels, as w is 0."""
        masks = np.zeros((*images.shape[:3], 1), np.uint8)
        if self.parts == 1:
            self._step(*distributed.distribute(self.devices, images, masks))
        else:
            parts = zip(np.split(images, self.parts), np.split(masks, self.parts), strict=True)
            self._step([distributed.distribute(self.devices, *part) for part in parts])

    @functools.cached_property
    def _step(self):
        made = (self.devices, self.model, self.optimizer, self.totals, objective.Objective(255))
        make = steps.make_train_step if self.parts == 1 else steps.make_accumulating_step
        return make(*made, clip_norm=self.clip_norm, loss_scale=self.scale)


def _run(devices, top, growth_steps=2000, **options):
    with devices.scope():
        images = keras.Input((_SIZE, _SIZE, 1))
        x = keras.layers.Conv2D(1, 1, use_bias=False, kernel_initializer='zeros', dtype='mixed_float16')(images)
        last = keras.layers.Conv2D(2, 1, use_bias=False, trainable=False)
        model = keras.Model(images, last(x))
        last.kernel.assign(np.reshape([top, 0.0], (1, 1, 1, 2)))
        optimizer = keras.optimizers.SGD(1.0, momentum=0.5)
        optimizer.build(model.trainable_variables)
    return _Run(devices, model, optimizer, steps.TrainTotals(), precision.LossScale(growth_steps), **options)


def _images(*pixels):
    """Images of one brightness each."""
    return np.broadcast_to(np.reshape(pixels, (-1, 1, 1, 1)), (len(pixels), _SIZE, _SIZE, 1)).astype(np.float32)


@pytest.fixture(params=['one_device', 'two_devices'])
def devices(request):
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize(('options', 'share'), [({}, 1.0), ({'parts': 2}, 1.0), ({'clip_norm': 2.0**-22}, 0.5)])
def test_gradients_that_float16_does_not_have_arrive(devices, options, share):
    # By the output of the first layer the derivative is top * -1/2 / 2**10 = -2**-31; 2**-24 is the least of float16.
    run = _run(devices, top=2.0**-20, **options)
    run.step(_images(1, 1, 1, 1))
    assert run.weight == share * 2.0**-21
    without = _run(devices, top=2.0**-20, **options)
    without.scale.scale.assign(1.0)
    without.step(_images(1, 1, 1, 1))
    assert without.weight == 0.0


# Of two replicas one alone has a gradient that is not 0.
@pytest.mark.parametrize(('options', 'pixels'), [({}, (2, 2, 0, 0)), ({}, (0, 0, 2, 2)), ({'parts': 2}, (0, 2, 0, 2))])
def test_a_step_whose_gradients_are_too_large_is_left_out_and_halves_the_scale(devices, options, pixels):
    # The derivative by w is -2**9, and times a scale of 2**7 it is 2**16, which float16 does not have: 9 halvings.
    run = _run(devices, top=2.0**10, **options)
    for left_out in range(1, 10):
        run.step(_images(*pixels))
        assert (run.weight, run.updates) == (0.0, 0)
        assert float(run.scale.scale) == 2.0 ** (15 - left_out)
        assert int(run.scale.skipped) == left_out
    assert all(not np.any(variable) for variable in run.optimizer.variables[2:])  # no momentum either
    run.step(_images(*pixels))
    assert (run.weight, run.updates) == (2.0**9, 1)
    assert (float(run.scale.scale), int(run.scale.skipped), int(run.scale.finite_steps)) == (2.0**6, 0, 1)
    assert int(run.totals.valid) == 10 * 2**10  # the losses of the steps that were left out are true ones
    assert run.totals.mean_loss() == pytest.approx(np.log(2))


def test_the_scale_doubles_after_so_many_finite_steps_in_a_row(devices):
    run = _run(devices, top=1.0, growth_steps=3)
    scales = []
    for pixel in (0, 0, np.inf, 0, 0, 0, 0):
        run.step(_images(pixel, 0, 0, 0))
        scales.append(float(run.scale.scale) / 2**15)
    assert scales == [1, 1, 0.5, 0.5, 0.5, 1, 1]
    assert int(run.totals.valid) == 6 * 2**10  # a loss that is no number is not counted
    assert run.totals.mean_loss() == pytest.approx(np.log(2))


def test_the_scale_ends_below_its_least():
    scale = precision.LossScale()
    for _ in range(20):
        scale.step(tf.constant(False), lambda: None)
    assert float(scale.scale) == precision.LEAST_SCALE / 2
    assert int(scale.skipped) == 20


def test_the_average_takes_no_step_that_was_left_out(devices):
    with devices.scope():
        averaged, model = (keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]) for _ in range(2))
    scale = precision.LossScale()
    average = averaging.make_averaging(devices, averaged, model, 0.5, scale)
    before = averaged.get_weights()
    scale.skipped.assign(1)
    average(np.int64(1))
    assert all(np.array_equal(a, b) for a, b in zip(averaged.get_weights(), before, strict=True))
    scale.skipped.assign(0)
    average(np.int64(1))
    assert not np.array_equal(averaged.get_weights()[0], before[0])
