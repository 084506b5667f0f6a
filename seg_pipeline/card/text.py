"""Numbers and words of the card, as people read them."""

import html
from collections.abc import Sequence

_SPLIT_COLORS = 5  # in page.css


def escape(value: object) -> str:
    """Text that HTML and SVG show as it is, in elements and in quoted attributes."""
    return html.escape(str(value), quote=True)


def count(number: int) -> str:
    """1234567 -> 1,234,567."""
    return f'{number:,}'


def percent(share: float) -> str:
    """A share as a percentage of about three digits; what is not nothing never reads as 0."""
    value = 100 * share
    if value == 0:
        return '0 %'
    if value < 0.001:
        return '< 0.001 %'
    digits = 1 if value >= 10 else 2 if value >= 1 else 3
    return f'{value:.{digits}f} %'


def size(num_bytes: int) -> str:
    """Bytes in the unit that leaves one to three digits before the point."""
    value = float(num_bytes)
    for unit in ('bytes', 'kB', 'MB', 'GB'):
        if value < 1000:
            return f'{value:.0f} {unit}' if unit == 'bytes' else f'{value:.1f} {unit}'
        value /= 1000
    return f'{value:.1f} TB'


def aligned_percent(share: float) -> str:
    """A share as a percentage with three decimals, so that points stand below each other in a column."""
    return percent(share) if share < 1e-5 else f'{100 * share:.3f} %'


def weight(value: float | None) -> str:
    """A class weight with three digits or so; a dash for none."""
    if value is None:
        return '–'
    digits = next((n for n, lowest in enumerate((100, 10, 0.1)) if value >= lowest), 3)
    return f'{value:,.{digits}f}'


def plural(number: int, singular: str, plural_form: str = '') -> str:
    """`1 image`, `2 images`."""
    return f'{count(number)} {singular if number == 1 else plural_form or singular + "s"}'


def listed(names: Sequence[str], limit: int = 12) -> str:
    """`a, b and c`, or `a, b and 7 more`; escaped, each name emphasized."""
    shown = [f'<b>{escape(name)}</b>' for name in names[:limit]]
    if len(names) > limit:
        return f'{", ".join(shown)} and {count(len(names) - limit)} more'
    return ' and '.join(part for part in (', '.join(shown[:-1]), *shown[-1:]) if part)


def hex_color(color: Sequence[int]) -> str:
    """(255, 0, 16) -> #ff0010."""
    return '#{:02x}{:02x}{:02x}'.format(*color)


def split_class(number: int) -> str:
    """The style class that colours a split, by its place; after as many as there are colours, they begin anew."""
    return f'split-{number % _SPLIT_COLORS}'
