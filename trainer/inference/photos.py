"""Which photos to predict: from what the user typed to files, names for the results, and ground truths."""

import dataclasses
import glob
import os
from collections.abc import Sequence

import numpy as np

from seg_pipeline import errors
from seg_pipeline.dataset import manifest, record_index
from seg_pipeline.imaging import formats, images, rejects
from seg_pipeline.imaging import masks as masks_lib
from seg_pipeline.planning import pairing


@dataclasses.dataclass(frozen=True)
class Photo:
    """One photo to predict.

    Attributes:
        name: its path below the folder of all photos, without the suffix; no two photos have the same.
        image: path of its file.
        ground_truth: path of its mask, where there is one.
    """

    name: str
    image: str
    ground_truth: str | None = None


@dataclasses.dataclass(frozen=True)
class Loaded:
    """A photo in memory.

    Attributes:
        name: as in `Photo`.
        image: (H, W, 3) uint8 RGB.
        ground_truth: (H, W) uint8 ids, where there is one.
    """

    name: str
    image: np.ndarray
    ground_truth: np.ndarray | None


def find(pattern: str, masks: str | None = None) -> list[Photo]:
    """Finds photos and their ground truths, ordered by name.

    Args:
        pattern: a directory, of which every photo is taken, those of its subdirectories too; or a file name with
            wildcards (`**` for any subdirectories).
        masks: a directory of ground truths, paired with the photos as `pairing.match_pairs` does.

    Returns:
        At least one photo.

    Raises:
        UserError: there is no photo, two photos would have the same name, or no ground truth belongs to a photo.
    """
    root, paths = _list(pattern)
    photos: dict[str, Photo] = {}
    for path in paths:
        photo = Photo(os.path.splitext(path)[0], os.path.join(root, path))
        other = photos.setdefault(photo.name, photo)
        if other is not photo:
            raise errors.UserError(
                f'{other.image} and {photo.image} would both become {photo.name}.png; rename one or name the files'
            )
    truths = _ground_truths(pattern, paths, masks) if masks else {}
    return [dataclasses.replace(photo, ground_truth=truths.get(photo.image)) for _, photo in sorted(photos.items())]


def only_of_split(photos: Sequence[Photo], data_dir: str, split: str) -> list[Photo]:
    """Keeps the photos that a split of a data set was made of.

    Args:
        photos: from `find`, given the directory that the data set was prepared from.
        data_dir: the data set.
        split: the name of one of its splits.

    Returns:
        At least one photo.

    Raises:
        UserError: it is no data set, it has no such split, or no photo belongs to it.
    """
    manifest.read(data_dir).split_shards(split)
    index = record_index.of(data_dir)
    names = {os.path.splitext(entry.image)[0] for entry in index if entry.split == split}
    kept = [photo for photo in photos if photo.name in names]
    if not kept:
        raise errors.UserError(
            f'none of the {len(photos)} photos is one of the {len(names)} of split {split!r} of {data_dir}: '
            'give --images the directory that it was prepared from'
        )
    return kept


def load(photo: Photo, reader: masks_lib.MaskReader) -> Loaded:
    """Reads a photo and its ground truth.

    Args:
        photo: what to read.
        reader: gives meaning to the values of the ground truth.

    Raises:
        RejectError: a file cannot be read, or the two have different sizes.
    """
    image = images.read_image(photo.image)
    if photo.ground_truth is None:
        return Loaded(photo.name, image, None)
    truth = masks_lib.read(photo.ground_truth, reader)
    if truth.shape != image.shape[:2]:
        sizes = '{}x{}, its photo {} is {}x{}'.format(*truth.shape, photo.image, *image.shape[:2])
        raise images.RejectError(rejects.SIZE_MISMATCH, f'{photo.ground_truth} is {sizes}')
    return Loaded(photo.name, image, truth)


def _list(pattern: str) -> tuple[str, list[str]]:
    """Returns a directory and the paths, relative to it, of the photos in it."""
    if os.path.isdir(pattern):
        root, paths = pattern, pairing.list_files(pattern)
    else:
        found = [path for path in glob.glob(pattern, recursive=True) if _is_photo(path)]
        root = os.path.commonpath([os.path.dirname(os.path.abspath(path)) for path in found]) if found else ''
        paths = sorted(os.path.relpath(path, root) for path in found)
    if not paths:
        raise errors.UserError(f'--images={pattern} matches no image ({", ".join(sorted(formats.IMAGE_SUFFIXES))})')
    return root, paths


def _is_photo(path: str) -> bool:
    return os.path.isfile(path) and os.path.splitext(path)[1].lower() in formats.IMAGE_SUFFIXES


def _ground_truths(pattern: str, paths: list[str], masks: str) -> dict[str, str]:
    """Returns the path of the mask of each photo that has one, by the photo's path."""
    root, _ = _list(pattern)
    pairs = pairing.match_pairs(paths, pairing.list_files(masks, formats.MASK_SUFFIXES)).pairs
    if not pairs:
        raise errors.UserError(f'no mask in --masks={masks} belongs to a photo of --images={pattern}')
    return {os.path.join(root, pair.image): os.path.join(masks, pair.mask) for pair in pairs}
