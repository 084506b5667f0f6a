"""Which image belongs to which mask: paths in, pairs out."""

import dataclasses
import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence

from seg_pipeline import errors, storage
from seg_pipeline.imaging import formats, rejects


@dataclasses.dataclass(frozen=True, order=True)
class SourcePair:
    """An image and its mask.

    Attributes:
        key: what both file names have in common; unique in a data set.
        image: path of the image, relative to the root of the images, with `/` between its parts.
        mask: path of the mask, relative to the root of the masks.
    """

    key: str
    image: str
    mask: str


@dataclasses.dataclass(frozen=True)
class Pairing:
    """All files of both trees: the pairs, ordered by key, and what could not be paired."""

    pairs: tuple[SourcePair, ...]
    rejects: tuple[rejects.Reject, ...]


def list_files(root: str, suffixes: Iterable[str] = formats.IMAGE_SUFFIXES) -> list[str]:
    """Lists the files below a directory, sorted, relative to it, with `/` between the parts.

    Hidden files and directories are left out. Links to directories are followed, see `storage.names`.

    Args:
        root: a directory.
        suffixes: lower-case suffixes with their dot; files with others are left out.

    Raises:
        UserError: if `root` is no directory or cannot be listed.
    """
    wanted = frozenset(suffixes)
    try:
        found = storage.names(root, hidden=False)
    except FileNotFoundError as error:
        raise errors.UserError(f'{root}: no such directory') from error
    except OSError as error:
        raise errors.UserError(f'{error.filename or root}: cannot be listed: {error.strerror}') from error
    return [path for path in found if os.path.splitext(path)[1].lower() in wanted]


def match_pairs(
    images: Sequence[str],
    masks: Sequence[str],
    image_key_regex: str | None = None,
    mask_key_regex: str | None = None,
) -> Pairing:
    """Pairs the files of two trees.

    The key of a file is, in the order in which they are tried: the first group of the expression, where one is given;
    its path without suffix, if any image and mask share one; else that path without the prefix and suffix that all
    files of its tree have in common, cut at a boundary of digits or letters (`img_0007`/`seg_0007`,
    `x_leftImg8bit`/`x_gtFine_labelIds`).

    Args:
        images: paths relative to the root of the images.
        masks: paths relative to the root of the masks.
        image_key_regex: searched in each image's path; its first group (else the complete match) is the key.
        mask_key_regex: the same for masks.

    Returns:
        The pairs, and a reject for each file without a partner, without a key, with the key of another file, or with a
        name that is not UTF-8.
    """
    problems: list[rejects.Reject] = []
    images, masks = _with_usable_names(images, 'image', problems), _with_usable_names(masks, 'mask', problems)
    image_keys, mask_keys = _best_keys(images, masks, image_key_regex, mask_key_regex)
    images_by_key = _index(images, image_keys, 'image', problems)
    masks_by_key = _index(masks, mask_keys, 'mask', problems)
    twice = {problem.key for problem in problems}
    shared = images_by_key.keys() & masks_by_key.keys()
    for key in sorted(images_by_key.keys() - shared - twice):
        message = f'{images_by_key[key]}: no mask has its key {key!r}'
        problems.append(rejects.Reject(key, rejects.NO_MASK, message, image=images_by_key[key]))
    for key in sorted(masks_by_key.keys() - shared - twice):
        message = f'{masks_by_key[key]}: no image has its key {key!r}'
        problems.append(rejects.Reject(key, rejects.NO_IMAGE, message, mask=masks_by_key[key]))
    pairs = tuple(SourcePair(key, images_by_key[key], masks_by_key[key]) for key in sorted(shared - twice))
    return Pairing(pairs, tuple(sorted(problems, key=lambda problem: (problem.key, problem.message))))


def _with_usable_names(paths: Sequence[str], kind: str, problems: list[rejects.Reject]) -> list[str]:
    """The paths that a record can hold; the others, whose bytes are no UTF-8, become rejects."""
    usable = []
    for path in paths:
        try:
            path.encode()
            usable.append(path)
        except UnicodeEncodeError:
            shown = rejects.one_line(path)
            message = f'{shown}: the name of this {kind} is not UTF-8: rename it'
            problems.append(rejects.Reject(shown, rejects.UNUSABLE_NAME, message, **{kind: shown}))
    return usable


def _best_keys(
    images: Sequence[str], masks: Sequence[str], image_key_regex: str | None, mask_key_regex: str | None
) -> tuple[Sequence[str | None], Sequence[str | None]]:
    if image_key_regex or mask_key_regex:
        return (
            _regex_keys(images, '--image_key_regex', image_key_regex),
            _regex_keys(masks, '--mask_key_regex', mask_key_regex),
        )
    equal = [_stem(path) for path in images], [_stem(path) for path in masks]
    if set(equal[0]) == set(equal[1]):  # nothing can pair more
        return equal
    trimmed = _trimmed(equal[0]), _trimmed(equal[1])
    # Most pairs wins; equal stems win a tie.
    return max((equal, trimmed), key=lambda keys: len(set(keys[0]) & set(keys[1])))


def _stem(path: str) -> str:
    stem = os.path.splitext(path)[0]
    # One file system writes é as one code point, the next as two.
    return stem if stem.isascii() else unicodedata.normalize('NFC', stem)


def _regex_keys(paths: Sequence[str], flag: str, expression: str | None) -> list[str | None]:
    if not expression:
        return [_stem(path) for path in paths]
    try:
        compiled = re.compile(expression)
    except re.error as error:
        raise errors.UserError(f'{flag}={expression}: not a regular expression: {error}') from error
    group = 1 if compiled.groups else 0
    matches = [compiled.search(unicodedata.normalize('NFC', path)) for path in paths]
    return [match.group(group) if match else None for match in matches]


def _trimmed(stems: list[str]) -> list[str]:
    """Cuts off what all stems have in common at both ends, never inside a run of digits or of letters."""
    if len(stems) < 2:
        # One file has everything in common with itself: its last run of digits is what tells it from others.
        return [(re.findall(r'\d+', stem) or [stem])[-1] for stem in stems]
    start = _common_cut(stems)
    rest = [stem[start:] for stem in stems]
    end = _common_cut([stem[::-1] for stem in rest])
    keys = [stem[: len(stem) - end] for stem in rest]
    return keys if all(keys) else stems


def _common_cut(stems: list[str]) -> int:
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


def _index(
    paths: Sequence[str], keys: Sequence[str | None], kind: str, problems: list[rejects.Reject]
) -> dict[str, str]:
    """Maps keys to paths; files without a key or with one key become rejects."""
    by_key: dict[str, list[str]] = defaultdict(list)
    for path, key in zip(paths, keys, strict=True):
        if key:
            by_key[key].append(path)
        else:
            message = f'{path}: --{kind}_key_regex finds no key in it'
            problems.append(rejects.Reject(path, rejects.NO_KEY, message, **{kind: path}))
    for key, group in by_key.items():
        if len(group) > 1:
            message = f'{" and ".join(group)}: {len(group)} {kind}s have the key {key!r}'
            problems.append(rejects.Reject(key, rejects.DUPLICATE_KEY, message, **{kind: group[0]}))
    return {key: group[0] for key, group in by_key.items()}
