"""A run of the trainer as the commands find it on disk: a tiny network with random weights, and its configuration."""

from typing import Any

import numpy as np
import tensorflow as tf

from seg_pipeline.labels.label_map import LabelMap
from trainer import config
from trainer.training import checkpoints

IMAGE_SIZE = (32, 32)
LABELS = LabelMap.default(('background', 'hat', 'coat', 'shoes'))


def make(model_dir: str, data_dir: str | None = None, **network: Any) -> None:
    """Writes a run whose network predicts every class somewhere; of a data set, where one is given."""
    recipe = config.Recipe(**{'encoder': 'tiny', 'encoder_weights': 'none', 'seed': 1, **network})
    data = config.Data('d', 'f' * 64, IMAGE_SIZE, LABELS)
    if data_dir is not None:
        data = config.Data.from_manifest(config.read_manifest(data_dir))
    run = config.RunConfig(recipe, data)
    state = checkpoints.create_state(run, tf.distribute.OneDeviceStrategy('/cpu:0'), None)
    random = np.random.default_rng(0)
    for kernel in (weight for weight in state.model.weights if len(weight.shape) == 4):
        kernel.assign(random.normal(0, 0.1, kernel.shape))
    config.write(model_dir, run)
    checkpoints.Checkpointer(model_dir, state, keep=1).save_best()


def image(height: int, width: int, seed: int = 0) -> np.ndarray:
    """An image of coloured patches, (height, width, 3) uint8."""
    random = np.random.default_rng(seed)
    patches = random.integers(0, 256, (8, 8, 3), np.uint8)
    rows, columns = np.arange(height) * 8 // height, np.arange(width) * 8 // width
    return patches[rows][:, columns]
