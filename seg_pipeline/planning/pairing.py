"""Which image belongs to which mask: paths in, pairs out."""

import contextlib
import dataclasses
import os
import re
import sys
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence

from seg_pipeline import errors, storage
from seg_pipeline.imaging import formats, rejects
from seg_pipeline.planning import trimming
from seg_pipeline.planning.trimming import Trimming


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
    """All files of both trees: the pairs, ordered by key, and what could not be paired.

    Attributes:
        pairs: ordered by key.
        rejects: ordered too.
        trimming: what was cut off the names to get the keys; None if nothing was.
    """

    pairs: Sequence[SourcePair]
    rejects: tuple[rejects.Reject, ...]
    trimming: Trimming | None = None

    @property
    def doubt(self) -> str | None:
        """Why these are hardly pairs, on one line; None if nothing speaks against it. See `Trimming.contradiction`."""
        if not self.pairs or self.trimming is None or self.trimming.contradiction is None:
            return None
        first, (of_images, of_masks) = self.pairs[0], self.trimming.contradiction
        return errors.one_line(
            f'image {first.image} and mask {first.mask} would be a pair: all images have the number {of_images} in '
            f'their names, where all masks have {of_masks}'
        )


def list_files(root: str, suffixes: Iterable[str] = formats.IMAGE_SUFFIXES) -> list[str]:
    """Lists the files below a directory, sorted, relative to it, with `/` between the parts.

    Hidden files and directories are left out. Links to directories are followed, see `storage.names`.

    Args:
        root: a directory.
        suffixes: lower-case suffixes with their dot; files with others are left out.

    Raises:
        UserError: if `root` is no directory or cannot be listed, or if Python does not take its names for UTF-8.
    """
    wanted = frozenset(suffixes)
    with told_errors(root):
        found = storage.names(root, hidden=False)
    result = [path for path in found if os.path.splitext(path)[1].lower() in wanted]
    check_encoding(root, result)
    return result


@contextlib.contextmanager
def told_errors(root: str) -> Iterator[None]:
    """Turns what prevents a listing into one line for the user."""
    try:
        yield
    except FileNotFoundError as error:
        raise errors.UserError(f'{root}: no such directory') from error
    except OSError as error:
        raise errors.UserError(f'{error.filename or root}: cannot be listed: {error.strerror}') from error


def both_kinds(root: str, path: str) -> errors.UserError:
    """What to raise where a file of the one folder would be an image and a mask."""
    return errors.UserError(
        f'{root} is the folder of the images and of the masks, and {path} would be both: say which is which, as in '
        '--image_glob=*.jpg --mask_glob=*.png'
    )


def check_encoding(root: str, names: Iterable[str]) -> None:
    """Refuses names that are not those on the disk: keys, and so splits, would depend on the locale."""
    encoding = sys.getfilesystemencoding()
    if not storage.has_directories(root) or encoding == 'utf-8':
        return
    if (other := next((name for name in names if not name.isascii()), None)) is not None:
        raise errors.UserError(
            f'{root}: Python takes file names for {encoding} here, such as {errors.one_line(other)}: '
            'start it with PYTHONUTF8=1 in the environment'
        )


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
    `x_leftImg8bit`/`x_gtFine_labelIds`). What was cut off may say that these are no pairs: see `Pairing.doubt`.

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
    images, masks = (list(usable_names(paths, kind, problems)) for kind, paths in (('image', images), ('mask', masks)))
    image_keys, mask_keys, trimmed = _best_keys(images, masks, image_key_regex, mask_key_regex)
    images_by_key = _index(images, image_keys, 'image', problems)
    masks_by_key = _index(masks, mask_keys, 'mask', problems)
    twice = {problem.key for problem in problems}
    shared = images_by_key.keys() & masks_by_key.keys()
    problems += [alone(key, images_by_key[key], 'image') for key in images_by_key.keys() - shared - twice]
    problems += [alone(key, masks_by_key[key], 'mask') for key in masks_by_key.keys() - shared - twice]
    pairs = tuple(SourcePair(key, images_by_key[key], masks_by_key[key]) for key in sorted(shared - twice))
    return Pairing(pairs, in_order(problems), trimmed)


def in_order(problems: Iterable[rejects.Reject]) -> tuple[rejects.Reject, ...]:
    """Rejects as a `Pairing` has them."""
    return tuple(sorted(problems, key=lambda problem: (problem.key, problem.message)))


def usable_names(paths: Iterable[str], kind: str, problems: list[rejects.Reject]) -> Iterator[str]:
    """The paths that a record can hold; the others, whose bytes are no UTF-8, become rejects."""
    for path in paths:
        try:
            path.encode()
        except UnicodeEncodeError:
            shown = errors.one_line(path)
            message = f'{shown}: the name of this {kind} is not UTF-8: rename it'
            problems.append(rejects.Reject(shown, rejects.UNUSABLE_NAME, message, *_by_kind(kind, shown)))
        else:
            yield path


def alone(key: str, path: str, kind: str) -> rejects.Reject:
    """The reject of a file whose key no file of the other tree has."""
    other, reason = ('mask', rejects.NO_MASK) if kind == 'image' else ('image', rejects.NO_IMAGE)
    return rejects.Reject(key, reason, f'{path}: no {other} has its key {key!r}', *_by_kind(kind, path))


def without_key(path: str, kind: str) -> rejects.Reject:
    """The reject of a file in whose path the expression finds no key."""
    return rejects.Reject(path, rejects.NO_KEY, f'{path}: --{kind}_key_regex finds no key in it', *_by_kind(kind, path))


def _by_kind(kind: str, path: str) -> tuple[str | None, str | None]:
    """A path as that of an image or of a mask, for a reject."""
    return (path, None) if kind == 'image' else (None, path)


def of_one_key(key: str, paths: Sequence[str], kind: str) -> rejects.Reject:
    """The reject of several files of one tree that have one key."""
    message = f'{" and ".join(paths)}: {len(paths)} {kind}s have the key {key!r}'
    return rejects.Reject(key, rejects.DUPLICATE_KEY, message, *_by_kind(kind, paths[0]))


def _best_keys(
    images: Sequence[str], masks: Sequence[str], image_key_regex: str | None, mask_key_regex: str | None
) -> tuple[Sequence[str | None], Sequence[str | None], Trimming | None]:
    of_image, of_mask = key_finder('image', image_key_regex), key_finder('mask', mask_key_regex)
    if image_key_regex or mask_key_regex:
        return [of_image(path) for path in images], [of_mask(path) for path in masks], None
    image_stems, mask_stems = [_stem(path) for path in images], [_stem(path) for path in masks]
    if set(image_stems) == set(mask_stems):  # nothing can pair more
        return image_stems, mask_stems, None
    (image_keys, of_images), (mask_keys, of_masks) = trimming.trim(image_stems), trimming.trim(mask_stems)
    # Most pairs wins; equal stems win a tie.
    if len(set(image_keys) & set(mask_keys)) > len(set(image_stems) & set(mask_stems)):
        return image_keys, mask_keys, Trimming(of_images, of_masks)
    return image_stems, mask_stems, None


def _stem(path: str) -> str:
    stem = os.path.splitext(path)[0]
    # One file system writes é as one code point, the next as two.
    return stem if stem.isascii() else unicodedata.normalize('NFC', stem)


def key_finder(kind: str, expression: str | None) -> Callable[[str], str | None]:
    """How the key of a path is found, before anything is trimmed.

    Args:
        kind: `image` or `mask`.
        expression: what the flag of that kind says; without one the key is the path without its suffix.

    Raises:
        UserError: if the expression is none.
    """
    if not expression:
        return _stem
    try:
        compiled = re.compile(expression)
    except re.error as error:
        raise errors.UserError(f'--{kind}_key_regex={expression}: not a regular expression: {error}') from error
    group = 1 if compiled.groups else 0

    def find(path: str) -> str | None:
        match = compiled.search(unicodedata.normalize('NFC', path))
        return match.group(group) if match else None

    return find


def _index(
    paths: Sequence[str], keys: Sequence[str | None], kind: str, problems: list[rejects.Reject]
) -> dict[str, str]:
    """Maps keys to paths; files without a key or with one key become rejects."""
    by_key: dict[str, list[str]] = defaultdict(list)
    for path, key in zip(paths, keys, strict=True):
        if key:
            by_key[key].append(path)
        else:
            problems.append(without_key(path, kind))
    problems += [of_one_key(key, group, kind) for key, group in by_key.items() if len(group) > 1]
    return {key: group[0] for key, group in by_key.items()}
