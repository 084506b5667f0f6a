"""Splits the CPU into two logical devices before TensorFlow starts, so that every test can mirror over them."""

import os

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
os.environ.setdefault('TF_ENABLE_ONEDNN_OPTS', '1')  # as the commands compute

import pytest
import tensorflow as tf

from trainer import strategy

_CPU = tf.config.list_physical_devices('CPU')[0]
tf.config.set_logical_device_configuration(_CPU, [tf.config.LogicalDeviceConfiguration()] * 2)


@pytest.fixture(scope='session')
def one_device() -> tf.distribute.Strategy:
    return tf.distribute.OneDeviceStrategy('/cpu:0')


@pytest.fixture(scope='session')
def two_devices() -> tf.distribute.Strategy:
    return strategy.make('mirrored', virtual_devices=2)
