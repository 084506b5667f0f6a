"""A few photos of a split, always the same ones, with what a model sees in them and what is there."""

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from seg_pipeline.dataset.dataset_split import Split
from seg_pipeline.imaging import visualization
from seg_pipeline.input import decoding


class Panels:
    """Draws the first photos of a split as `visualization.panels` does.

    Args:
        model: from images to logits.
        split: where the photos are from; they are read now.
        count: how many photos, or all where there are fewer.
    """

    def __init__(self, model: keras.Model, split: Split, count: int = 4) -> None:
        self._model, self._label_map = model, split.label_map
        with decoding.naming_damaged_shards(split):
            self._pairs = list(decoding.decoded_in_order(split).take(count).as_numpy_iterator())

    def draw(self) -> NDArray[np.uint8]:
        """Returns the picture of the model as it is now, (height, width, 3) uint8 RGB."""
        logits = self._model(np.stack([image for image, _ in self._pairs]), training=False)
        predictions = tf.argmax(logits, axis=-1).numpy().astype(np.uint8)
        rows = [
            visualization.PanelRow(f'photo {number}', image, prediction, mask[..., 0])
            for number, ((image, mask), prediction) in enumerate(zip(self._pairs, predictions, strict=True), start=1)
        ]
        return visualization.panels(rows, self._label_map)
