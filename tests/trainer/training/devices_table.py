"""Prints how far a step of every encoder on 1, 2 and 4 devices agrees, as a table in Markdown.

    python -m tests.trainer.training.devices_table

Each training is a process of its own, see `distributed`.
"""

import pathlib
import subprocess
import sys
import tempfile

import numpy as np

from tests.trainer.training import distributed
from trainer import strategy
from trainer.models import encoders
from trainer.training import steps

_DEVICES = (1, 2, 4)
_SIZE = 64


def train(devices, name):
    """Does a step of an encoder; returns the change of every weight, moving statistics included, and the loss."""
    network, optimizer = distributed.make(devices, name, size=_SIZE)
    start = [weight.numpy() for weight in network.weights]
    totals = steps.TrainTotals()
    step = steps.make_train_step(devices, network, optimizer, totals, distributed.LOSSES['plain'], seed=1)
    for images, masks in distributed.batches(1, size=_SIZE):
        step(*distributed.distribute(devices, images, masks))
    changes = [weight.numpy() - before for weight, before in zip(network.weights, start, strict=True)]
    return np.concatenate([change.ravel() for change in changes]), totals.mean_loss()


def save(name, num_devices, path):
    change, loss = train(strategy.make('mirrored' if num_devices > 1 else 'one_device', num_devices), name)
    np.savez(path, change=change, loss=loss)


def main():
    print('| encoder | loss, 2 devices | loss, 4 devices | weights, 2 devices | weights, 4 devices |')
    print('|---|---|---|---|---|')
    for name in encoders.ENCODERS:
        with tempfile.TemporaryDirectory() as directory:
            paths = [str(pathlib.Path(directory) / f'{number}.npz') for number in _DEVICES]
            for number, path in zip(_DEVICES, paths, strict=True):
                command = [sys.executable, '-m', 'tests.trainer.training.devices_table', name, str(number), path]
                subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
            one, *others = (np.load(path) for path in paths)
            losses = [f'{abs(float(other["loss"] / one["loss"]) - 1):.0e}' for other in others]
            norm = np.linalg.norm(one['change'])
            changes = [f'{np.linalg.norm(other["change"] - one["change"]) / norm:.0e}' for other in others]
        print(f'| `{name}` | {" | ".join([*losses, *changes])} |', flush=True)


if __name__ == '__main__':
    save(sys.argv[1], int(sys.argv[2]), sys.argv[3]) if sys.argv[1:] else main()
