"""What is to be built: where the pairs come from, what their records look like, and where the data set goes."""

import dataclasses
import os
import re
import typing
from collections.abc import Collection, Mapping
from typing import Any

from seg_pipeline import errors
from seg_pipeline.cross_check import Checker
from seg_pipeline.dataset import tfds_metadata, typed_json
from seg_pipeline.dataset.manifest import LONGEST_SIDE, Manifest
from seg_pipeline.imaging import formats, images, masks, resizing
from seg_pipeline.labels.label_map import LabelMap
from seg_pipeline.labels.remapping import Remapping
from seg_pipeline.records import schemas, tfds_names, writer

DEFAULT_IMAGE_SIZE = (128, 128)
_SIZE = re.compile(' *([0-9]{1,9}) *[,x] *([0-9]{1,9}) *')
_LONGEST_JPEG_SIDE = 65500  # in pixels; libjpeg encodes no more, though its format can say more


@dataclasses.dataclass(frozen=True)
class SourceFolders:
    """The roots, on this disk or elsewhere, that the paths of pairs are relative to."""

    images: str
    masks: str

    def image_path(self, name: str) -> str:
        """Where an image is, by its path in the folder."""
        return os.path.join(self.images, name)

    def mask_path(self, name: str) -> str:
        """Where a mask is, by its path in the folder."""
        return os.path.join(self.masks, name)


@dataclasses.dataclass(frozen=True)
class RecordOptions:
    """What decides the bytes of a record, beside the files of its pair.

    Attributes:
        label_map: the classes of the data set.
        remapping: how the classes of the masks become those, where they are others.
        image_size: (height, width) of the records in pixels; None keeps the size of each pair.
        resize, mask_resize: how they get that size, see `resizing.resize_mask`.
        image_encoding: how images are stored, one of `images.ENCODINGS`.
        schema: the names under which a record's parts are stored, one of `schemas.SCHEMAS`.
        file_format: of the shards, one of `writer.FILE_FORMATS`.
        mask_format: how masks are read, one of `masks.MASK_FORMATS`.
        max_pixels: images with more pixels are rejected without being decoded.

    Raises:
        UserError: if images of that size cannot be stored.
    """

    label_map: LabelMap
    remapping: Remapping | None = None
    image_size: tuple[int, int] | None = DEFAULT_IMAGE_SIZE
    resize: str = resizing.DEFAULT_MODE
    mask_resize: str = resizing.DEFAULT_MASK_MODE
    image_encoding: str = 'png'
    schema: str = schemas.TFDS
    file_format: str = writer.TFRECORD
    mask_format: str = masks.MaskReader.mask_format
    max_pixels: int = formats.DEFAULT_MAX_PIXELS

    def __post_init__(self) -> None:
        if self.image_size is None:
            return
        height, width = self.image_size
        longest = _LONGEST_JPEG_SIDE if self.image_encoding == 'jpeg' else LONGEST_SIDE
        if max(height, width) > longest:
            raise errors.UserError(
                f'--image_size={height},{width}: a side of {max(height, width)} pixels; '
                f'--image_encoding={self.image_encoding} stores at most {longest}'
            )
        # By the larger of the two: whoever lowers the limit for sources may still enlarge what is below it.
        most = max(self.max_pixels, formats.DEFAULT_MAX_PIXELS)
        if height * width > most:
            raise errors.UserError(
                f'--image_size={height},{width}: {height * width} pixels in a record, more than {most}; '
                'give a smaller size, or the larger --max_pixels'
            )

    @property
    def mask_reader(self) -> masks.MaskReader:
        """What gives meaning to the values of a mask."""
        return masks.MaskReader(self.label_map, self.mask_format, self.remapping)

    def checker(self, masks: str) -> Checker:
        """What compares the finished records with the files below the root of the masks."""
        return Checker(self.label_map, self.mask_format, self.remapping, self.resize, self.mask_resize, masks)

    def to_json(self) -> dict[str, Any]:
        """All but the label table, as the manifest has it."""
        value = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        del value['label_map']
        return {
            **value,
            'image_size': self.image_size and list(self.image_size),
            'remapping': self.remapping and self.remapping.to_json(),
        }

    @classmethod
    def from_json(cls, label_map: LabelMap, value: Mapping[str, Any]) -> 'RecordOptions':
        """The inverse of `to_json`; other items of `value` are left alone.

        Raises:
            ValueError: if one is missing or is nothing that `to_json` returns.
        """
        kinds = {name: kind for name, kind in typing.get_type_hints(cls).items() if name not in _NOT_SCALAR}
        options = {name: typed_json.read(kind, value.get(name), name) for name, kind in kinds.items()}
        for name, known in _CHOICES.items():
            if options[name] not in known:
                raise ValueError(f'{name} is {options[name]!r}, known are {", ".join(known)}')
        return cls(label_map, _remapping(value.get('remapping')), **options)


_NOT_SCALAR = ('label_map', 'remapping')
_CHOICES: dict[str, Collection[str]] = {
    'resize': resizing.MODES,
    'mask_resize': resizing.MASK_MODES,
    'image_encoding': images.ENCODINGS,
    'schema': schemas.SCHEMAS,
    'file_format': writer.FILE_FORMATS,
    'mask_format': masks.MASK_FORMATS,
}


@dataclasses.dataclass(frozen=True)
class _RemappingText:
    """What `Remapping.to_json` returns."""

    ids: tuple[int, ...]
    names: tuple[str, ...]
    colors: tuple[tuple[int, int, int], ...]
    ignore_id: int
    targets: tuple[int, ...]

    def __post_init__(self) -> None:
        numbers = {len(self.ids), len(self.names), len(self.colors), len(self.targets)}
        if len(numbers) != 1 or not all(0 <= target <= 255 for target in self.targets):
            raise ValueError(f'remapping: {numbers} ids, names, colours and targets, or a target that is not 0..255')


def _remapping(value: Any) -> Remapping | None:
    if value is None:
        return None
    return Remapping.from_json(dataclasses.asdict(typed_json.read(_RemappingText, value, 'remapping')))


@dataclasses.dataclass(frozen=True)
class BuildConfig:
    """The data set configuration: one data set, from its sources to its place.

    Attributes:
        sources: where the pairs are.
        output_dir: where data sets are kept (a TFDS data_dir).
        records: what decides the bytes of the records.
        dataset_name: TFDS name: lower case letters, digits and _.
        version: TFDS version: MAJOR.MINOR.PATCH.
        split_options: what decided the splits, as the manifest has it; see `planning.split_options`.

    Raises:
        UserError: if the name or the version is not of that form.
    """

    sources: SourceFolders
    output_dir: str
    records: RecordOptions
    dataset_name: str = 'clothing_parsing'
    version: str = '1.0.0'
    split_options: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        if problem := tfds_names.dataset_problem(self.dataset_name):
            raise errors.UserError(f'--dataset_name={self.dataset_name}: {problem}')
        if problem := tfds_names.version_problem(self.version):
            raise errors.UserError(f'--dataset_version={self.version}: {problem}')

    @classmethod
    def of_dataset(cls, manifest: Manifest, sources: SourceFolders, output_dir: str) -> 'BuildConfig':
        """The configuration that made a data set, with other folders.

        Raises:
            UserError: if the manifest has a name, a version or options that no command has.
        """
        for what, value, problem in (
            ('dataset_name', manifest.dataset_name, tfds_names.dataset_problem(manifest.dataset_name)),
            ('version', manifest.version, tfds_names.version_problem(manifest.version)),
        ):
            if problem:
                raise errors.UserError(f'the manifest is damaged: {what} is {value!r}, which is none')
        try:
            records = RecordOptions.from_json(manifest.label_map, manifest.options)
        except ValueError as error:
            raise errors.UserError(f'the manifest of {manifest.dataset_name} is damaged: options: {error}') from error
        split_options = {name: value for name, value in manifest.options.items() if name not in records.to_json()}
        return cls(sources, output_dir, records, manifest.dataset_name, manifest.version, split_options)

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) of the records: a data set with a directory has one size."""
        if self.records.image_size is None:
            raise ValueError('a data set of records of several sizes has no directory')
        return self.records.image_size

    @property
    def config_name(self) -> str:
        """The TFDS config, `<height>x<width>`."""
        return tfds_metadata.config_name(self.image_size)

    @property
    def _parent(self) -> str:
        return os.path.join(self.output_dir, self.dataset_name, self.config_name)

    @property
    def dataset_dir(self) -> str:
        """Where the finished data set goes."""
        return os.path.join(self._parent, self.version)

    @property
    def work_dir(self) -> str:
        """Where unfinished work is kept: beside the data set, on the same file system, so that a rename can move it."""
        return os.path.join(self._parent, '.work')

    @property
    def check_dir(self) -> str:
        """The work directory of a dry run, whose markers promise no shard and so must not be taken for a job's."""
        return os.path.join(self._parent, '.dry_run')

    @property
    def report_dir(self) -> str:
        """Where the report of a dry run goes."""
        return os.path.join(self._parent, 'dry_run')

    def options(self) -> dict[str, Any]:
        """Every option that decides bytes, as the manifest has them."""
        return {**self.records.to_json(), **self.split_options}


def parse_size(text: str) -> tuple[int, int]:
    """Parses `--image_size=128,128`, or `128x128`: (height, width) in pixels.

    Raises:
        UserError: if it is neither.
    """
    found = _SIZE.fullmatch(text)
    size = (int(found[1]), int(found[2])) if found else (0, 0)
    if 0 in size:
        raise errors.UserError(f'--image_size={text}: wanted HEIGHT,WIDTH in pixels, as 128,128')
    return size
