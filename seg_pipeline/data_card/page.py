"""The page of the card: values in, HTML out. Equal values give equal bytes."""

import base64
import dataclasses
import hashlib
import importlib.resources
import json
import string
from collections.abc import Mapping, Sequence
from typing import Any

from seg_pipeline.data_card import charts, sections
from seg_pipeline.data_card.gallery import Picture, encode_runs
from seg_pipeline.data_card.text import count, escape, percent, size
from seg_pipeline.label_map import BACKGROUND_ID, IGNORE_COLOR, LabelMap
from seg_pipeline.manifest import Shard
from seg_pipeline.rejects import Reject


class _Template(string.Template):
    """`%%name` in a page, where `$` and `{` belong to scripts and style sheets."""

    delimiter = '%%'


@dataclasses.dataclass(frozen=True)
class DataCard:
    """What the card tells.

    Attributes:
        dataset_name: the TFDS name.
        config_name: the TFDS config.
        version: the TFDS version.
        fingerprint: of the data set, in hex.
        label_map: the classes.
        total: `SplitStatistics.result` over all splits.
        splits: the same for each split, in order.
        shards: all shards.
        rejects: what was left out.
        pictures: the gallery.
        options: the options that decided the contents.
        library_versions: the versions of the libraries that decide bytes.
        command: what made the data set; empty if not known.
        duplicate_groups: keys of images that look alike, group by group; None if nobody looked.
        split_of: the split of each key of those groups.
    """

    dataset_name: str
    config_name: str
    version: str
    fingerprint: str
    label_map: LabelMap
    total: Mapping[str, Any]
    splits: Mapping[str, Mapping[str, Any]]
    shards: Sequence[Shard] = ()
    rejects: Sequence[Reject] = ()
    pictures: Sequence[Picture] = ()
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    library_versions: Mapping[str, str] = dataclasses.field(default_factory=dict)
    command: str = ''
    duplicate_groups: Sequence[Sequence[str]] | None = None
    split_of: Mapping[str, str] = dataclasses.field(default_factory=dict)


def render(card: DataCard) -> bytes:
    """The page: one HTML file that needs nothing but itself.

    Its content security policy forbids every request, and every script but its own, whatever the names in it say.
    """
    script = _resource('page.js')
    values = {
        'script_hash': base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        'style': _resource('page.css'),
        'script': script,
        'data': _script_data(card),
        'name': escape(card.dataset_name),
        'subtitle': escape(f'{card.config_name} · version {card.version} · {card.fingerprint[:12]}'),
        'spectrum': sections.spectrum(card.total, card.label_map),
        'tiles': _tiles(card),
        'findings': sections.findings(card.total, card.splits, card.rejects),
        'split_key': sections.split_key(card.splits),
        'split_table': sections.split_table(card.splits, card.shards),
        'class_table': sections.class_table(card.total, card.splits, card.label_map),
        'frequencies': charts.class_frequencies(card.splits, card.total, card.label_map),
        'brightness': charts.brightness(card.splits),
        'heights': charts.source_sizes(card.splits, 'height'),
        'widths': charts.source_sizes(card.splits, 'width'),
        'sizes_summary': sections.sizes_summary(card.total),
        'cooccurrence': sections.cooccurrence(card.total, card.label_map),
        'gallery': sections.gallery(card.pictures, card.label_map),
        'legend': sections.legend(card.pictures, card.label_map),
        'rejects': sections.rejects(card.rejects),
        'duplicates': sections.duplicates(card.duplicate_groups, card.split_of),
        'split_story': sections.split_story(card.options, card.splits),
        'command': sections.command(card.command),
        'facts': sections.facts(card.fingerprint, card.options, card.library_versions),
    }
    return _Template(_resource('page.html')).substitute(values).encode()


def _resource(name: str) -> str:
    return importlib.resources.files(__package__).joinpath(name).read_text(encoding='utf-8')


def _script_data(card: DataCard) -> str:
    """What the script draws the gallery from; `<` is escaped, so that no name can end the element."""
    labels = card.label_map
    value = {
        'classes': {
            **{i: {'name': name, 'color': labels.colors[i]} for i, name in enumerate(labels.names)},
            labels.ignore_id: {'name': 'ignored', 'color': IGNORE_COLOR},
        },
        'background': BACKGROUND_ID,
        'masks': [
            {'height': picture.mask.shape[0], 'width': picture.mask.shape[1], 'runs': encode_runs(picture.mask)}
            for picture in card.pictures
        ],
    }
    return json.dumps(value, ensure_ascii=True, separators=(',', ':')).replace('<', '\\u003c')


def _tiles(card: DataCard) -> str:
    present = sum(1 for row in card.total['classes'] if row['images'])
    tiles = [
        (count(card.total['num_records']), 'images'),
        (f'{present} of {card.label_map.num_classes}', 'classes appear'),
        (' + '.join(count(figures['num_records']) for figures in card.splits.values()), ' + '.join(card.splits)),
        (size(sum(shard.num_bytes for shard in card.shards)), f'in {count(len(card.shards))} shards'),
        (percent(card.total['ignored_share']), 'of the pixels ignored'),
        (count(len(card.rejects)), 'rejected'),
    ]
    return ''.join(
        f'<div class="tile"><b>{escape(value)}</b><span>{escape(what)}</span></div>' for value, what in tiles
    )
