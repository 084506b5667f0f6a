"""The parts of the card, each a function from values to HTML in which every text is escaped."""

import base64
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from seg_pipeline.card import charts
from seg_pipeline.card.gallery import Picture
from seg_pipeline.card.text import (
    count,
    escape,
    hex_color,
    listed,
    percent,
    plural,
    split_class,
)
from seg_pipeline.dataset.record_index import RecordEntry
from seg_pipeline.dataset.statistics import SplitSummary
from seg_pipeline.imaging import rejects as rejects_lib
from seg_pipeline.imaging.rejects import Reject
from seg_pipeline.labels.label_map import BACKGROUND_ID, IGNORE_COLOR, LabelMap

_FEW_IMAGES = 5
_LISTED_REJECTS = 200  # of one reason; all are in rejected.jsonl
_LISTED_GROUPS = 100
_LISTED_PAIRS = 6


def spectrum(total: SplitSummary, labels: LabelMap) -> str:
    """A band of all classes but the background, each as wide as its share of the pixels."""
    rows = sorted((row for row in total.classes if row.id != BACKGROUND_ID), key=lambda row: -row.pixels)
    pixels = max(sum(row.pixels for row in rows), 1)
    return ''.join(
        f'<i style="flex-grow:{row.pixels / pixels:.6f};background:{hex_color(labels.colors[row.id])}" '
        f'title="{escape(row.name)}: {percent(row.pixels / pixels)}"></i>'
        for row in rows
        if row.pixels
    )


def findings(
    total: SplitSummary,
    splits: Mapping[str, SplitSummary],
    rejected: Sequence[Reject],
    mostly_ignored: Sequence[str] = (),
) -> str:
    """What a reader should know before using the data, as list items."""
    present = total.present
    lines = []
    if absent := [row.name for row in total.classes if not row.images]:
        lines.append(f'{_classes(absent)} in no image: {listed(absent)}.')
    for split, figures in splits.items():
        names = [row.name for row in figures.classes if not row.images and row.name not in absent]
        if names:
            lines.append(f'{_classes(names)} in some image, but in none of <b>{escape(split)}</b>: {listed(names)}.')
    if few := [row.name for row in present if row.images < _FEW_IMAGES]:
        lines.append(f'{_classes(few)} in fewer than {_FEW_IMAGES} images: {listed(few)}.')
    if present:
        most = max(present, key=lambda row: row.pixels)
        share = most.pixels / max(total.valid_pixels, 1)
        lines.append(
            f'A model that answers <b>{escape(most.name)}</b> everywhere has a pixel accuracy of {percent(share)}.'
        )
    if mostly_ignored:
        masks = f'{count(len(mostly_ignored))} of {plural(total.num_records, "mask")}'
        lines.append(f'Of {masks} more than half is ignored, or far more than of the others: {listed(mostly_ignored)}.')
    bad = len(rejects_lib.unintended(rejected))
    if bad:
        lines.append(f'{plural(bad, "pair or file was", "pairs or files were")} rejected; see below.')
    if left_out := len(rejected) - bad:
        lines.append(f'{plural(left_out, "pair is", "pairs are")} in no list, and left out as asked for.')
    return ''.join(f'<li>{line}</li>' for line in lines)


def _classes(names: Sequence[str]) -> str:
    return f'{plural(len(names), "class appears", "classes appear")}'


def split_key(splits: Iterable[str]) -> str:
    """Which colour is which split."""
    return ''.join(f'<span><i class="{split_class(i)}"></i>{escape(split)}</span>' for i, split in enumerate(splits))


def sizes_summary(total: SplitSummary) -> str:
    """One sentence on the sizes of the sources."""
    rows = total.source_sizes
    if not rows:
        return ''
    most = max(rows, key=lambda row: (row.images, row.height, row.width))
    if len(rows) == 1:
        return f'All sources are {most.height} × {most.width} pixels (height × width).'
    smallest, largest = (pick(rows, key=lambda row: row.height * row.width) for pick in (min, max))
    return (
        f'{plural(len(rows), "size")} (height × width), from {smallest.height} × {smallest.width} to '
        f'{largest.height} × {largest.width}; the most frequent is {most.height} × {most.width}, '
        f'{plural(most.images, "image")}.'
    )


def cooccurrence(total: SplitSummary, labels: LabelMap) -> str:
    """The heat map, and the pairs of classes that chance explains the least."""
    heat_map = charts.cooccurrence(total, labels)
    if not heat_map:
        return '<p class="quiet">Fewer than two classes appear beside the background.</p>'
    images = {row.id: row.images for row in total.classes if row.id != BACKGROUND_ID}
    together = {found.ids: found.images for found in total.cooccurrence if found.ids[0] != BACKGROUND_ID}
    # What independence would give; where that is less than a few images, finding none says nothing.
    expected = {
        (a, b): images[a] * images[b] / total.num_records
        for a in images
        for b in images
        if a < b and images[a] * images[b] >= _FEW_IMAGES * total.num_records
    }
    # In standard deviations of a count that is left to chance.
    surprise = {pair: (together.get(pair, 0) - mean) / mean**0.5 for pair, mean in expected.items()}
    most = sorted(together, key=lambda pair: (-together[pair], pair))
    attracted = sorted((pair for pair in surprise if surprise[pair] > 1), key=lambda pair: (-surprise[pair], pair))
    avoiding = sorted((pair for pair in surprise if surprise[pair] < -1), key=lambda pair: (surprise[pair], pair))

    def against_chance(pair: tuple[int, int]) -> str:
        return f'{count(together.get(pair, 0))}, by chance {expected[pair]:.0f}'

    lists = [
        _pair_list('Together most often', most, labels, lambda pair: plural(together[pair], 'image')),
        _pair_list('More often than by chance', attracted, labels, against_chance),
        _pair_list('Less often than by chance', avoiding, labels, against_chance),
    ]
    return f'<div class="scroll">{heat_map}</div><div class="pairs">{"".join(lists)}</div>'


def _pair_list(
    title: str, pairs: Sequence[tuple[int, int]], labels: LabelMap, text: Callable[[tuple[int, int]], str]
) -> str:
    if not pairs:
        return ''
    items = ''.join(
        f'<li>{_name(a, labels)}<span class="with">{_name(b, labels)}</span><b>{text((a, b))}</b></li>'
        for a, b in pairs[:_LISTED_PAIRS]
    )
    return f'<div><h3>{title}</h3><ol>{items}</ol></div>'


def _name(class_id: int, labels: LabelMap) -> str:
    color = hex_color(labels.colors[class_id])
    return f'<span><i class="swatch" style="background:{color}"></i>{escape(labels.names[class_id])}</span>'


def gallery(pictures: Sequence[Picture], labels: LabelMap) -> str:
    """The section of the gallery; nothing without pictures."""
    if not pictures:
        return ''
    story = (
        'Records chosen to show as many classes as possible, the rarest first; the caption says which class a record '
        'was chosen for. A class in the legend hides or shows its colour in all pictures.'
    )
    tools = (
        '<button type="button" data-all="true">All classes</button>'
        '<button type="button" data-all="false">None</button>'
        '<label>Opacity <input id="opacity" type="range" min="0" max="100" value="62"></label>'
        '<output id="under" aria-live="polite"></output>'
    )
    figures = ''.join(_figure(number, picture, labels) for number, picture in enumerate(pictures))
    return (
        f'<section id="gallery"><h2>Gallery</h2><p class="lead">{story}</p><div class="controls">'
        f'<div class="tools">{tools}</div><div class="legend" id="legend">{_legend(pictures, labels)}</div></div>'
        f'<div class="gallery">{figures}</div></section>'
    )


def _figure(number: int, picture: Picture, labels: LabelMap) -> str:
    """The image, and on it a canvas that the script fills."""
    names = [labels.names[i] for i in picture.ids if i < labels.num_classes and i != BACKGROUND_ID]
    height, width = picture.proportions
    chosen = '' if picture.chosen_for is None else f' · {escape(labels.names[picture.chosen_for])}'
    return (
        f'<figure><div class="picture" style="aspect-ratio:{width}/{height}">'
        f'<img src="{_data_uri(picture.image)}" alt="{escape(picture.key)}">'
        f'<canvas data-mask="{number}" role="img" aria-label="{escape(", ".join(names))}"></canvas></div>'
        f'<figcaption><b>{escape(picture.key)}</b><span>{escape(picture.split)}{chosen}</span></figcaption></figure>'
    )


def _legend(pictures: Sequence[Picture], labels: LabelMap) -> str:
    """A button for each class in the gallery, and for the ignored id where it appears."""
    buttons = []
    for class_id in sorted({i for picture in pictures for i in picture.ids}):
        is_class = class_id < labels.num_classes
        name = labels.names[class_id] if is_class else 'ignored'
        color = hex_color(labels.colors[class_id] if is_class else IGNORE_COLOR)
        pressed = 'false' if class_id == BACKGROUND_ID else 'true'
        buttons.append(
            f'<button type="button" aria-pressed="{pressed}" data-class="{class_id}">'
            f'<i class="swatch" style="background:{color}"></i>{escape(name)}</button>'
        )
    return ''.join(buttons)


def rejects(rejected: Sequence[Reject]) -> str:
    """What was left out, reason by reason."""
    if not rejected:
        return '<p class="quiet">Nothing was rejected: every file that was found is part of the data set.</p>'
    by_reason: dict[str, list[Reject]] = defaultdict(list)
    for reject in rejected:
        by_reason[reject.reason].append(reject)
    parts = []
    for reason, members in sorted(by_reason.items(), key=lambda item: (-len(item[1]), item[0])):
        items = ''.join(
            f'<li><b>{escape(reject.key)}</b> {escape(reject.message)}</li>' for reject in members[:_LISTED_REJECTS]
        )
        more = len(members) - _LISTED_REJECTS
        rest = f'<p class="quiet">{count(more)} more in rejected.jsonl.</p>' if more > 0 else ''
        parts.append(
            f'<details><summary><b class="number">{count(len(members))}</b><code>{escape(reason)}</code>'
            f'<span>{escape(rejects_lib.EXPLANATIONS[reason])}</span></summary><ul>{items}</ul>{rest}</details>'
        )
    return ''.join(parts)


def duplicates(groups: Sequence[Sequence[RecordEntry]], pictures: Mapping[str, Picture]) -> str:
    """The section of images that are the same or nearly so; nothing where there are none.

    Args:
        groups: the records of each group.
        pictures: those of some members, by key.
    """
    if not groups:
        return ''
    divided = sum(1 for group in groups if len({member.split for member in group}) > 1)
    where = 'each group is in one split'
    if divided:
        where = f'<b class="missing">{plural(divided, "group is", "groups are")} in more than one split</b>'
    items = ''.join(
        f'<li>{"".join(_duplicate(member, pictures.get(member.key)) for member in group)}</li>'
        for group in groups[:_LISTED_GROUPS]
    )
    more = len(groups) - _LISTED_GROUPS
    rest = f'<p class="quiet">{plural(more, "more group")} in duplicates.json.</p>' if more > 0 else ''
    return (
        f'<section id="duplicates"><h2>Duplicates and near-duplicates</h2><p class="lead">'
        f'{plural(sum(map(len, groups)), "image")} in {plural(len(groups), "group")} that are the same or nearly so; '
        f'{where}.</p><ul class="groups">{items}</ul>{rest}</section>'
    )


def _duplicate(member: RecordEntry, picture: Picture | None) -> str:
    image = ''
    if picture is not None:
        height, width = picture.proportions
        image = f'<img style="aspect-ratio:{width}/{height}" src="{_data_uri(picture.image)}" alt="">'
    reason = member.split_reason or ''
    told = member.split if reason in ('', 'hash') else f'{member.split} · {reason}'
    return f'<figure>{image}<figcaption><b>{escape(member.key)}</b><span>{escape(told)}</span></figcaption></figure>'


def _data_uri(image: bytes) -> str:
    return f'data:image/jpeg;base64,{base64.b64encode(image).decode()}'


def split_story(options: Mapping[str, Any], splits: Mapping[str, SplitSummary]) -> str:
    """How the splits were made."""
    sizes = ', '.join(f'{count(figures.num_records)} in {escape(split)}' for split, figures in splits.items())
    if 'split_files' in options:
        # Sorted, as the manifest has them: by that alone a repair makes the same card again.
        lists = sorted(options['split_files'].items())
        names = ', '.join(f'{escape(split)} ({plural(listed["num_names"], "name")})' for split, listed in lists)
        return f'By given lists: {names}. That made {sizes}.'
    if 'splits' not in options:
        return f'{sizes}.'
    fractions = ', '.join(f'{escape(split)} {escape(part)}' for split, part in sorted(options['splits'].items()))
    parts = [
        f'By fractions: {fractions}. The keys were put in the order of a hash of key and seed '
        f'{escape(options.get("seed", 0))} and dealt out in that order; that made {sizes}.'
    ]
    parts += [
        f'<b class="missing">No pair came into {escape(name)}.</b>'
        for name in sorted(options['splits'])
        if name not in splits
    ]
    together = []
    if 'near_duplicates' in options:
        together.append('identical images')
    if options.get('near_duplicates', 'off') != 'off':
        distance = escape(options.get('max_distance', '?'))
        together.append(f'those whose perceptual hashes differ in at most {distance} of 64 bits')
    if options.get('group_regex'):
        together.append(f'the groups that <code>{escape(options["group_regex"])}</code> finds in paths')
    if together:
        parts.append(f'In one split stay {", ".join(together[:-1])}{" and " * (len(together) > 1)}{together[-1]}.')
    if options.get('stratify') == 'rare':
        parts.append('Every class that enough groups show is in every split.')
    return ' '.join(parts)


def command(text: str) -> str:
    """The command that made the data set, its paths shortened, with a button that copies it."""
    if not text:
        return ''
    shown = escape(text).replace(' --', ' \\\n  --')
    return (
        f'<h3>The command</h3><div class="command"><pre id="command" data-text="{escape(text)}">{shown}</pre>'
        '<button type="button" data-copy="command">Copy</button></div>'
        '<p class="quiet">Of each path only the last part; provenance.json has the command as it was typed.</p>'
    )
