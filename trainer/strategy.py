"""Which devices a command computes on, and what is counted over all of them."""

from collections.abc import Iterable
from typing import Any, Protocol

import tensorflow as tf

from seg_pipeline import errors
from trainer.workers import Workers


def make(
    name: str = 'auto', virtual_devices: int = 0, workers: Workers | None = None, join_timeout: float = 300.0
) -> tf.distribute.Strategy:
    """Makes the distribution strategy. Call it before anything else touches a device.

    Args:
        name: 'auto' (mirrored where there are several devices, else one), 'mirrored', 'one_device', or 'multi_worker',
            which mirrors over the devices of several processes.
        virtual_devices: split the CPU into this many logical devices and compute on those; 0 takes the GPUs, or the
            undivided CPU where there is none.
        workers: of 'multi_worker'; all of them are waited for.
        join_timeout: how long, in seconds.

    Returns:
        A strategy; `num_replicas_in_sync` is the number of its devices.

    Raises:
        UserError: several devices are asked for and one strategy at that.
        OutsideError: not all workers were there in time, or this one cannot listen at its address.
    """
    if workers is not None:
        return _join(workers, join_timeout)
    devices = _virtual_cpus(virtual_devices) if virtual_devices else _physical_devices()
    if name == 'one_device' and virtual_devices > 1:
        raise errors.UserError(f'--strategy=one_device takes 1 device, --virtual_devices={virtual_devices} makes more')
    if name == 'one_device' or (name == 'auto' and len(devices) == 1):
        return tf.distribute.OneDeviceStrategy(devices[0])
    return tf.distribute.MirroredStrategy(devices)


def _join(workers: Workers, timeout: float) -> tf.distribute.Strategy:
    with workers.joining(timeout):
        try:
            return tf.distribute.MultiWorkerMirroredStrategy()
        except (tf.errors.OpError, RuntimeError) as error:
            said = ' '.join(str(error).split())[:200]
            raise errors.OutsideError(f'{workers}: cannot join: {said}') from error


def replica_batch_size(global_batch_size: int, strategy: tf.distribute.Strategy, parts: int = 1) -> int:
    """Returns the batch size of one replica, of one of several equal parts of the batch.

    Raises:
        UserError: the replicas do not divide the global batch.
    """
    replicas: int = strategy.num_replicas_in_sync
    if global_batch_size % (replicas * parts):
        each = '' if parts == 1 else f' in each of --accumulation_steps={parts} parts'
        raise errors.UserError(
            f'--batch_size={global_batch_size} (global) cannot be split evenly over {replicas} devices{each}'
        )
    return global_batch_size // (replicas * parts)


def host_variable(initial_value: tf.Tensor) -> tf.Variable:
    """Makes a variable for a count over all replicas, in the memory of the host. Not within a strategy's scope.

    Within the scope a strategy makes one copy of the variable for each replica. A mirrored scalar cannot be read by
    int() or float(), and one that is summed when it is read (`VariableSynchronization.ON_READ`) is restored from a
    checkpoint by dividing the sum among the replicas, which changes a count.
    """
    with tf.device('CPU:0'):
        return tf.Variable(initial_value, trainable=False)


def sum_over_replicas(strategy: tf.distribute.Strategy, values: Iterable[Any]) -> list[tf.Tensor]:
    """Adds up each of several values, scalars or tensors of equal shapes, over the replicas that computed them."""
    return [strategy.reduce(tf.distribute.ReduceOp.SUM, value, axis=None) for value in values]


def of_any_replica(strategy: tf.distribute.Strategy, value: Any) -> tf.Tensor:
    """Returns a tensor that all replicas have computed alike."""
    return strategy.experimental_local_results(value)[0]


def gather(strategy: tf.distribute.Strategy, value: int) -> list[int]:
    """Returns a number, which each worker has its own of, of every replica; all workers have to call it."""
    per_replica = strategy.experimental_distribute_values_from_function(lambda _: tf.constant([value], tf.int64))
    return [int(found) for found in strategy.gather(per_replica, axis=0)]


class Stop(Protocol):
    """What asks for a stop at the next good place, such as `stop_signal.StopSignal`."""

    @property
    def requested(self) -> bool: ...


class CommonStop:
    """A request to stop that all workers see at the same place, wherever it came.

    Each of them has to ask at the same places: to ask is a sum over all, for which they wait for each other.
    """

    def __init__(self, strategy: tf.distribute.Strategy, stop: Stop) -> None:
        self._strategy, self._stop, self._requested = strategy, stop, False
        # Traced once: what a strategy adds up outside of a function, it traces each time.
        self._sum = tf.function(lambda values: sum_over_replicas(strategy, [values])[0], autograph=False)

    @property
    def requested(self) -> bool:
        """Whether a signal has come to any of the workers."""
        if not self._requested:
            own = tf.constant(int(self._stop.requested))
            values = self._strategy.experimental_distribute_values_from_function(lambda _: own)
            self._requested = int(self._sum(values)) > 0
        return self._requested


def _physical_devices() -> list[str]:
    gpus = tf.config.list_logical_devices('GPU')
    return [device.name for device in gpus] or ['/cpu:0']


def _virtual_cpus(count: int) -> list[str]:
    cpu = tf.config.list_physical_devices('CPU')[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * count)
    return [f'/cpu:{i}' for i in range(count)]
