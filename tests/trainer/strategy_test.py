"""Which devices a command computes on. The CPU of these tests is split in two already, see conftest.py."""

import pytest
import tensorflow as tf

from seg_pipeline import errors
from trainer import strategy


def test_auto_takes_one_device_where_there_is_one():
    devices = strategy.make('auto')
    assert isinstance(devices, tf.distribute.OneDeviceStrategy)
    assert devices.num_replicas_in_sync == 1


def test_auto_mirrors_over_virtual_devices():
    devices = strategy.make('auto', virtual_devices=2)
    assert isinstance(devices, tf.distribute.MirroredStrategy)
    assert devices.num_replicas_in_sync == 2


def test_one_device_and_several_virtual_ones_contradict_each_other():
    with pytest.raises(errors.UserError, match='--virtual_devices=2'):
        strategy.make('one_device', virtual_devices=2)


def test_the_replicas_share_the_global_batch_evenly(two_devices):
    assert strategy.replica_batch_size(6, two_devices) == 3
    with pytest.raises(errors.UserError, match=r'--batch_size=7 .*2 devices'):
        strategy.replica_batch_size(7, two_devices)
