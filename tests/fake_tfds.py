"""A data set that TFDS's own GeneratorBasedBuilder wrote: JPEG photos of several sizes, masks that begin at 1.

Its features are those of oxford_iiit_pet: the mask has no class names, and the ClassLabel beside it is not of it.
"""

import io
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from seg_pipeline.imaging import images
from tests import fake_data

NUM_CLASSES = 3
SPLITS = {'train': 9, 'test': 5}
SIZES = ((48, 40), (40, 56), (64, 64), (24, 90))


def pair(split: str, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Photo (H, W, 3) uint8 and mask (H, W) uint8 of 1..NUM_CLASSES of an example."""
    seed = sorted(SPLITS).index(split)
    photo, mask = fake_data.draw_pair(number, SIZES[number % len(SIZES)], NUM_CLASSES, seed)
    return photo, mask + 1


class FakePet(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Written as the catalog's builders are."""

    VERSION = tfds.core.Version('1.0.0')
    name = 'fake_pet'

    def __init__(self, *, change: Any = None, extra: dict[str, Any] | None = None, **options: Any) -> None:
        """`change` is given (split, number, photo, mask) of each pair and returns photo and mask; `extra` features."""
        self._change, self._extra = change or (lambda split, number, photo, mask: (photo, mask)), extra or {}
        super().__init__(**options)

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            'image': tfds.features.Image(encoding_format='jpeg'),
            'label': tfds.features.ClassLabel(names=['cat', 'dog']),
            'species': tfds.features.ClassLabel(num_classes=2),
            'file_name': tfds.features.Text(),
            'segmentation_mask': tfds.features.Image(shape=(None, None, 1), use_colormap=True),
        }
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict({**features, **self._extra}))

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        return {split: self._generate_examples(split) for split in SPLITS}

    def _generate_examples(self, split: str) -> Iterator[tuple[str, dict[str, Any]]]:
        for number in range(SPLITS[split]):
            photo, mask = self._change(split, number, *pair(split, number))
            extra = {name: mask[..., None].astype(feature.np_dtype) for name, feature in self._extra.items()}
            yield (
                f'{split}_{number}',
                {
                    'image': io.BytesIO(images.encode_image(photo, 'jpeg')),
                    'label': 'cat',
                    'species': 0,
                    'file_name': f'{split}_{number}.jpg',
                    'segmentation_mask': io.BytesIO(images.encode_png(mask)),
                    **extra,
                },
            )


def make(output_dir: str | os.PathLike[str], file_format: str = 'tfrecord', **options: Any) -> str:
    """Writes the data set and returns the directory of its version; `options` are those of `FakePet`."""
    builder = FakePet(data_dir=str(output_dir), file_format=file_format, **options)
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(num_shards=3, try_download_gcs=False),
    )
    return str(pathlib.Path(builder.data_dir))
