"""Which files of the sources are pairs, and every mistake that can be seen in their names."""

import os
import shlex
from collections.abc import Sequence

from seg_pipeline import errors
from seg_pipeline.building.config import SourceFolders
from seg_pipeline.imaging import formats
from seg_pipeline.large_plans import listing
from seg_pipeline.planning import pairing, path_patterns
from seg_pipeline.planning.pairing import Pairing
from seg_pipeline.plurals import counted


def find(
    sources: SourceFolders,
    image_glob: str | None = None,
    mask_glob: str | None = None,
    image_key_regex: str | None = None,
    mask_key_regex: str | None = None,
) -> Pairing:
    """Lists the sources and pairs them; says what of the names is no part of the keys.

    Args:
        sources: the folders of images and masks.
        image_glob, mask_glob: which of their files are such, see `planning.path_patterns`; None for all.
        image_key_regex, mask_key_regex: find the key in a path; None lets `pairing` find it.

    Returns:
        The pairs, as objects or, of folders that are long, as a table on the disk.

    Raises:
        UserError: if a folder cannot be listed, a pattern fits nothing, no image has a mask, or names contradict that
            they are pairs.
    """
    if any(map(listing.is_long, (sources.images, sources.masks))):
        result, of_images, of_masks = listing.match_pairs(
            sources.images, sources.masks, image_glob, mask_glob, image_key_regex, mask_key_regex
        )
        _check(sources, result, (of_images.num_files, of_images.example), (of_masks.num_files, of_masks.example))
        return result
    images = path_patterns.select(pairing.list_files(sources.images), image_glob, '--image_glob', sources.images)
    masks = path_patterns.select(
        pairing.list_files(sources.masks, formats.MASK_SUFFIXES), mask_glob, '--mask_glob', sources.masks
    )
    _check_apart(sources, images, masks)
    result = pairing.match_pairs(images, masks, image_key_regex, mask_key_regex)
    _check(sources, result, *((len(paths), next(iter(paths), None)) for paths in (images, masks)))
    return result


def _check_apart(sources: SourceFolders, images: Sequence[str], masks: Sequence[str]) -> None:
    """Refuses one folder of images and masks of which the patterns do not say which is which."""
    if os.path.realpath(sources.images) != os.path.realpath(sources.masks):
        return
    if both := sorted(set(images) & set(masks)):
        raise pairing.both_kinds(sources.images, both[0])


def _check(sources: SourceFolders, result: Pairing, *found: tuple[int, str | None]) -> None:
    """Refuses that there are no pairs, or hardly such; `found` says how many images and masks there are, and one."""
    if not result.pairs:
        examples = [counted(number, 'file') + (f' such as {example}' if number else '') for number, example in found]
        raise errors.UserError(
            f'no image has a mask: {sources.images} holds {examples[0]}, {sources.masks} holds {examples[1]}; '
            'give --image_key_regex and --mask_key_regex'
        )
    cut = result.trimming
    if cut is None:
        return
    if result.doubt:
        flags = shlex.join((f'--image_key_regex={cut.images.key_regex}', f'--mask_key_regex={cut.masks.key_regex}'))
        raise errors.UserError(f'{result.doubt}; if they are pairs, say so: {flags}')
    print(f'keys: the * in {cut.images} of the images and {cut.masks} of the masks')
