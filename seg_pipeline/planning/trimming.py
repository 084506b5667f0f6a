"""Keys by trimming: what all names of a tree have in common tells no file from another, and is cut off."""

import dataclasses
import itertools
import re
from collections.abc import Collection, Iterable, Iterator, Sequence

from seg_pipeline import errors


@dataclasses.dataclass(frozen=True)
class Affixes:
    """What is cut off the paths of one tree, whose suffixes (`.png`) are gone before.

    Attributes:
        prefix: at the start of each.
        suffix: at the end of each.
    """

    prefix: str = ''
    suffix: str = ''

    def __str__(self) -> str:
        return errors.one_line(f'{self.prefix}*{self.suffix}')

    @property
    def numbers(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The numbers in prefix and suffix, in order: 2019 of `2019_cam_`, 8 of `_leftImg8bit`."""
        before, after = (tuple(map(int, re.findall(r'\d+', part))) for part in (self.prefix, self.suffix))
        return before, after

    def cut(self, stem: str) -> str:
        """What is left of a path without its suffix."""
        return stem[len(self.prefix) : len(stem) - len(self.suffix)]

    @property
    def key_regex(self) -> str:
        """A regular expression whose first group is the same key, for paths with their suffix."""
        return rf'^{re.escape(self.prefix)}(.+){re.escape(self.suffix)}\.[^.]+$'


@dataclasses.dataclass(frozen=True)
class Trimming:
    """What is cut off both trees."""

    images: Affixes
    masks: Affixes

    @property
    def contradiction(self) -> tuple[int, int] | None:
        """A number of the images, in what is cut off, that is another one in the masks.

        Such names say themselves that they do not belong together: `2019_cam_07` is no photo of the mask `2020_cam_07`,
        and `s1_07_v2` none of `s2_07_v1`. A number in one tree alone, or beside those of the other tree, contradicts
        nothing: `leftImg8bit` and `gtFine`.

        Returns:
            The first two that differ where both trees have as many numbers before the key, or behind it; else the
            smallest that only one tree has, of each. None if there are none.
        """
        for here, there in zip(self.images.numbers, self.masks.numbers, strict=True):
            different = [both for both in zip(here, there, strict=False) if both[0] != both[1]]
            if len(here) == len(there) and different:
                return different[0]
        of_images, of_masks = (frozenset(itertools.chain(*tree.numbers)) for tree in (self.images, self.masks))
        own = of_images - of_masks, of_masks - of_images
        return (min(own[0]), min(own[1])) if all(own) else None


def trim(stems: Sequence[str]) -> tuple[list[str], Affixes]:
    """Cuts off what all stems have in common at both ends, never inside a run of digits or of letters.

    Args:
        stems: paths without suffix.

    Returns:
        What is left of each, and what was cut off. Nothing is, if nothing would be left of some stem.
    """
    found = affixes(stems)
    return [found.cut(stem) for stem in stems], found


def affixes(stems: Collection[str]) -> Affixes:
    """What `trim` cuts off; reads the stems several times and holds none of them."""
    if len(stems) < 2:
        # One file has everything in common with itself: its last run of digits is what tells it from others.
        runs = [(stem, match) for stem in stems for match in re.finditer(r'\d+', stem)]
        if not runs:
            return Affixes()
        stem, match = runs[-1]
        return Affixes(stem[: match.start()], stem[match.end() :])
    start = _common_cut(stems)
    end = _common_cut(_Reversed(stems, start))
    if any(len(stem) <= start + end for stem in stems):
        return Affixes()
    first = next(iter(stems))
    return Affixes(first[:start], first[len(first) - end :])


@dataclasses.dataclass(frozen=True)
class _Reversed(Iterable[str]):
    """Stems from their ends to the place `start`."""

    stems: Collection[str]
    start: int

    def __iter__(self) -> Iterator[str]:
        return (stem[self.start :][::-1] for stem in self.stems)


def _common_cut(stems: Iterable[str]) -> int:
    """How many first characters all stems share, so that the cut after them splits no run of digits or letters."""
    first, last = min(stems), max(stems)  # in sorted order, no two differ earlier than these
    cut = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))
    while cut > 0 and any(_splits_a_run(stem, cut) for stem in stems):
        cut -= 1
    return cut


def _splits_a_run(stem: str, position: int) -> bool:
    if not 0 < position < len(stem):
        return False
    before, after = stem[position - 1], stem[position]
    return (before.isdigit() and after.isdigit()) or (before.isalpha() and after.isalpha())
