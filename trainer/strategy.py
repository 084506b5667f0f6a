"""Which devices a command computes on."""

import tensorflow as tf

from seg_pipeline import errors


def make(name: str = 'auto', virtual_devices: int = 0) -> tf.distribute.Strategy:
    """Makes the distribution strategy. Call it before anything else touches a device.

    Args:
        name: 'auto' (mirrored where there are several devices, else one), 'mirrored' or 'one_device'.
        virtual_devices: split the CPU into this many logical devices and compute on those; 0 takes the GPUs, or the
            whole CPU where there is none.

    Returns:
        A strategy; `num_replicas_in_sync` is the number of its devices.

    Raises:
        UserError: several devices are asked for and one strategy at that.
    """
    devices = _virtual_cpus(virtual_devices) if virtual_devices else _physical_devices()
    if name == 'one_device' and virtual_devices > 1:
        raise errors.UserError(f'--strategy=one_device takes 1 device, --virtual_devices={virtual_devices} makes more')
    if name == 'one_device' or (name == 'auto' and len(devices) == 1):
        return tf.distribute.OneDeviceStrategy(devices[0])
    return tf.distribute.MirroredStrategy(devices)


def check_batch_size(batch_size: int, strategy: tf.distribute.Strategy) -> int:
    """Returns the batch size of one replica.

    Raises:
        UserError: the replicas do not divide the global batch.
    """
    replicas = strategy.num_replicas_in_sync
    if batch_size % replicas:
        raise errors.UserError(f'--batch_size={batch_size} (global) cannot be split evenly over {replicas} devices')
    return batch_size // replicas


def _physical_devices() -> list[str]:
    gpus = tf.config.list_logical_devices('GPU')
    return [device.name for device in gpus] or ['/cpu:0']


def _virtual_cpus(count: int) -> list[str]:
    cpu = tf.config.list_physical_devices('CPU')[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * count)
    return [f'/cpu:{i}' for i in range(count)]
