"""The moving average of the weights by hand."""

import keras
import numpy as np
import pytest

from trainer.training import averaging


def _network():
    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(1), keras.layers.BatchNormalization()])


@pytest.mark.parametrize('decay', [0.25, 0.9])
def test_the_average_starts_quickly_and_then_keeps_its_decay(one_device, two_devices, decay):
    for devices in (one_device, two_devices):
        with devices.scope():
            averaged, model = _network(), _network()
        for weight in averaged.weights:
            weight.assign(np.full(weight.shape, 8.0))
        average = averaging.make_averaging(devices, averaged, model, decay)
        expected = 8.0
        for n in (1, 2, 3):
            for weight in model.weights:
                weight.assign(np.full(weight.shape, float(n)))
            average(np.int64(n))
            kept = min(decay, (1 + n) / (10 + n))  # 2/11, 3/12, 4/13
            expected = kept * expected + (1 - kept) * n
            for weight in averaged.weights:
                np.testing.assert_allclose(weight, expected, rtol=1e-6)
