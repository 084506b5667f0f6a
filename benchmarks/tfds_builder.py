"""What `benchmarks.prepare` compares with: a TFDS builder as its documentation has it. TFDS wants it in a module."""

import os
from collections.abc import Iterator, Sequence
from typing import Any

import cv2
import tensorflow_datasets as tfds

from seg_pipeline.building.config import BuildConfig
from seg_pipeline.planning.pairing import SourcePair


class Pairs(tfds.core.GeneratorBasedBuilder):
    """Decodes and resizes with OpenCV; TFDS encodes, shuffles and writes."""

    VERSION = tfds.core.Version('1.0.0')
    pkg_dir_path = os.path.dirname(__file__)

    def __init__(self, config: BuildConfig, pairs: Sequence[SourcePair], size: tuple[int, int]) -> None:
        self._sources, self._pairs, self._size = config.sources, pairs, size
        super().__init__(data_dir=config.output_dir)

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            'image': tfds.features.Image(shape=(*self._size, 3)),
            'segmentation_mask': tfds.features.Image(shape=(*self._size, 1)),
        }
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        return {'train': self._generate_examples()}

    def _generate_examples(self) -> Iterator[tuple[str, dict[str, Any]]]:
        size = self._size[::-1]
        for pair in self._pairs:
            image = cv2.imread(self._sources.image_path(pair.image))[..., ::-1]
            mask = cv2.imread(self._sources.mask_path(pair.mask), cv2.IMREAD_UNCHANGED)
            resized = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
            small = cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST)
            yield pair.key, {'image': resized, 'segmentation_mask': small[..., None]}
