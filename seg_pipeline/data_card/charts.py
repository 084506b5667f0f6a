"""The charts of the card, as SVG. Colours come from the page's style sheet, so that they follow light and dark."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from seg_pipeline import statistics
from seg_pipeline.data_card.text import count, escape, hex_color, percent
from seg_pipeline.label_map import BACKGROUND_ID, LabelMap

_HEAT_MAP_CLASSES = 26
_HEAT_MAP_CELL = 23
_HEAT_MAP_TOP = 92  # room for slanted names
_SIZE_BINS = 28
_PAGE_WIDTH = 1190  # of the style sheet's widest column, in pixels
_NAME_STEP = 18  # what a slanted name needs
_ROUND_STEPS = (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10)
_SMALL = (360, 190)  # width and height of the small charts, in units of the view box


def class_frequencies(splits: Mapping[str, Mapping[str, Any]], total: Mapping[str, Any], labels: LabelMap) -> str:
    """Share of pixels of every class in every split, on a logarithmic scale: one dot for each split.

    Args:
        splits: the figures of each split.
        total: those of all splits together.
        labels: the classes.
    """
    rows = sorted((row for row in total['classes'] if row['pixels']), key=lambda row: (-row['pixels'], row['id']))
    shares = {split: _pixel_shares(figures) for split, figures in splits.items()}
    lowest = min((value for values in shares.values() for value in values if value), default=1.0)
    decades = max(1, math.ceil(-math.log10(lowest)))
    left, top, height = 78, 12, 230
    step = max(_NAME_STEP, min(2.5 * _NAME_STEP, (_PAGE_WIDTH - left - 14) // max(1, len(rows))))
    width = left + step * len(rows) + 14
    below = 120

    def y_of(share: float) -> float:
        return top + height * -math.log10(share) / decades

    parts = [
        f'<line class="grid" x1="{left}" x2="{width - 6}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text class="tick" x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{_power_of_ten(k)}</text>'
        for k in range(decades + 1)
        for y in (top + height * k / decades,)
    ]
    missing_y = top + height + 14
    for place, row in enumerate(rows):
        x = left + step * (place + 0.5)
        found = [y_of(values[row['id']]) for values in shares.values() if values[row['id']]]
        parts.append(f'<line class="stem" x1="{x}" x2="{x}" y1="{min(found):.1f}" y2="{max(found):.1f}"/>')
        for number, (split, values) in enumerate(shares.items()):
            share = values[row['id']]
            title = f'{row["name"]}: {percent(share)} of the pixels of {split}' if share else ''
            title = title or f'{row["name"]}: absent from {split}'
            y, kind = (y_of(share), 'dot') if share else (missing_y, 'dot hollow')
            parts.append(
                f'<circle class="{kind} split-{number}" cx="{x}" cy="{y:.1f}" r="4">'
                f'<title>{escape(title)}</title></circle>'
            )
        bottom = missing_y + 10
        parts.append(
            f'<rect class="swatch" x="{x - 5}" y="{bottom}" width="10" height="10" rx="2" '
            f'fill="{hex_color(labels.colors[row["id"]])}"/>'
            f'<text class="name" text-anchor="end" transform="translate({x + 4} {bottom + 18}) rotate(-55)">'
            f'{escape(_shortened(row["name"]))}</text>'
        )
    parts.append(f'<text class="tick" x="{left - 6}" y="{missing_y + 4}" text-anchor="end">absent</text>')
    return _svg(width, top + height + below, parts, 'Share of pixels of each class in each split', fixed=True)


def _pixel_shares(figures: Mapping[str, Any]) -> list[float]:
    valid = max(figures['num_pixels'] - figures['ignored_pixels'], 1)
    return [row['pixels'] / valid for row in figures['classes']]


def _power_of_ten(decades: int) -> str:
    return f'{100 / 10**decades:.{max(0, decades - 2)}f} %'


def _shortened(name: str, limit: int = 16) -> str:
    return name if len(name) <= limit else name[: limit - 1] + '…'


def brightness(splits: Mapping[str, Mapping[str, Any]]) -> str:
    """How many of a split's images have which mean brightness, as shares of the split."""
    levels = 256 // statistics.BRIGHTNESS_BINS
    series = {
        split: [images / max(figures['num_records'], 1) for images in figures['brightness_histogram']]
        for split, figures in splits.items()
    }
    edges = [levels * i for i in range(statistics.BRIGHTNESS_BINS + 1)]
    return _histogram(series, edges, 'Mean brightness of the images of each split, 0 to 255', '')


def source_sizes(splits: Mapping[str, Mapping[str, Any]], side: str) -> str:
    """How many of a split's sources have which height or width, as shares of the split.

    Args:
        splits: the figures of each split.
        side: `height` or `width`.

    Returns:
        SVG, or the one value that all have.
    """
    values = [row[side] for figures in splits.values() for row in figures['source_sizes']]
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
        for row in figures['source_sizes']:
            bins[(row[side] - lowest) // width] += row['images']
        series[split] = [images / max(figures['num_records'], 1) for images in bins]
    return _histogram(series, edges, f'{side.capitalize()} of the sources of each split, in pixels', ' px')


def _histogram(series: Mapping[str, Sequence[float]], edges: Sequence[int], label: str, unit: str) -> str:
    """Columns for the first split, a stepped line for each other one; heights are shares of the split."""
    width, height = _SMALL
    left, right, top, bottom = 48, 8, 10, 26
    highest = max((value for values in series.values() for value in values), default=0.0) or 1.0
    scale_top = _round_up(highest)
    step = (width - left - right) / max(1, len(edges) - 1)

    def y_of(value: float) -> float:
        return top + (height - top - bottom) * (1 - value / scale_top)

    parts = []
    for share in (0.0, scale_top / 2, scale_top):
        y = y_of(share)
        parts.append(
            f'<line class="grid" x1="{left}" x2="{width - right}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text class="tick" x="{left - 5}" y="{y + 4:.1f}" text-anchor="end">{100 * share:g} %</text>'
        )
    for number, (split, values) in enumerate(series.items()):
        if number:
            points = ' '.join(
                f'{left + step * (i + side):.1f},{y_of(v):.1f}' for i, v in enumerate(values) for side in (0, 1)
            )
            parts.append(f'<polyline class="steps split-{number}" points="{points}"/>')
            continue
        for i, value in enumerate(values):
            if value:
                title = f'{edges[i]} to {edges[i + 1] - 1}{unit}: {percent(value)} of {split}'
                parts.append(
                    f'<rect class="column split-{number}" x="{left + step * i + 0.5:.1f}" y="{y_of(value):.1f}" '
                    f'width="{max(1.0, step - 1):.1f}" height="{y_of(0) - y_of(value):.1f}">'
                    f'<title>{escape(title)}</title></rect>'
                )
    for i in sorted({0, (len(edges) - 1) // 2, len(edges) - 1}):
        anchor = 'start' if i == 0 else 'end' if i == len(edges) - 1 else 'middle'
        parts.append(
            f'<text class="tick" x="{left + step * i:.1f}" y="{height - 8}" text-anchor="{anchor}">'
            f'{edges[i] if i < len(edges) - 1 else edges[i] - 1}{unit}</text>'
        )
    return _svg(width, height, parts, label)


def _round_up(value: float) -> float:
    """The next share of few digits, at most 1."""
    power = 10.0 ** math.floor(math.log10(value))
    return min(1.0, next(step * power for step in _ROUND_STEPS if step * power >= value * (1 - 1e-9)))


def cooccurrence(total: Mapping[str, Any], labels: LabelMap) -> str:
    """Heat map: of the images that show the class of a row, the share that also show the class of a column.

    Args:
        total: the figures of all splits together.
        labels: the classes.

    Returns:
        SVG of the classes in the most images, without the background; nothing if there are fewer than two.
    """
    rows = sorted(
        (row for row in total['classes'] if row['images'] and row['id'] != BACKGROUND_ID),
        key=lambda row: (-row['images'], row['id']),
    )[:_HEAT_MAP_CLASSES]
    if len(rows) < 2:
        return ''
    together = {tuple(row['ids']): row['images'] for row in total['cooccurrence']}
    cell, left, top = _HEAT_MAP_CELL, 112, _HEAT_MAP_TOP
    parts = []
    for i, row in enumerate(rows):
        y = top + cell * i
        parts.append(_heat_map_names(row, hex_color(labels.colors[row['id']]), left + cell * i, left, y))
        for j, column in enumerate(rows):
            a, b = sorted((row['id'], column['id']))
            images = together.get((a, b), 0) if a != b else row['images']
            share = images / row['images']
            kind = 'cell same' if a == b else 'cell'
            title = (
                f'{percent(share)} of the {count(row["images"])} images with {row["name"]} show {column["name"]} too'
            )
            parts.append(
                f'<rect class="{kind}" x="{left + cell * j}" y="{y}" width="{cell - 1}" height="{cell - 1}" '
                f'fill-opacity="{0.03 + 0.97 * share:.2f}"><title>{escape(title)}</title></rect>'
            )
    side = cell * len(rows)
    return _svg(left + side + 40, top + side + 4, parts, 'Which classes appear in the same images', fixed=True)


def _heat_map_names(row: Mapping[str, Any], color: str, x: float, left: float, y: float) -> str:
    """The name of one class, before its row and above its column."""
    name = escape(_shortened(row['name'], 14))
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
