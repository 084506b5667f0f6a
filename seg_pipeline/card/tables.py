"""The tables of the card: of splits, of classes, of facts."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from seg_pipeline.card.text import (
    aligned_percent,
    count,
    escape,
    hex_color,
    percent,
    plural,
    size,
    split_class,
    weight,
)
from seg_pipeline.dataset.manifest import Shard
from seg_pipeline.dataset.statistics import SplitSummary
from seg_pipeline.labels.label_map import BACKGROUND_ID, LabelMap


def split_table(splits: Mapping[str, SplitSummary], shards: Sequence[Shard]) -> str:
    """The rows of the split table."""
    images = max(sum(figures.num_records for figures in splits.values()), 1)
    rows = []
    for number, (split, figures) in enumerate(splits.items()):
        members = [shard for shard in shards if shard.split == split]
        present = len(figures.present)
        mean, deviation = (
            ' '.join(f'{value:.1f}' for value in values)
            for values in (figures.channel_mean, figures.channel_standard_deviation)
        )
        rows.append(
            f'<tr><th scope="row"><i class="split-dot {split_class(number)}"></i>{escape(split)}</th>'
            f'<td>{count(figures.num_records)}</td><td>{percent(figures.num_records / images)}</td>'
            f'<td>{count(len(members))}</td><td>{size(sum(shard.num_bytes for shard in members))}</td>'
            f'<td>{present}</td><td>{percent(figures.ignored_share)}</td><td>{mean}</td><td>{deviation}</td></tr>'
        )
    return ''.join(rows)


def class_table(total: SplitSummary, splits: Mapping[str, SplitSummary], labels: LabelMap) -> str:
    """The class table: a head whose buttons sort and a row for each class, that with the most pixels first."""
    heads = [
        _head('Class', 'text'),
        _head('Id', 'number'),
        _head('Pixels', 'number', sort='descending'),
        _head('Images', 'number'),
        *(_head(f'In {split}', 'number', number) for number, split in enumerate(splits)),
        _head('Weight, inverse', 'number'),
        _head('Weight, median', 'number'),
    ]
    valid = max(total.valid_pixels, 1)
    longest = max((row.pixels for row in total.classes if row.id != BACKGROUND_ID), default=0) or 1
    body = []
    for row in sorted(total.classes, key=lambda row: (-row.pixels, row.id)):
        share, images = row.pixels / valid, row.images
        cells = [
            f'<th scope="row" data-value="{escape(row.name)}"><i class="swatch" '
            f'style="background:{hex_color(labels.colors[row.id])}"></i>{escape(row.name)}</th>',
            _cell(row.id, str(row.id)),
            _cell(row.pixels, aligned_percent(share), bar=row.pixels / longest, title=plural(row.pixels, 'pixel')),
            _cell(images, count(images), bar=images / max(total.num_records, 1)),
            *(_split_cell(figures, row.id) for figures in splits.values()),
            _cell(row.inverse_frequency_weight, weight(row.inverse_frequency_weight)),
            _cell(row.median_frequency_weight, weight(row.median_frequency_weight)),
        ]
        body.append(f'<tr{"" if images else " class=absent"}>{"".join(cells)}</tr>')
    return f'<thead><tr>{"".join(heads)}</tr></thead><tbody>{"".join(body)}</tbody>'


def _head(title: str, kind: str, split: int | None = None, sort: str = 'none') -> str:
    dot = '' if split is None else f'<i class="split-dot {split_class(split)}"></i>'
    button = f'<button type="button">{dot}{escape(title)}</button>'
    return f'<th scope="col" aria-sort="{sort}" data-kind="{kind}">{button}</th>'


def _cell(value: float | None, text: str, bar: float | None = None, title: str = '') -> str:
    """A cell that sorts by `value`; a bar longer than the cell is cut and says so by its end."""
    attributes = f' data-value="{-1 if value is None else value!r}"' + (f' title="{escape(title)}"' if title else '')
    if bar is None:
        return f'<td{attributes}>{text}</td>'
    cut = ' cut' if bar > 1 else ''
    return (
        f'<td class="bar"{attributes}><i class="track{cut}"><i style="width:{100 * min(bar, 1):.2f}%"></i></i>'
        f'<span>{text}</span></td>'
    )


def _split_cell(figures: SplitSummary, class_id: int) -> str:
    row = figures.classes[class_id]
    share = row.pixels / max(figures.valid_pixels, 1)
    if not row.images:
        return '<td data-value="0" class="missing">absent</td>'
    return f'<td data-value="{share!r}">{aligned_percent(share)}<small>{count(row.images)}</small></td>'


def facts(fingerprint: str, options: Mapping[str, Any], versions: Mapping[str, str]) -> str:
    """Fingerprint, options and versions as rows of a table."""
    rows = [('fingerprint', fingerprint)]
    rows += [(name, _value(options[name])) for name in sorted(options)]
    rows += [(f'{name} version', versions[name]) for name in sorted(versions)]
    return ''.join(f'<tr><th scope="row">{escape(name)}</th><td><code>{escape(v)}</code></td></tr>' for name, v in rows)


def _value(value: Any, limit: int = 300) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
    return text if len(text) <= limit else f'{text[:limit]}… ({count(len(text))} characters; all in manifest.json)'
