"""Every encoder learns the same on 1 and on 2 devices, its dropout and its normalization included."""

import numpy as np
import pytest

from tests.trainer.training import devices_table
from trainer.models import encoders

_SMALL = ('tiny', 'tiny_bn')
# Its last maps have one or a few pixels here: any two ways to compute its normalization, Keras's two among them, differ
# by 0.7e-2 to 1.1e-2.
_ROUNDING = {'inception_v3': 3e-2}


@pytest.mark.parametrize(
    'name', [pytest.param(name, marks=[] if name in _SMALL else [pytest.mark.slow]) for name in encoders.ENCODERS]
)
def test_one_device_and_two_learn_the_same(one_device, two_devices, name):
    one, loss = devices_table.train(one_device, name)
    two, loss_of_two = devices_table.train(two_devices, name)
    assert loss_of_two == pytest.approx(loss, rel=1e-5)
    # A step is small against the weights, so a part of it is rounding. Other noise would change all of it.
    assert np.linalg.norm(two - one) < _ROUNDING.get(name, 1e-2) * np.linalg.norm(one)
    assert np.linalg.norm(one) > 0
