"""The page of the card: values in, HTML out. Equal values give equal bytes."""

import base64
import dataclasses
import hashlib
import importlib.resources
import json
import string
from collections.abc import Mapping, Sequence

from seg_pipeline.card import charts, sections, tables
from seg_pipeline.card.gallery import Picture, encode_runs
from seg_pipeline.card.text import count, escape, percent, size
from seg_pipeline.dataset.manifest import Manifest
from seg_pipeline.dataset.record_index import RecordEntry
from seg_pipeline.dataset.statistics import SplitSummary
from seg_pipeline.imaging import rejects
from seg_pipeline.imaging.rejects import Reject
from seg_pipeline.labels.label_map import BACKGROUND_ID, IGNORE_COLOR
from seg_pipeline.plurals import noun

_DIGEST_LENGTH = 64  # of a SHA-256 in hex


class _Template(string.Template):
    """`%%name` in a page, where `$` and `{` belong to scripts and style sheets."""

    delimiter = '%%'


@dataclasses.dataclass(frozen=True)
class DataCard:
    """What the card tells.

    Attributes:
        manifest: of the data set; the digests of its files may be missing.
        total: the figures of all splits together.
        splits: those of each split, in order.
        rejects: what was left out.
        mostly_ignored: the masks of which much more is ignored than of the others.
        pictures: the gallery.
        command: what made the data set; empty if not known.
        duplicates: the records of each group of images that are the same or nearly so.
        duplicate_pictures: those of some of them, by key.
    """

    manifest: Manifest
    total: SplitSummary
    splits: Mapping[str, SplitSummary]
    rejects: Sequence[Reject] = ()
    mostly_ignored: Sequence[str] = ()
    pictures: Sequence[Picture] = ()
    command: str = ''
    duplicates: Sequence[Sequence[RecordEntry]] = ()
    duplicate_pictures: Mapping[str, Picture] = dataclasses.field(default_factory=dict)


def render(card: DataCard) -> bytes:
    """The page: one HTML file that needs no other file and no network.

    Its content security policy forbids every request, and every script but its own, whatever the names in it say.
    """
    about = card.manifest
    labels = about.label_map
    script = _resource('page.js')
    values = {
        'script_hash': base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        'style': _resource('page.css'),
        'script': script,
        'data': _script_data(card),
        'name': escape(about.dataset_name),
        'subtitle': escape(f'{about.config_name} · version {about.version} · {_identity(about.fingerprint)}'),
        'nav': _nav(card),
        'spectrum': sections.spectrum(card.total, labels),
        'tiles': _tiles(card),
        'findings': sections.findings(card.total, card.splits, card.rejects, card.mostly_ignored),
        'split_key': sections.split_key(card.splits),
        'split_table': tables.split_table(card.splits, about.shards),
        'class_table': tables.class_table(card.total, card.splits, labels),
        'frequencies': charts.class_frequencies(card.splits, card.total, labels),
        'brightness': charts.brightness(card.splits),
        'heights': charts.source_sizes(card.splits, 'height'),
        'widths': charts.source_sizes(card.splits, 'width'),
        'sizes_summary': sections.sizes_summary(card.total),
        'cooccurrence': sections.cooccurrence(card.total, labels),
        'gallery': sections.gallery(card.pictures, labels),
        'rejects': sections.rejects(card.rejects),
        'duplicates': sections.duplicates(card.duplicates, card.duplicate_pictures),
        'split_story': sections.split_story(about.options, card.splits),
        'command': sections.command(card.command),
        'facts': tables.facts(about.fingerprint, about.options, about.library_versions),
    }
    return _Template(_resource('page.html')).substitute(values).encode()


def _resource(name: str) -> str:
    return importlib.resources.files(__package__).joinpath(name).read_text(encoding='utf-8')


def _script_data(card: DataCard) -> str:
    """What the script draws the gallery from; `<` is escaped, so that no name can end the element."""
    labels = card.manifest.label_map
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


def _identity(fingerprint: str) -> str:
    return f'fingerprint {fingerprint[:12]}' if len(fingerprint) == _DIGEST_LENGTH else fingerprint


def _nav(card: DataCard) -> str:
    """Links to the sections that there are."""
    links = {
        'know': 'To know',
        **({'gallery': 'Gallery'} if card.pictures else {}),
        'classes': 'Classes',
        'splits': 'Splits',
        **({'duplicates': 'Duplicates'} if card.duplicates else {}),
        'together': 'Co-occurrence',
        'properties': 'Image properties',
        'rejects': 'Rejects',
        'made': 'How it was made',
    }
    return ''.join(f'<a href="#{name}">{title}</a>' for name, title in links.items())


def _tiles(card: DataCard) -> str:
    present = len(card.total.present)
    num_shards = len(card.manifest.shards)
    tiles = [
        (count(card.total.num_records), noun(card.total.num_records, 'image')),
        (f'{present} of {card.manifest.label_map.num_classes}', 'classes appear'),
        (' + '.join(count(figures.num_records) for figures in card.splits.values()), ' + '.join(card.splits)),
        (
            size(sum(shard.num_bytes for shard in card.manifest.shards)),
            f'in {count(num_shards)} {noun(num_shards, "shard")}',
        ),
        (percent(card.total.ignored_share), 'of the pixels ignored'),
        (count(len(rejects.unintended(card.rejects))), 'rejected'),
    ]
    return ''.join(
        f'<div class="tile"><b>{escape(value)}</b><span>{escape(what)}</span></div>' for value, what in tiles
    )
