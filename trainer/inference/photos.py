"""Which images to predict: from what the user typed to files, names for the results, and ground truths."""

import dataclasses
import glob
import os
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from PIL import Image

from seg_pipeline import errors, storage
from seg_pipeline.dataset import record_index, tfds_directory
from seg_pipeline.dataset.dataset_split import DatasetSplit
from seg_pipeline.dataset.tfds_directory import TfdsDirectory
from seg_pipeline.imaging import formats, rejects
from seg_pipeline.imaging import images as images_lib
from seg_pipeline.imaging import masks as masks_lib
from seg_pipeline.planning import pairing
from seg_pipeline.plurals import counted


@dataclasses.dataclass(frozen=True)
class ImageFile:
    """One image to predict.

    Attributes:
        name: its path below the folder of all images, without the suffix; no two images have the same.
        path: of its file.
        ground_truth: path of its mask, where there is one.
    """

    name: str
    path: str
    ground_truth: str | None = None


@dataclasses.dataclass(frozen=True)
class LoadedImage:
    """An image in memory, at its own size.

    Attributes:
        name: as in `ImageFile`.
        image: (H, W, 3) uint8 RGB.
        ground_truth: (H, W) uint8 ids, where there is one.
    """

    name: str
    image: np.ndarray
    ground_truth: np.ndarray | None


def find(pattern: str, masks: str | None = None) -> list[ImageFile]:
    """Finds images and their ground truths, ordered by name.

    Args:
        pattern: a directory, of which every image is taken, those of its subdirectories too; or a file name with
            wildcards (`**` for any subdirectories).
        masks: a directory of ground truths, paired with the images as `pairing.match_pairs` does.

    Returns:
        At least one image.

    Raises:
        UserError: there is no image, two images would have the same name, or no ground truth belongs to an image.
    """
    root, paths = _list(pattern)
    found: dict[str, ImageFile] = {}
    for path in paths:
        file = ImageFile(os.path.splitext(path)[0], os.path.join(root, path))
        other = found.setdefault(file.name, file)
        if other is not file:
            raise errors.UserError(
                f'{other.path} and {file.path} would both become {file.name}.png; rename one or name the files'
            )
    truths = _ground_truths(pattern, root, paths, masks) if masks else {}
    return [dataclasses.replace(file, ground_truth=truths.get(file.path)) for _, file in sorted(found.items())]


def only_of_split(files: Sequence[ImageFile], split: DatasetSplit) -> list[ImageFile]:
    """Keeps the images that a split of a data set was made of.

    Args:
        files: from `find`, given the directory that the data set was prepared from.
        split: the split.

    Returns:
        At least one image.

    Raises:
        UserError: no image belongs to it.
    """
    index = record_index.of(split.dataset_dir)
    return _only(files, (entry.image for entry in index if entry.split == split.name), split.dataset_dir, split.name)


def only_of_dataset(files: Sequence[ImageFile], data_dir: str, split: str) -> list[ImageFile]:
    """As `only_of_split`, of a data set that any TFDS builder made too, if its records name their files.

    Raises:
        UserError: it is no data set, has no such split, or its records do not name their files; or no image belongs to
            it.
    """
    if not (storage.has_directories(data_dir) and tfds_directory.is_one(data_dir)):
        return only_of_split(files, DatasetSplit.read(data_dir, split))
    return _only(files, TfdsDirectory.read(data_dir).file_names(split), data_dir, split)


def _only(files: Sequence[ImageFile], of_split: Iterable[str], data_dir: str, split: str) -> list[ImageFile]:
    names = {os.path.splitext(name)[0] for name in of_split}
    kept = [file for file in files if file.name in names]
    if not kept:
        raise errors.UserError(
            f'{counted(len(files), "image")}, of which none is one of the {len(names)} of split {split!r} of '
            f'{data_dir}: give --images the directory that it was prepared from'
        )
    return kept


def batches(files: Sequence[ImageFile], most_images: int, most_pixels: int) -> Iterator[list[ImageFile]]:
    """Cuts a sequence into parts that fit into memory together.

    Args:
        files: the sequence.
        most_images: in one part.
        most_pixels: of the images of a part, as the headers of their files say. An image that has more is a part alone,
            and so is one whose header cannot be read here.
    """
    part: list[ImageFile] = []
    pixels = 0
    for file in files:
        more = _num_pixels(file.path, most_pixels)
        if part and (len(part) == most_images or pixels + more > most_pixels):
            yield part
            part, pixels = [], 0
        part.append(file)
        pixels += more
    if part:
        yield part


def _num_pixels(path: str, otherwise: int) -> int:
    try:
        with Image.open(path) as header:  # which decodes nothing
            return header.width * header.height
    except Exception:  # whatever Pillow raises: `load` will say what is wrong with the file
        return otherwise


def load(file: ImageFile, reader: masks_lib.MaskReader) -> LoadedImage:
    """Reads an image and its ground truth.

    Args:
        file: what to read.
        reader: gives meaning to the values of the ground truth.

    Raises:
        RejectError: a file cannot be read, or the two have different sizes.
    """
    image = images_lib.read_image(file.path)
    if file.ground_truth is None:
        return LoadedImage(file.name, image, None)
    truth = masks_lib.read(file.ground_truth, reader)
    if truth.shape != image.shape[:2]:
        sizes = '{}x{}, its image {} is {}x{}'.format(*truth.shape, file.path, *image.shape[:2])
        raise rejects.RejectError(rejects.SIZE_MISMATCH, f'{file.ground_truth} is {sizes}')
    return LoadedImage(file.name, image, truth)


def _list(pattern: str) -> tuple[str, list[str]]:
    """Returns a directory and the paths, relative to it, of the images in it."""
    if os.path.isdir(pattern):
        root, paths = pattern, pairing.list_files(pattern)
    else:
        found = [path for path in glob.glob(pattern, recursive=True) if _is_image(path)]
        root = os.path.commonpath([os.path.dirname(os.path.abspath(path)) for path in found]) if found else ''
        paths = sorted(os.path.relpath(path, root) for path in found)
    if not paths:
        raise errors.UserError(f'--images={pattern} matches no image ({", ".join(sorted(formats.IMAGE_SUFFIXES))})')
    return root, paths


def _is_image(path: str) -> bool:
    return os.path.isfile(path) and os.path.splitext(path)[1].lower() in formats.IMAGE_SUFFIXES


def _ground_truths(pattern: str, root: str, paths: list[str], masks: str) -> dict[str, str]:
    """Returns the path of the mask of each image that has one, by the image's path."""
    found = pairing.match_pairs(paths, pairing.list_files(masks, formats.MASK_SUFFIXES))
    if not found.pairs:
        raise errors.UserError(f'no mask in --masks={masks} belongs to an image of --images={pattern}')
    if found.doubt:
        raise errors.UserError(f'--masks={masks}: {found.doubt}; rename them if they are')
    return {os.path.join(root, pair.image): os.path.join(masks, pair.mask) for pair in found.pairs}
