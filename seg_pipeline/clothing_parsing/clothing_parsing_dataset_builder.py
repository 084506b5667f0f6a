"""The TFDS builder `clothing_parsing`.

It reads what prepare_dataset wrote, and prepares the same records by itself (`tfds build`), with the functions that
prepare_dataset calls: only the shards are TFDS's own.
"""

import dataclasses
import io
import os
import pathlib
import re
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import tensorflow_datasets as tfds
from tensorflow_datasets.core import load

from seg_pipeline import errors
from seg_pipeline.building import pair as pair_lib
from seg_pipeline.building.config import DEFAULT_IMAGE_SIZE, RecordOptions, SourceFolders
from seg_pipeline.clothing_parsing import prepared, source
from seg_pipeline.dataset import tfds_metadata
from seg_pipeline.imaging import formats, images, rejects
from seg_pipeline.labels import label_map, remapping
from seg_pipeline.planning import pairing, splits
from seg_pipeline.planning.split_options import SplitOptions
from seg_pipeline.plurals import counted
from seg_pipeline.records import schemas

if TYPE_CHECKING:
    import apache_beam as beam

_GROUPED_PREFIX = '9groups_'


@dataclasses.dataclass
class ClothingParsingConfig(tfds.core.BuilderConfig):
    """A size of the images and masks, and a table of classes.

    Attributes:
        image_size: (height, width); None keeps the size of every image.
        remap: file of the groups that take the place of the 59 classes; None keeps those.
    """

    image_size: tuple[int, int] | None = DEFAULT_IMAGE_SIZE
    remap: str | None = None

    @classmethod
    def of(cls, size: tuple[int, int] | None, grouped: bool = False) -> 'ClothingParsingConfig':
        """The config `<height>x<width>` or `original`, or one of these behind `9groups_`."""
        name = tfds_metadata.config_name(size) if size else 'original'
        extent = f'{size[0]} x {size[1]} pixels (height x width)' if size else 'the size that was published'
        return cls(
            name=_GROUPED_PREFIX + name if grouped else name,
            description=f'Images and masks of {extent}, {"9 groups" if grouped else "59 classes"}.',
            image_size=size,
            remap=source.NINE_GROUPS_FILE if grouped else None,
        )

    def classes(self) -> tuple[label_map.LabelMap, remapping.Remapping | None]:
        """The classes of the records, and what leads to them from the 59."""
        published = label_map.read_source(source.LABELS_FILE)
        return remapping.read(self.remap, published) if self.remap else (published.to_label_map(), None)


class Builder(tfds.core.GeneratorBasedBuilder):
    """Clothing Co-Parsing: street photos and the class of each of their pixels."""

    VERSION = tfds.core.Version('1.0.0')
    RELEASE_NOTES: ClassVar[dict[str, str]] = {
        '1.0.0': 'The first 1000 annotated photos, split 800 to 200 by a hash of their number.'
    }
    BUILDER_CONFIGS: ClassVar[list[tfds.core.BuilderConfig]] = [
        ClothingParsingConfig.of(size, grouped)
        for grouped in (False, True)
        for size in (DEFAULT_IMAGE_SIZE, (384, 256), None)
    ]
    MANUAL_DOWNLOAD_INSTRUCTIONS = """
    Nothing needs to be done by hand: without a manual_dir the published data are downloaded. To use data that are at
    hand, give the directory that holds `png_images/IMAGES` and `png_masks/MASKS` (or `jpeg_images/IMAGES`, or the
    published `photos` and `annotations/pixel-level`) as --manual_dir.
    """

    def __init__(
        self,
        *,
        data_dir: str | os.PathLike[str] | None = None,
        config: str | tfds.core.BuilderConfig | None = None,
        version: str | tfds.core.Version | None = None,
        **kwargs: Any,
    ) -> None:
        """Finds what is on the disk: the config if only one is there, and the newest version.

        Raises:
            UserError: if several configs are there and none is named, or a version that is asked for is not there.
        """
        self._with_beam = False
        directories = prepared.data_dirs(data_dir)
        self._found = prepared.find(directories, self.name)
        asked = None if version is None or str(version) == 'experimental_latest' else str(version)
        config_name = config.name if isinstance(config, tfds.core.BuilderConfig) else config
        where = ', '.join(directories)
        self._chosen = prepared.choose(self._found, where, self.name, config_name, asked, str(self.VERSION))
        if self._chosen is not None:
            config, version = config or self._chosen.config, str(self._chosen.version)
        if data_dir is not None:
            data_dir = prepared.expanded(data_dir)
        super().__init__(data_dir=data_dir, config=config, version=version, **kwargs)

    @tfds.core.utils.classproperty  # type: ignore[untyped-decorator]
    @classmethod
    def default_builder_config(cls) -> tfds.core.BuilderConfig:
        """A config without a name.

        TFDS asks the class for its default config in one place: where it looks for the files of a version that is asked
        for without a config. It would take the files of that config where other sizes are there as well. An empty name
        leads to no files, and then the search in `__init__` decides.
        """
        return tfds.core.BuilderConfig(name='')

    def _pick_version(self, requested_version: str | tfds.core.Version | None) -> tfds.core.Version:
        """The version on the disk, which the class need not list; else one of the class."""
        return self._chosen.version if self._chosen else super()._pick_version(requested_version)

    def _create_builder_config(
        self, builder_config: str | tfds.core.BuilderConfig | None, version: str | tfds.core.Version | None
    ) -> tfds.core.BuilderConfig | None:
        """Makes a config of any `<height>x<width>`, with or without `9groups_` before it, and of any on the disk."""
        if not isinstance(builder_config, str) or builder_config in self.builder_configs:
            return super()._create_builder_config(builder_config, version)
        if found := re.fullmatch(rf'({_GROUPED_PREFIX})?([1-9]\d*)x([1-9]\d*)', builder_config):
            return ClothingParsingConfig.of((int(found[2]), int(found[3])), grouped=bool(found[1]))
        if self._chosen:
            return ClothingParsingConfig(name=builder_config, description='Prepared by another program.')
        return super()._create_builder_config(builder_config, version)

    def _info(self) -> tfds.core.DatasetInfo:
        prepared.check_files(self.data_dir, self.name)
        if (self.data_path / tfds_metadata.COMMIT_FILE).exists():
            # What is on disk describes itself: prepare_dataset may have made it of other classes.
            features = tfds.features.FeaturesDict.from_config(self.data_dir)
            return tfds.core.DatasetInfo(builder=self, features=features, supervised_keys=tfds_metadata.SUPERVISED_KEYS)
        size = self.builder_config.image_size or (None, None)
        return self.dataset_info_from_configs(
            features=tfds_metadata.features(size, self.builder_config.classes()[0], RecordOptions.image_encoding),
            supervised_keys=tfds_metadata.SUPERVISED_KEYS,
            homepage=source.REPOSITORY,
            license='Apache License 2.0',
        )

    def download_and_prepare(
        self, *, download_config: tfds.download.DownloadConfig | None = None, **kwargs: Any
    ) -> None:
        """Prepares with Beam if a runner or pipeline options are given, else in this process.

        `tfds.load` calls this by default. It then prepares what is in the default manual_dir, but downloads nothing:
        someone who reads a directory does not ask for an archive of the net in it. A call by the program itself does,
        and so do `tfds build` and `tfds.load` with `download_and_prepare_kwargs`.

        Raises:
            UserError: if `tfds.load` calls it, and there is nothing to read and nothing to prepare.
        """
        by_load = sys._getframe(1).f_code is load._download_and_prepare_builder.__code__
        if by_load and download_config is None and not kwargs and not self.is_prepared():
            self._check_at_hand()
        self._with_beam = bool(download_config and (download_config.beam_runner or download_config.beam_options))
        super().download_and_prepare(download_config=download_config, **kwargs)

    def _check_at_hand(self) -> None:
        if source.find(os.path.join(self._data_dir_root, 'downloads', 'manual')) is None:
            full_name = f'{self.name}/{self.builder_config.name}'
            raise errors.UserError(
                f'{self._data_dir_root}: has no {full_name}; there is {prepared.listed(self._found)}. tfds.load '
                f"downloads nothing by itself: call tfds.builder('{full_name}', data_dir=...).download_and_prepare() "
                'for the published data, or make a data set with beam_jobs.prepare_dataset'
            )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        found = _source(dl_manager)
        _check_labels(found.labels)
        classes, mapping = self.builder_config.classes()
        sources = SourceFolders(found.images, found.masks)
        options = RecordOptions(classes, mapping, self.builder_config.image_size)
        pairs = _find_pairs(found)
        options_of_splits = SplitOptions()
        if len(pairs) < len(names := options_of_splits.names):
            raise errors.UserError(
                f'{found.images}: {counted(len(pairs), "pair")} for the splits {" and ".join(names)}; add pairs'
            )
        split_of = splits.assign((pair.key for pair in pairs), options_of_splits.fractions, options_of_splits.seed)
        return {
            split: self._generate_examples(sources, options, [pair for pair in pairs if split_of[pair.key] == split])
            for split in names
        }

    def _generate_examples(
        self, sources: SourceFolders, options: RecordOptions, pairs: Sequence[pairing.SourcePair]
    ) -> 'Iterator[tuple[str, dict[str, Any]]] | beam.PTransform':
        if not self._with_beam:
            return (_example(pair, sources, options) for pair in pairs)
        import apache_beam as beam

        return beam.Create(list(pairs)) | beam.Map(_example, sources, options)


def _source(dl_manager: tfds.download.DownloadManager) -> source.Source:
    try:
        manual_dir = dl_manager.manual_dir
    except AssertionError:  # how TFDS says that there is none, or nothing in it
        manual_dir = None
    if manual_dir and (found := source.find(manual_dir)):
        return found
    archive = pathlib.Path(dl_manager.download(source.ARCHIVE_URL))
    return source.unpack(archive, archive.with_name(f'{archive.name}.unpacked'))


def _check_labels(path: str) -> None:
    found, expected = label_map.read(path), label_map.read(source.LABELS_FILE)
    if found.names != expected.names:
        raise errors.UserError(
            f'{path}: {counted(len(found.names), "class", "classes")}, not the {len(expected.names)} of Clothing '
            'Co-Parsing; prepare data with other classes with beam_jobs.prepare_dataset'
        )


def _find_pairs(found: source.Source) -> list[pairing.SourcePair]:
    result = pairing.match_pairs(
        pairing.list_files(found.images), pairing.list_files(found.masks, formats.MASK_SUFFIXES)
    )
    if result.rejects or not result.pairs:
        first = result.rejects[0].message if result.rejects else f'{found.images} and {found.masks}: no pairs'
        raise errors.UserError(f'{counted(len(result.rejects), "file")} without a partner, the first: {first}')
    if result.doubt:
        raise errors.UserError(f'{found.images} and {found.masks}: {result.doubt}; rename them if they are')
    return list(result.pairs)


def _example(pair: pairing.SourcePair, sources: SourceFolders, options: RecordOptions) -> tuple[str, dict[str, Any]]:
    """The key and features of one pair; images as the bytes that prepare_dataset writes."""
    try:
        read = pair_lib.read(sources, options, pair)
    except rejects.RejectError as error:
        raise errors.UserError(f'{error.reason}: {error}') from error
    return pair.key, {
        schemas.IMAGE: io.BytesIO(images.encode_image(read.image, options.image_encoding)),
        schemas.MASK: io.BytesIO(images.encode_png(read.mask)),
        schemas.FILE_NAME: pair.image,
        schemas.ORIGINAL_HEIGHT: read.original_size[0],
        schemas.ORIGINAL_WIDTH: read.original_size[1],
    }
