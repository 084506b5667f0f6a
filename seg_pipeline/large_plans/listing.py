"""Two listings that are too long to be held: their pairs, with the checks and messages of short ones."""

import itertools
import os
from collections.abc import Iterable, Iterator

from seg_pipeline import storage
from seg_pipeline.imaging import formats
from seg_pipeline.large_plans import pair_table
from seg_pipeline.planning import pairing, path_patterns
from seg_pipeline.planning.pairing import Pairing
from seg_pipeline.planning.path_patterns import PathPattern

MOST_FILES_IN_MEMORY = 200_000  # of a folder; the plan of as many pairs takes 200 to 300 MB as objects


def is_long(root: str) -> bool:
    """Whether a folder has more files than should be held; False where it cannot be listed, which others tell."""
    try:
        names = storage.iterate(root, hidden=False)
        return next(itertools.islice(names, MOST_FILES_IN_MEMORY, None), None) is not None
    except OSError:
        return False


def match_pairs(
    images: str,
    masks: str,
    image_glob: str | None = None,
    mask_glob: str | None = None,
    image_key_regex: str | None = None,
    mask_key_regex: str | None = None,
) -> tuple[Pairing, 'Listing', 'Listing']:
    """Lists two folders and pairs their files.

    Args:
        images, masks: the folders.
        image_glob, mask_glob: which of their files are images and masks, see `planning.path_patterns`.
        image_key_regex, mask_key_regex: as for `pairing.match_pairs`.

    Returns:
        The pairs, with a `pair_table.PairTable`, and what the listings were like.

    Raises:
        UserError: as for short listings.
    """
    of_images = Listing(images, formats.IMAGE_SUFFIXES, image_glob)
    both = of_images if os.path.realpath(images) == os.path.realpath(masks) else None
    of_masks = Listing(masks, formats.MASK_SUFFIXES, mask_glob, not_in=both)
    found = pair_table.match(of_images, of_masks, image_key_regex, mask_key_regex)
    for listing, flag, pattern in ((of_images, '--image_glob', image_glob), (of_masks, '--mask_glob', mask_glob)):
        if pattern is not None and not listing.num_files:
            raise path_patterns.fits_nothing(flag, pattern, listing.root, listing.num_listed, listing.example)
    return found, of_images, of_masks


class Listing(Iterable[str]):
    """The files below a folder that a pattern fits, listed by each iteration.

    Args:
        root: the folder.
        suffixes: lower-case suffixes with their dot; files with others are left out.
        pattern: fits those that are wanted; None for all.
        not_in: another listing of the same folder, which must have none of them.

    Attributes:
        num_listed: how many files of these suffixes were there.
        num_files: how many of them were wanted.
        example: one of them, or else of the others; None if there are none.
    """

    def __init__(
        self, root: str, suffixes: Iterable[str], pattern: str | None, not_in: 'Listing | None' = None
    ) -> None:
        self.root = root
        self.num_listed = self.num_files = 0
        self.example: str | None = None
        self._suffixes = frozenset(suffixes)
        self._pattern = None if pattern is None else PathPattern(pattern)
        self._not_in = not_in

    def __contains__(self, path: object) -> bool:
        return self._has_suffix(str(path)) and self._fits(str(path))

    def __iter__(self) -> Iterator[str]:
        self.num_listed = self.num_files = 0
        with pairing.told_errors(self.root):
            for path in storage.iterate(self.root, hidden=False):
                if not self._has_suffix(path):
                    continue
                pairing.check_encoding(self.root, (path,))
                self.num_listed += 1
                self.example = self.example or path
                if not self._fits(path):
                    continue
                if self._not_in is not None and path in self._not_in:
                    raise pairing.both_kinds(self.root, path)
                if not self.num_files:
                    self.example = path
                self.num_files += 1
                yield path

    def _has_suffix(self, path: str) -> bool:
        return os.path.splitext(path)[1].lower() in self._suffixes

    def _fits(self, path: str) -> bool:
        return self._pattern is None or self._pattern.fits(path)
