"""Mergeable statistics of a data set: created for one record, added and merged in any order, the same result.

All counts are whole numbers, so that no order of adding changes a bit of the result.
"""

import dataclasses
from collections import Counter
from collections.abc import Iterable
from typing import Any

import cv2
import numpy as np

from seg_pipeline.label_map import LabelMap


@dataclasses.dataclass
class SplitStatistics:
    """What was counted over the records of one split (or shard).

    Attributes:
        num_records: how many records.
        class_pixels: pixels of each id, 0..255; those of the ignored id among them.
        class_images: records in which each id, 0..255, appears.
        channel_sums: sums of red, green and blue over all pixels.
        channel_squares: sums of their squares.
        source_sizes: how many sources have each (height, width).
    """

    num_records: int = 0
    class_pixels: list[int] = dataclasses.field(default_factory=lambda: [0] * 256)
    class_images: list[int] = dataclasses.field(default_factory=lambda: [0] * 256)
    channel_sums: list[int] = dataclasses.field(default_factory=lambda: [0] * 3)
    channel_squares: list[int] = dataclasses.field(default_factory=lambda: [0] * 3)
    source_sizes: Counter[tuple[int, int]] = dataclasses.field(default_factory=Counter)

    def add(self, image: np.ndarray, mask: np.ndarray, source_size: tuple[int, int]) -> None:
        """Adds one record.

        Args:
            image: (H, W, 3) uint8 RGB as stored.
            mask: (H, W) uint8 ids as stored.
            source_size: (height, width) before resizing.
        """
        self.num_records += 1
        ids = np.bincount(mask.ravel(), minlength=256)
        levels = np.arange(256)
        for number in np.flatnonzero(ids):
            self.class_pixels[number] += int(ids[number])
            self.class_images[number] += 1
        for channel in range(3):
            histogram = cv2.calcHist([image], [channel], None, [256], [0, 256]).ravel().astype(np.int64)
            self.channel_sums[channel] += int(histogram @ levels)
            self.channel_squares[channel] += int(histogram @ levels**2)
        self.source_sizes[source_size] += 1

    def merge(self, other: 'SplitStatistics') -> None:
        """Adds what another one counted."""
        self.num_records += other.num_records
        for mine, theirs in (
            (self.class_pixels, other.class_pixels),
            (self.class_images, other.class_images),
            (self.channel_sums, other.channel_sums),
            (self.channel_squares, other.channel_squares),
        ):
            mine[:] = [a + b for a, b in zip(mine, theirs, strict=True)]
        self.source_sizes.update(other.source_sizes)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; `from_json` is its inverse."""
        value = dataclasses.asdict(self)
        value['source_sizes'] = [[h, w, n] for (h, w), n in sorted(self.source_sizes.items())]
        return value

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> 'SplitStatistics':
        """The inverse of `to_json`."""
        sizes = Counter({(h, w): n for h, w, n in value['source_sizes']})
        return cls(**{**value, 'source_sizes': sizes})

    def result(self, labels: LabelMap) -> dict[str, Any]:
        """The figures of `statistics.json` for this split."""
        total = sum(self.class_pixels)
        ignored = self.class_pixels[labels.ignore_id]
        mean = [value / max(total, 1) for value in self.channel_sums]
        variance = [value / max(total, 1) - m * m for value, m in zip(self.channel_squares, mean, strict=True)]
        return {
            'num_records': self.num_records,
            'num_pixels': total,
            'ignored_pixels': ignored,
            'channel_mean': mean,
            'channel_standard_deviation': [max(v, 0.0) ** 0.5 for v in variance],
            'classes': [
                {'id': i, 'name': name, 'pixels': self.class_pixels[i], 'images': self.class_images[i]}
                for i, name in enumerate(labels.names)
            ],
            'source_sizes': [{'height': h, 'width': w, 'images': n} for (h, w), n in sorted(self.source_sizes.items())],
        }


def merged(parts: Iterable[SplitStatistics]) -> SplitStatistics:
    """The sum of several."""
    result = SplitStatistics()
    for part in parts:
        result.merge(part)
    return result
