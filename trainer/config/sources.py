"""Where the pairs of a run come from: a data set of prepare_dataset, or one of any TFDS builder, without a manifest."""

import dataclasses
import os
from collections.abc import Callable

from seg_pipeline import errors, storage
from seg_pipeline.dataset import manifest as manifest_lib
from seg_pipeline.dataset import tfds_directory
from seg_pipeline.dataset.dataset_split import DatasetSplit, Split
from seg_pipeline.dataset.tfds_directory import TfdsDirectory, TfdsSplit
from seg_pipeline.labels import remapping
from seg_pipeline.records import pair_features, tfds_formats
from trainer.config import fetched
from trainer.config.data import VALIDATION_SPLIT, Data, read_manifest
from trainer.config.ranges import check_ranges

_MOST_LISTED = 5
_RANGES: dict[str, tuple[float, float]] = {'label_offset': (-255, 255), 'num_classes': (1, 255)}
_LONGEST_SIDE = 65535


@dataclasses.dataclass(frozen=True)
class DataOptions:
    """What the files of a data set do not tell. All but the split are for data sets without a manifest.

    Attributes:
        image_size: (height, width) that images and masks are resized to; None for the one that all of them have.
        image_feature: name of the image's feature; None for the only one of its type, see `pair_features.choose`.
        mask_feature: name of the mask's feature; None likewise.
        label_offset: class = value in the mask + offset; None for 0. Values that are the ignored id, 255, or whose
            class is negative, are ignored.
        num_classes: number of classes; None where the mask's feature names them.
        validation_split: the split that is evaluated after each epoch; None for `VALIDATION_SPLIT`, if there is one.
    """

    image_size: tuple[int, int] | None = None
    image_feature: str | None = None
    mask_feature: str | None = None
    label_offset: int | None = None
    num_classes: int | None = None
    validation_split: str | None = None

    def __post_init__(self) -> None:
        check_ranges(self, _RANGES)
        if self.image_size and not 1 <= min(self.image_size) <= max(self.image_size) <= _LONGEST_SIDE:
            raise errors.UserError(
                f'--image_size={_size(self.image_size)}: wanted HEIGHT,WIDTH in pixels, 1 to {_LONGEST_SIDE} each'
            )

    @property
    def split_to_validate_on(self) -> str:
        return VALIDATION_SPLIT if self.validation_split is None else self.validation_split

    def completed(self, of_run: Data) -> 'DataOptions':
        """The same options; those that are not given are what a run was trained with, as far as the run knows them."""
        found = dataclasses.replace(self, image_size=self.image_size or of_run.image_size)
        if of_run.mask_feature is None:  # it was trained on a data set with a manifest
            return found
        label_offset = of_run.label_offset if self.label_offset is None else self.label_offset
        return dataclasses.replace(
            found,
            image_feature=self.image_feature or of_run.image_feature,
            mask_feature=self.mask_feature or of_run.mask_feature,
            label_offset=label_offset,
        )


@dataclasses.dataclass(frozen=True)
class Source:
    """A data set to read pairs from.

    Attributes:
        data: what a run depends on of it.
        split_names: its splits.
        split: from the name of a split to the split; raises `UserError` if there is none of that name.
        note: one line for stderr, where something about it has to be said.
    """

    data: Data
    split_names: tuple[str, ...]
    split: Callable[[str], Split]
    note: str | None = None

    @property
    def note_of_training(self) -> str | None:
        """The note, which also says where there is nothing to validate on."""
        if self.note is None or self.data.validation_split in self.split_names:
            return self.note
        splits = ', '.join(self.split_names)
        return f'{self.note}; no split {VALIDATION_SPLIT}: give one of {splits} as --validation_split to validate on it'

    def validation_split(self) -> Split | None:
        """The split to validate on; None if it is the default and there is no such split.

        Raises:
            UserError: there is none of another name.
        """
        name = self.data.validation_split
        if name in self.split_names:
            return self.split(name)
        if name == VALIDATION_SPLIT:
            return None
        raise errors.UserError(f'--validation_split={name}: no such split; there is {", ".join(self.split_names)}')


def open_source(data_dir: str, options: DataOptions | None = None, of_run: Data | None = None) -> Source:
    """Reads what a data set says of itself.

    Args:
        data_dir: directory of a version of a data set; that of one in an object store is fetched first.
        options: what it does not say.
        of_run: of the run whose model is given the data set: completes the options, and names the classes where the
            data set does not.

    Raises:
        UserError: it is no data set, or not of the kind that the trainer reads; or the options contradict it.
    """
    options = options or DataOptions()
    if not storage.has_directories(data_dir):
        copy = fetched.fetch(data_dir)
        note = f'note: {data_dir} was fetched to {copy}'
        return dataclasses.replace(_of_manifest(copy, options), note=note)
    if tfds_directory.is_one(data_dir):
        return _of_tfds(data_dir, options, of_run)
    if not os.path.lexists(os.path.join(data_dir, manifest_lib.FILE_NAME)):
        _check_version(data_dir)
    return _of_manifest(data_dir, options)


def _check_version(data_dir: str) -> None:
    """Raises `UserError` for a directory that holds data sets, as that of a builder does, and is none itself."""
    below = tfds_directory.versions_below(data_dir)
    if below:
        more = f' and {len(below) - _MOST_LISTED} more' if len(below) > _MOST_LISTED else ''
        raise errors.UserError(
            f'--data_dir={data_dir}: no data set, but a directory of such; give the one of a version: '
            f'{", ".join(below[:_MOST_LISTED])}{more}'
        )


def _of_manifest(data_dir: str, options: DataOptions) -> Source:
    manifest = read_manifest(data_dir)
    tfds_formats.check_installed(str(manifest.options.get('file_format')))
    for name in ('image_feature', 'mask_feature', 'label_offset', 'num_classes'):
        if (value := getattr(options, name)) is not None:
            raise errors.UserError(
                f'--{name}={value} is for TFDS data sets without {manifest_lib.FILE_NAME}; {data_dir} has one, which '
                'tells it'
            )
    if options.image_size not in (None, manifest.image_size):
        raise errors.UserError(
            f'--image_size={_size(options.image_size)}: {data_dir} holds images of {_size(manifest.image_size)} '
            'pixels; prepare the data set again with that --image_size'
        )
    data = Data.from_manifest(manifest)
    data = dataclasses.replace(data, validation_split=options.split_to_validate_on)
    return Source(data, manifest.split_names, lambda name: DatasetSplit(data_dir, manifest, name))


def _of_tfds(data_dir: str, options: DataOptions, of_run: Data | None) -> Source:
    directory = TfdsDirectory.read(data_dir)
    given, options = options, options.completed(of_run) if of_run else options
    pair = pair_features.choose(data_dir, directory.features, options.image_feature, options.mask_feature)
    image_size = options.image_size or pair.image_size
    if image_size is None:
        raise errors.UserError(
            f'{data_dir}: the images are of several sizes: give the one to resize them to, as --image_size=128,128'
        )
    offset = options.label_offset or 0
    if of_run and not pair.names and given.num_classes in (None, of_run.label_map.num_classes):
        label_map = of_run.label_map  # nothing in the data set contradicts it
    else:
        label_map = pair_features.label_map(data_dir, pair, options.num_classes, offset)
    data = Data(
        directory.name,
        directory.fingerprint,
        image_size,
        label_map,
        remapping=remapping.of_offset(label_map, offset).to_json() if offset else None,
        image_feature=pair.image,
        mask_feature=pair.mask,
        label_offset=offset,
        validation_split=options.split_to_validate_on,
    )
    note = (
        f'note: {data_dir} has no {manifest_lib.FILE_NAME}: its shards are counted, their contents cannot be compared '
        f'with digests; the image is {pair.image}, the mask {pair.mask} of {label_map.num_classes} classes, '
        f'--label_offset={offset} --image_size={_size(image_size)}'
    )
    return Source(
        data,
        tuple(directory.splits),
        lambda name: TfdsSplit(directory, name, pair, image_size, label_map, offset),
        note,
    )


def _size(image_size: tuple[int, int] | None) -> str:
    return '{},{}'.format(*image_size) if image_size else ''
