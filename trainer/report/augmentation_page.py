"""A page of pairs before and after the random changes: one HTML file that works offline."""

import base64
import dataclasses
import html
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from seg_pipeline.imaging import images, visualization
from seg_pipeline.labels.label_map import LabelMap

_STYLE = """
body { font: 15px/1.4 system-ui, sans-serif; margin: 24px; color: #222; background: #fff; }
main { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 440px), 1fr)); gap: 24px; }
figure { margin: 0; display: grid; grid-template-columns: 1fr 1fr; gap: 4px; }
figcaption { grid-column: 1 / -1; color: #555; }
img { width: 100%; image-rendering: pixelated; display: block; }
.classes { grid-column: 1 / -1; font-size: 13px; }
.classes span { display: inline-block; margin-right: 10px; }
.classes i { display: inline-block; width: 11px; height: 11px; margin-right: 4px; border: 1px solid #999; }
code { background: #f2f2f2; padding: 2px 4px; overflow-wrap: anywhere; }
"""

# An image (height, width, 3) uint8 RGB and its mask (height, width) uint8 ids.
Pair = tuple[NDArray[np.uint8], NDArray[np.uint8]]


@dataclasses.dataclass(frozen=True)
class BeforeAndAfter:
    """One pair in two states.

    Attributes:
        before: as it is stored.
        after: as a network sees it.
    """

    before: Pair
    after: Pair


def render(pairs: Sequence[BeforeAndAfter], label_map: LabelMap, title: str, policy: str) -> bytes:
    """Returns the page.

    Args:
        pairs: in the order in which they are shown.
        label_map: the classes and their colours.
        title: of the page, plain text.
        policy: the configuration, plain text.
    """
    figures = '\n'.join(_figure(number, pair, label_map) for number, pair in enumerate(pairs))
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<style>{_STYLE}</style></head>\n<body><h1>{html.escape(title)}</h1>\n<p><code>{html.escape(policy)}</code></p>\n'
        f'<main>\n{figures}\n</main></body></html>\n'
    ).encode()


def _figure(number: int, pair: BeforeAndAfter, label_map: LabelMap) -> str:
    pictures = [
        (f'{what}, pair {number}', picture)
        for what, (image, mask) in (('before', pair.before), ('after', pair.after))
        for picture in (image, visualization.color_mask(mask, label_map))
    ]
    # Two rows: before above after; the photo to the left of its mask.
    shown = ''.join(f'<img alt="{alt}" src="{_png(picture)}">' for alt, picture in pictures)
    return (
        f'<figure><figcaption>pair {number}: before above, after below</figcaption>{shown}{_classes(pair, label_map)}'
        '</figure>'
    )


def _classes(pair: BeforeAndAfter, label_map: LabelMap) -> str:
    """The colours of the classes that are in one of the two masks."""
    ids = np.union1d(pair.before[1], pair.after[1])
    names = [label_map.names[number] if number < label_map.num_classes else 'ignored' for number in ids]
    colors = ['#{:02x}{:02x}{:02x}'.format(*label_map.palette()[number]) for number in ids]
    rows = (
        f'<span><i style="background:{color}"></i>{html.escape(name)}</span>'
        for name, color in zip(names, colors, strict=True)
    )
    return f'<div class="classes">{"".join(rows)}</div>'


def _png(picture: NDArray[np.uint8]) -> str:
    return f'data:image/png;base64,{base64.b64encode(images.encode_png(picture)).decode()}'
