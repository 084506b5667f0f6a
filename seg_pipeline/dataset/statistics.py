"""Statistics of a data set: `SplitStatistics` counts and merges, `SplitSummary` holds the figures that follow.

All counts are integers, so that no order of adding and merging changes a bit of the result. Shares, means and weights
are computed once, at the end.
"""

import dataclasses
import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from seg_pipeline.labels.label_map import LabelMap

BRIGHTNESS_BINS = 32
LEAST_ABOVE_MEDIAN = 0.05  # by which a mask that stands out is ignored more than the median mask
# Rec. 601, the usual grey of 8-bit RGB; in thousandths, to stay with integers.
_LUMA = (299, 587, 114)


@dataclasses.dataclass(frozen=True)
class ClassSummary:
    """One class in one split.

    Attributes:
        id: the id of the class.
        name: its name.
        pixels: pixels that have it.
        images: images in which it appears.
        largest_in: key of the record in which it has the most pixels; None if it appears in none.
        inverse_frequency_weight: see `inverse_frequency_weights`; None for an absent class.
        median_frequency_weight: see `median_frequency_weights`; None for an absent class.
    """

    id: int
    name: str
    pixels: int
    images: int
    largest_in: str | None
    inverse_frequency_weight: float | None
    median_frequency_weight: float | None


@dataclasses.dataclass(frozen=True)
class Cooccurrence:
    """How many images show two classes: their ids, the smaller first."""

    ids: tuple[int, int]
    images: int


@dataclasses.dataclass(frozen=True)
class SourceSize:
    """How many sources have a height and width, in pixels."""

    height: int
    width: int
    images: int


@dataclasses.dataclass(frozen=True)
class SplitSummary:
    """The figures of one split, or of all together, as `statistics.json` has them.

    Attributes:
        num_records: how many records.
        num_pixels: pixels of all masks.
        ignored_pixels: those of them that have the ignored id.
        ignored_share: their share, 0..1.
        images_with_ignored_pixels: images with at least one of them.
        channel_mean: of red, green and blue, 0..255.
        channel_standard_deviation: of red, green and blue, in the same unit.
        brightness_histogram: images of each of `BRIGHTNESS_BINS` equal ranges of mean brightness, from dark to bright.
        classes: each class, by id.
        cooccurrence: each pair of classes that some image shows together.
        source_sizes: each size of a source.
    """

    num_records: int
    num_pixels: int
    ignored_pixels: int
    ignored_share: float
    images_with_ignored_pixels: int
    channel_mean: tuple[float, ...]
    channel_standard_deviation: tuple[float, ...]
    brightness_histogram: tuple[int, ...]
    classes: tuple[ClassSummary, ...]
    cooccurrence: tuple[Cooccurrence, ...]
    source_sizes: tuple[SourceSize, ...]

    @property
    def valid_pixels(self) -> int:
        """The pixels that are not ignored."""
        return self.num_pixels - self.ignored_pixels

    @property
    def present(self) -> list[ClassSummary]:
        """The classes that appear in some image."""
        return [row for row in self.classes if row.images]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return dataclasses.asdict(self)


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
        class_areas: all pixels of the records in which each id, 0..255, appears.
        class_pairs: records in which two ids appear, the smaller first; only of pairs that do.
        brightness: records of each mean brightness, 0..255, rounded down.
        examples: for each id that appears, how many pixels it has where it has the most, and the key of that record.
    """

    num_records: int = 0
    class_pixels: list[int] = dataclasses.field(default_factory=lambda: [0] * 256)
    class_images: list[int] = dataclasses.field(default_factory=lambda: [0] * 256)
    channel_sums: list[int] = dataclasses.field(default_factory=lambda: [0] * 3)
    channel_squares: list[int] = dataclasses.field(default_factory=lambda: [0] * 3)
    source_sizes: Counter[tuple[int, int]] = dataclasses.field(default_factory=Counter)
    class_areas: list[int] = dataclasses.field(default_factory=lambda: [0] * 256)
    class_pairs: Counter[tuple[int, int]] = dataclasses.field(default_factory=Counter)
    brightness: list[int] = dataclasses.field(default_factory=lambda: [0] * 256)
    examples: dict[int, tuple[int, str]] = dataclasses.field(default_factory=dict)

    def add(
        self, image: NDArray[np.uint8], mask: NDArray[np.uint8], source_size: tuple[int, int], key: str = ''
    ) -> None:
        """Adds one record.

        Args:
            image: (H, W, 3) uint8 RGB as stored.
            mask: (H, W) uint8 ids as stored.
            source_size: (height, width) before resizing.
            key: the pair's key; without one, the record is no example of its classes.
        """
        self.num_records += 1
        self.source_sizes[source_size] += 1
        self._add_mask(mask, key)
        self._add_image(image)

    def _add_mask(self, mask: NDArray[np.uint8], key: str) -> None:
        counts = np.bincount(mask.ravel(), minlength=256)
        present = np.flatnonzero(counts).tolist()
        for number in present:
            pixels = int(counts[number])
            self.class_pixels[number] += pixels
            self.class_images[number] += 1
            self.class_areas[number] += mask.size
            if key:
                self._offer_example(number, pixels, key)
        self.class_pairs.update(itertools.combinations(present, 2))  # `present` ascends: the smaller id comes first

    # By histograms, since OpenCV counts a channel faster than numpy sums it and its squares; counts stay integers.
    def _add_image(self, image: NDArray[np.uint8]) -> None:
        levels = np.arange(256)
        sums = []
        for channel in range(3):
            histogram = cv2.calcHist([image], [channel], None, [256], [0, 256]).ravel().astype(np.int64)
            sums.append(int(histogram @ levels))
            self.channel_sums[channel] += sums[-1]
            self.channel_squares[channel] += int(histogram @ levels**2)
        luma = sum(weight * value for weight, value in zip(_LUMA, sums, strict=True))
        self.brightness[luma // (sum(_LUMA) * image.shape[0] * image.shape[1])] += 1

    def _offer_example(self, number: int, pixels: int, key: str) -> None:
        """Keeps the record with the most pixels of a class; of equals the one whose key sorts first."""
        best = self.examples.get(number)
        if best is None or (-pixels, key) < (-best[0], best[1]):
            self.examples[number] = (pixels, key)

    def merge(self, other: 'SplitStatistics') -> None:
        """Adds what another one counted."""
        self.num_records += other.num_records
        for mine, theirs in (
            (self.class_pixels, other.class_pixels),
            (self.class_images, other.class_images),
            (self.channel_sums, other.channel_sums),
            (self.channel_squares, other.channel_squares),
            (self.class_areas, other.class_areas),
            (self.brightness, other.brightness),
        ):
            mine[:] = [a + b for a, b in zip(mine, theirs, strict=True)]
        self.source_sizes.update(other.source_sizes)
        self.class_pairs.update(other.class_pairs)
        for number, (pixels, key) in other.examples.items():
            self._offer_example(number, pixels, key)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; `from_json` is its inverse."""
        value = dataclasses.asdict(self)
        value['source_sizes'] = [[h, w, n] for (h, w), n in sorted(self.source_sizes.items())]
        value['class_pairs'] = [[a, b, n] for (a, b), n in sorted(self.class_pairs.items())]
        value['examples'] = [[number, *best] for number, best in sorted(self.examples.items())]
        return value

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> 'SplitStatistics':
        """The inverse of `to_json`."""
        parsed = {
            'source_sizes': Counter({(h, w): n for h, w, n in value['source_sizes']}),
            'class_pairs': Counter({(a, b): n for a, b, n in value['class_pairs']}),
            'examples': {number: (pixels, key) for number, pixels, key in value['examples']},
        }
        return cls(**{**value, **parsed})

    def summary(self, labels: LabelMap) -> SplitSummary:
        """The figures that follow from the counts."""
        total = sum(self.class_pixels)
        ignored = self.class_pixels[labels.ignore_id]
        mean = [value / max(total, 1) for value in self.channel_sums]
        # E[x^2] - E[x]^2 of exact integer sums: nothing cancels but the rounding of the two divisions.
        variance = [value / max(total, 1) - m * m for value, m in zip(self.channel_squares, mean, strict=True)]
        bin_levels = 256 // BRIGHTNESS_BINS
        return SplitSummary(
            num_records=self.num_records,
            num_pixels=total,
            ignored_pixels=ignored,
            ignored_share=ignored / max(total, 1),
            images_with_ignored_pixels=self.class_images[labels.ignore_id],
            channel_mean=tuple(mean),
            channel_standard_deviation=tuple(max(value, 0.0) ** 0.5 for value in variance),
            brightness_histogram=tuple(
                sum(self.brightness[start : start + bin_levels]) for start in range(0, 256, bin_levels)
            ),
            classes=self._class_summaries(labels),
            cooccurrence=tuple(
                Cooccurrence((a, b), images)
                for (a, b), images in sorted(self.class_pairs.items())
                if b < labels.num_classes  # the smaller first: so is a; what remains has the ignored id
            ),
            source_sizes=tuple(SourceSize(h, w, images) for (h, w), images in sorted(self.source_sizes.items())),
        )

    def _class_summaries(self, labels: LabelMap) -> tuple[ClassSummary, ...]:
        pixels = self.class_pixels[: labels.num_classes]
        inverse = inverse_frequency_weights(pixels)
        median = median_frequency_weights(pixels, self.class_areas[: labels.num_classes])
        return tuple(
            ClassSummary(
                id=i,
                name=name,
                pixels=self.class_pixels[i],
                images=self.class_images[i],
                largest_in=self.examples[i][1] if i in self.examples else None,
                inverse_frequency_weight=inverse[i],
                median_frequency_weight=median[i],
            )
            for i, name in enumerate(labels.names)
        )


def inverse_frequency_weights(pixels: Sequence[int]) -> list[float | None]:
    """Weights that give every class that is present the same say in a loss.

    weight(c) = sum of all pixels / (classes present * pixels of c): over all pixels, the mean weight is 1.

    Args:
        pixels: of each class, those of the ignored id not among them.

    Returns:
        A weight for each class; None for an absent one.
    """
    present = sum(1 for count in pixels if count)
    return [sum(pixels) / (present * count) if count else None for count in pixels]


def median_frequency_weights(pixels: Sequence[int], areas: Sequence[int]) -> list[float | None]:
    """Weights by median frequency balancing.

    weight(c) = median of all frequencies / frequency(c), where frequency(c) = pixels of c / all pixels of the images in
    which c is present, and the median is taken over the classes present. From Eigen and Fergus, "Predicting Depth,
    Surface Normals and Semantic Labels with a Common Multi-Scale Convolutional Architecture", ICCV 2015
    (arXiv:1411.4734). A class that is rare because few images show it is not weighted up, unlike by inverse frequency.

    Args:
        pixels: of each class.
        areas: all pixels of the images in which each class appears.

    Returns:
        A weight for each class; None for an absent one.
    """
    frequencies = [count / area if count else None for count, area in zip(pixels, areas, strict=True)]
    found = sorted(frequency for frequency in frequencies if frequency is not None)
    middle = len(found) // 2
    median = (found[middle] + found[~middle]) / 2 if found else 0.0
    return [None if frequency is None else median / frequency for frequency in frequencies]


def ignored_limit(shares: NDArray[np.float64]) -> float:
    """Above which share a mask has much more ignored than the others, as one that was read wrongly would have.

    More than half; or more than the median by `LEAST_ABOVE_MEDIAN` and by six times the median distance from it, which
    of values that are distributed normally is four standard deviations.

    Args:
        shares: (n,) the share of each mask that is ignored, 0..1.
    """
    if not len(shares):
        return 1.0
    median = float(np.median(shares))
    spread = float(np.median(np.abs(shares - median)))
    return min(0.5, median + max(LEAST_ABOVE_MEDIAN, 6 * spread))


def merged(parts: Iterable[SplitStatistics]) -> SplitStatistics:
    """The sum of several."""
    result = SplitStatistics()
    for part in parts:
        result.merge(part)
    return result
