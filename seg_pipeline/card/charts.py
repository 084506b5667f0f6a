"""The charts of the card, as SVG. Colours come from the page's style sheet, so that they follow light and dark."""

import dataclasses
import math
from collections.abc import Mapping, Sequence

from seg_pipeline.card.text import count, escape, hex_color, percent, split_class
from seg_pipeline.dataset import statistics
from seg_pipeline.dataset.statistics import ClassSummary, SplitSummary
from seg_pipeline.labels.label_map import BACKGROUND_ID, LabelMap
from seg_pipeline.plurals import noun

_HEAT_MAP_CLASSES = 26
_HEAT_MAP_CELL = 23
_HEAT_MAP_TOP = 92  # room for slanted names
_SIZE_BINS = 28
_PAGE_WIDTH = 1190  # of the style sheet's widest column, in pixels
_NAME_STEP = 18  # what a slanted name needs
_ROUND_STEPS = (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10)
_SMALL = (360, 190)  # width and height of the small charts, in units of the view box


def class_frequencies(splits: Mapping[str, SplitSummary], total: SplitSummary, labels: LabelMap) -> str:
    """Share of pixels of every class in every split, on a logarithmic scale: one dot for each split.

    Args:
        splits: the figures of each split.
        total: those of all splits together.
        labels: the classes.
    """
    rows = sorted((row for row in total.classes if row.pixels), key=lambda row: (-row.pixels, row.id))
    shares = {split: _pixel_shares(figures) for split, figures in splits.items()}
    axis = _LogAxis.down_to(min((value for values in shares.values() for value in values if value), default=1.0))
    left = 78
    step = max(_NAME_STEP, min(2.5 * _NAME_STEP, (_PAGE_WIDTH - left - 14) // max(1, len(rows))))
    width = left + step * len(rows) + 14
    parts = [axis.grid(left, width - 6)]
    for place, row in enumerate(rows):
        x = left + step * (place + 0.5)
        parts.append(_dots(row, shares, axis, x))
        parts.append(
            f'<rect class="swatch" x="{x - 5}" y="{axis.absent + 10}" width="10" height="10" rx="2" '
            f'fill="{hex_color(labels.colors[row.id])}"/>'
            f'<text class="name" text-anchor="end" transform="translate({x + 4} {axis.absent + 28}) rotate(-55)">'
            f'{escape(_shortened(row.name))}</text>'
        )
    return _svg(width, axis.absent + 106, parts, 'Share of pixels of each class in each split', fixed=True)


@dataclasses.dataclass(frozen=True)
class _LogAxis:
    """A vertical axis from 1 at the top down by powers of ten, and below it a line for nothing."""

    decades: int
    top: int = 12
    height: int = 230

    @classmethod
    def down_to(cls, lowest: float) -> '_LogAxis':
        return cls(max(1, math.ceil(-math.log10(lowest))))

    @property
    def absent(self) -> int:
        return self.top + self.height + 14

    def y_of(self, share: float) -> float:
        return self.top + self.height * -math.log10(share) / self.decades if share else self.absent

    def grid(self, left: float, right: float) -> str:
        lines = [(self.y_of(10.0**-k), f'{100 / 10**k:.{max(0, k - 2)}f} %') for k in range(self.decades + 1)]
        absent = f'<text class="tick" x="{left - 6}" y="{self.absent + 4}" text-anchor="end">absent</text>'
        return ''.join(_grid_line(y, left, right, label) for y, label in lines) + absent


def _dots(row: ClassSummary, shares: Mapping[str, Sequence[float]], axis: _LogAxis, x: float) -> str:
    """One class: a dot for each split and the line that holds them together."""
    found = [axis.y_of(values[row.id]) for values in shares.values() if values[row.id]]
    parts = [f'<line class="stem" x1="{x}" x2="{x}" y1="{min(found):.1f}" y2="{max(found):.1f}"/>']
    for number, (split, values) in enumerate(shares.items()):
        share = values[row.id]
        kind = 'dot' if share else 'dot hollow'
        told = f'{percent(share)} of the pixels of {split}' if share else f'absent from {split}'
        parts.append(
            f'<circle class="{kind} {split_class(number)}" cx="{x}" cy="{axis.y_of(share):.1f}" r="4">'
            f'<title>{escape(row.name)}: {escape(told)}</title></circle>'
        )
    return ''.join(parts)


def _grid_line(y: float, left: float, right: float, label: str) -> str:
    return (
        f'<line class="grid" x1="{left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text class="tick" x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{label}</text>'
    )


def _pixel_shares(figures: SplitSummary) -> list[float]:
    valid = max(figures.valid_pixels, 1)
    return [row.pixels / valid for row in figures.classes]


def _shortened(name: str, limit: int = 16) -> str:
    return name if len(name) <= limit else name[: limit - 1] + '…'


def brightness(splits: Mapping[str, SplitSummary]) -> str:
    """How many of a split's images have which mean brightness, as shares of the split."""
    levels = 256 // statistics.BRIGHTNESS_BINS
    series = {
        split: [images / max(figures.num_records, 1) for images in figures.brightness_histogram]
        for split, figures in splits.items()
    }
    edges = [levels * i for i in range(statistics.BRIGHTNESS_BINS + 1)]
    return _histogram(series, edges, 'Mean brightness of the images of each split, 0 to 255', '')


def source_sizes(splits: Mapping[str, SplitSummary], side: str) -> str:
    """How many of a split's sources have which height or width, as shares of the split.

    Args:
        splits: the figures of each split.
        side: `height` or `width`.

    Returns:
        SVG, or the one value that all have.
    """
    values = [getattr(found, side) for figures in splits.values() for found in figures.source_sizes]
    lowest, highest = min(values, default=0), max(values, default=0)
    if not values:
        return '<p class="one">–</p>'
    if lowest == highest:
        return f'<p class="one">{count(lowest)} px<span>in all images</span></p>'
    width = max(1, math.ceil((highest - lowest + 1) / _SIZE_BINS))
    edges = list(range(lowest, highest + 1 + width, width))
    series = {}
    for split, figures in splits.items():
        bins = [0] * (len(edges) - 1)
        for found in figures.source_sizes:
            bins[(getattr(found, side) - lowest) // width] += found.images
        series[split] = [images / max(figures.num_records, 1) for images in bins]
    return _histogram(series, edges, f'{side.capitalize()} of the sources of each split, in pixels', ' px')


def _histogram(series: Mapping[str, Sequence[float]], edges: Sequence[int], label: str, unit: str) -> str:
    """Columns for the first split, a stepped line for each other one; heights are shares of the split.

    Args:
        series: for each split, the share of each bin.
        edges: where the bins begin, and after them where the last one ends.
        label: what it shows.
        unit: of the edges.
    """
    width, height = _SMALL
    left, right, top, bottom = 48, width - 8, 10, height - 26
    highest = _round_up(max((value for values in series.values() for value in values), default=0.0) or 1.0)
    step = (right - left) / max(1, len(edges) - 1)
    xs = [left + step * i for i in range(len(edges))]
    parts = [
        _grid_line(bottom - (bottom - top) * part, left, right, f'{100 * highest * part:g} %') for part in (0, 0.5, 1)
    ]
    for number, (split, values) in enumerate(series.items()):
        ys = [bottom - (bottom - top) * value / highest for value in values]
        if number:
            points = ' '.join(f'{x:.1f},{y:.1f}' for i, y in enumerate(ys) for x in xs[i : i + 2])
            parts.append(f'<polyline class="steps {split_class(number)}" points="{points}"/>')
            continue
        parts += [
            f'<rect class="column {split_class(number)}" x="{xs[i] + 0.5:.1f}" y="{y:.1f}" '
            f'width="{max(1.0, step - 1):.1f}" height="{bottom - y:.1f}">'
            f'<title>{edges[i]} to {edges[i + 1] - 1}{unit}: {percent(values[i])} of {escape(split)}</title></rect>'
            for i, y in enumerate(ys)
            if values[i]
        ]
    middle, last = (len(edges) - 1) // 2, len(edges) - 1
    for i, anchor, value in ((0, 'start', edges[0]), (middle, 'middle', edges[middle]), (last, 'end', edges[-1] - 1)):
        parts.append(f'<text class="tick" x="{xs[i]:.1f}" y="{height - 8}" text-anchor="{anchor}">{value}{unit}</text>')
    return _svg(width, height, parts, label)


def _round_up(value: float) -> float:
    """The next share of few digits, at most 1."""
    power = 10.0 ** math.floor(math.log10(value))
    return min(1.0, next(step * power for step in _ROUND_STEPS if step * power >= value * (1 - 1e-9)))


def cooccurrence(total: SplitSummary, labels: LabelMap) -> str:
    """Heat map: of the images that show the class of a row, the share that also show the class of a column.

    Args:
        total: the figures of all splits together.
        labels: the classes.

    Returns:
        SVG of the classes in the most images, without the background; nothing if there are fewer than two.
    """
    rows = sorted(
        (row for row in total.classes if row.images and row.id != BACKGROUND_ID),
        key=lambda row: (-row.images, row.id),
    )[:_HEAT_MAP_CLASSES]
    if len(rows) < 2:
        return ''
    together = {found.ids: found.images for found in total.cooccurrence}
    cell, left, top = _HEAT_MAP_CELL, 112, _HEAT_MAP_TOP
    parts = []
    for i, row in enumerate(rows):
        y = top + cell * i
        parts.append(_heat_map_names(row, hex_color(labels.colors[row.id]), left + cell * i, left, y))
        for j, column in enumerate(rows):
            a, b = sorted((row.id, column.id))
            images = together.get((a, b), 0) if a != b else row.images
            share = images / row.images
            kind = 'cell same' if a == b else 'cell'
            photos = f'{count(row.images)} {noun(row.images, "image")}'
            title = f'{percent(share)} of the {photos} with {row.name} show {column.name} too'
            parts.append(
                f'<rect class="{kind}" x="{left + cell * j}" y="{y}" width="{cell - 1}" height="{cell - 1}" '
                f'fill-opacity="{0.03 + 0.97 * share:.2f}"><title>{escape(title)}</title></rect>'
            )
    side = cell * len(rows)
    return _svg(left + side + 40, top + side + 4, parts, 'Which classes appear in the same images', fixed=True)


def _heat_map_names(row: ClassSummary, color: str, x: float, left: float, y: float) -> str:
    """The name of one class, before its row and above its column."""
    name = escape(_shortened(row.name, 14))
    return (
        f'<rect class="swatch" x="{left - 14}" y="{y + 6}" width="10" height="10" rx="2" fill="{color}"/>'
        f'<text class="name" x="{left - 19}" y="{y + 15}" text-anchor="end">{name}</text>'
        f'<text class="name" transform="translate({x + 14} {_HEAT_MAP_TOP - 6}) rotate(-55)">{name}</text>'
    )


def _svg(width: float, height: float, parts: Sequence[str], label: str, fixed: bool = False) -> str:
    """An image of a fixed size, or one that takes the width that there is."""
    size = f' width="{width:g}" height="{height:g}"' if fixed else ''
    return (
        f'<svg viewBox="0 0 {width:g} {height:g}"{size} role="img" aria-label="{escape(label)}">{"".join(parts)}</svg>'
    )
