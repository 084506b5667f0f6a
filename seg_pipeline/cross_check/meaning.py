"""What the values of a mask file mean, value by value: the rules of `--mask_format` and `--remap`, said once more."""

from collections.abc import Callable, Mapping

import numpy as np

from seg_pipeline.cross_check.source_files import Seen
from seg_pipeline.labels.label_map import LabelMap, SourceTable
from seg_pipeline.labels.remapping import Remapping

# No id: what has no class must have been rejected.
NO_CLASS = -1


class Meaning:
    """From the values of a mask file to the ids of the data set.

    Args:
        labels: the classes of the data set.
        mask_format: one of `auto`, `ids`, `color`, `binary`.
        remapping: from the classes of the file to them, if they are others.
    """

    def __init__(self, labels: LabelMap, mask_format: str, remapping: Remapping | None) -> None:
        source = remapping.source if remapping else SourceTable.of(labels)
        targets = remapping.targets if remapping else source.ids
        self._format = mask_format
        self._has_given_colors = source.has_given_colors
        self._ignore_id = source.ignore_id
        self._of_id: Mapping[int, int] = {
            source.ignore_id: labels.ignore_id,
            **dict(zip(source.ids, targets, strict=True)),
        }
        self._of_color = {tuple(color): self._of_id[i] for i, color in zip(source.ids, source.colors, strict=True)}

    def of(self, seen: Seen) -> Callable[[int], int]:
        """The function from a value of the file to its id; of RGB, the value is 0xRRGGBB."""
        if seen.values.ndim == 3:
            return self._of_rgb(seen)
        # From black to white, a palette adds nothing to its indices, but for who asks for colours.
        if seen.palette is not None and (self._format == 'color' or not seen.is_grey):
            return self._of_index(seen)
        return self._of_bit if self._format == 'binary' else self._of_number

    def _of_number(self, value: int) -> int:
        return self._of_id.get(value, NO_CLASS)

    def _of_bit(self, value: int) -> int:
        return self._of_id.get(min(value, 1), NO_CLASS)

    def _of_packed(self, value: int) -> int:
        return self._of_color.get((value >> 16, value >> 8 & 255, value & 255), NO_CLASS)

    def _of_rgb(self, seen: Seen) -> Callable[[int], int]:
        is_grey = bool((seen.values == seen.values[..., :1]).all())
        if self._format == 'color' or (self._format == 'auto' and (self._has_given_colors or not is_grey)):
            return self._of_packed
        of_grey = self._of_bit if self._format == 'binary' else self._of_number
        return lambda value: of_grey(value & 255)

    def _of_index(self, seen: Seen) -> Callable[[int], int]:
        colors = [] if seen.palette is None else [(r, g, b) for r, g, b in seen.palette.tolist()]
        if self._format == 'binary':
            # Black and white say what they look like; other colours nothing.
            present = np.unique(seen.values).tolist()
            ends = {(0, 0, 0): 0, (255, 255, 255): 1}
            if all(value < len(colors) and colors[value] in ends for value in present):
                return lambda value: self._of_bit(ends[colors[value]])
            return self._of_bit
        if self._format == 'ids' or (self._format == 'auto' and not self._has_given_colors):
            return self._of_number

        # The ignored id has no colour in a table.
        def of_color(value: int) -> int:
            found = self._of_color.get(colors[value], NO_CLASS) if value < len(colors) else NO_CLASS
            return self._of_number(value) if found == NO_CLASS and value == self._ignore_id else found

        return of_color
