"""A data set directory that TFDS wrote, by any builder: without a manifest, and described by TFDS's own files alone."""

import dataclasses
import glob
import hashlib
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from seg_pipeline import errors, records
from seg_pipeline.dataset import manifest, place, tfds_metadata
from seg_pipeline.dataset.statistics import SplitSummary
from seg_pipeline.labels.label_map import LabelMap
from seg_pipeline.records import example_proto, pair_features, tfds_formats
from seg_pipeline.records.pair_features import PairFeatures
from seg_pipeline.records.schemas import FILE_NAME
from seg_pipeline.storage import checksums

if TYPE_CHECKING:
    import tensorflow_datasets as tfds


@dataclasses.dataclass(frozen=True)
class TfdsShard:
    """One file of records.

    Attributes:
        path: of the file.
        num_records: how many it holds, as dataset_info.json says.
        num_bytes: its size.
    """

    path: str
    num_records: int
    num_bytes: int


@dataclasses.dataclass(frozen=True)
class TfdsDirectory:
    """What TFDS's files say of a data set.

    Attributes:
        path: the directory of its version.
        name: its TFDS name.
        file_format: of its shards, one of `records.FORMATS_OF_TFDS`.
        splits: the shards of each split, in order.
        features: of its records.
        fingerprint: hex digest of dataset_info.json, features.json, the files of class names, and the name, size and
            number of records of every shard. The contents of the shards are not part of it.
    """

    path: str
    name: str
    file_format: str
    splits: Mapping[str, tuple[TfdsShard, ...]]
    features: 'tfds.features.FeaturesDict'
    fingerprint: str

    @classmethod
    def read(cls, path: str) -> 'TfdsDirectory':
        """Reads TFDS's files, without TensorFlow.

        Raises:
            UserError: it is no such directory, TFDS cannot read its files, a shard is missing, or the shards are of a
                format that is not read here.
        """
        import tensorflow_datasets as tfds

        try:
            info = tfds.builder_from_directory(path).info
            file_format = info.file_format.value
            shards = {
                name: list(zip(map(os.fspath, split.filepaths), split.shard_lengths, strict=True))
                for name, split in info.splits.items()
            }
        # Whoever wrote the files may have written anything, and TFDS raises what it happens to meet.
        except Exception as error:
            raise errors.UserError(
                f'{path}: TFDS cannot read its {tfds_metadata.COMMIT_FILE} and {tfds_metadata.FEATURES_FILE}: '
                f'{type(error).__name__}: {str(error)[:200]}'
            ) from error
        if not isinstance(info.features, tfds.features.FeaturesDict):
            raise errors.UserError(f'{path}: its records are {type(info.features).__name__}, wanted a FeaturesDict')
        if file_format not in records.FORMATS_OF_TFDS:
            known = ', '.join(records.FORMATS_OF_TFDS)
            raise errors.UserError(f'{path}: its shards are {file_format} files; the trainer reads {known}')
        tfds_formats.check_installed(file_format)
        splits = {name: tuple(_shard(*shard) for shard in found) for name, found in shards.items()}
        return cls(path, info.name, file_format, splits, info.features, _fingerprint(path, splits))

    def split_shards(self, split: str) -> tuple[TfdsShard, ...]:
        """The shards of a split, in order. Raises `UserError` if there is no such split."""
        if split not in self.splits:
            raise errors.UserError(f'no split {split!r} in {self.path}; its splits are {", ".join(self.splits)}')
        return self.splits[split]

    def file_names(self, split: str) -> set[str]:
        """The names of the photos that the records of a split were made of.

        Raises:
            UserError: there is no such split, a record is damaged, or the records have no text feature `file_name`.
        """
        import tensorflow_datasets as tfds

        if not isinstance(dict(self.features.items()).get(FILE_NAME), tfds.features.Text):
            raise errors.UserError(
                f'{self.path}: its records do not name their photos, in a text feature {FILE_NAME}: predict without '
                '--data_dir'
            )
        try:
            return {
                example_proto.parse(payload.data)[FILE_NAME][0].decode()
                for shard in self.split_shards(split)
                for payload in records.payloads(shard.path, self.file_format)
            }
        except (OSError, ValueError, KeyError, IndexError) as error:
            raise errors.UserError(f'{self.path}: {error}; build the data set again') from error


@dataclasses.dataclass(frozen=True)
class TfdsSplit:
    """A split of such a data set as readers of its pairs take it; a `dataset_split.Split`.

    Attributes:
        directory: the data set.
        name: of the split.
        pair: which features are image and mask.
        image_size: (height, width) that images and masks are resized to when they are read.
        label_map: the classes after `label_offset`, and the id of pixels without a class.
        label_offset: class = stored value + offset. A pixel is ignored whose stored value is `label_map.ignore_id`, or
            whose class would be negative.

    Raises:
        UserError: on construction, if the data set has no split of this name.
    """

    directory: TfdsDirectory
    name: str
    pair: PairFeatures
    image_size: tuple[int, int]
    label_map: LabelMap
    label_offset: int = 0

    def __post_init__(self) -> None:
        self.directory.split_shards(self.name)  # Raises; so that no property below can.

    @property
    def dataset_dir(self) -> str:
        """Directory of the data set."""
        return self.directory.path

    @property
    def shards(self) -> tuple[TfdsShard, ...]:
        """The shards, in the order of their names."""
        return self.directory.split_shards(self.name)

    @property
    def shard_paths(self) -> list[str]:
        """The path of each shard, in the same order."""
        return [shard.path for shard in self.shards]

    @property
    def num_records(self) -> int:
        """How many records the split has; 0 is possible."""
        return sum(shard.num_records for shard in self.shards)

    @property
    def pair_only(self) -> dict[str, Any]:
        """The two features of the pair, nested as in the records."""
        return pair_features.only(self.directory.features, (self.pair.image, self.pair.mask))

    def read_summary(self) -> SplitSummary:
        """Raises `UserError`: such a data set has no statistics."""
        raise errors.UserError(
            f'{self.dataset_dir}: a TFDS data set without {manifest.STATISTICS_FILE}, so that the frequencies of its '
            'classes are not known; use --class_weights=none, or make a data set with beam_jobs.prepare_dataset'
        )

    def check_shards(self) -> None:
        """Counts the records of the shards by their frames; the contents are checked when they are read.

        Raises:
            UserError: naming the first shard that has another number of records than dataset_info.json says, or whose
                frames are damaged.
        """
        for shard in self.shards:
            try:
                found = records.count(shard.path, self.directory.file_format)
            except (OSError, records.DamagedRecordError) as error:
                raise errors.UserError(f'{error}; build the data set again') from error
            if found != shard.num_records:
                raise errors.UserError(
                    f'{shard.path}: {found} records, {tfds_metadata.COMMIT_FILE} says {shard.num_records}; build the '
                    'data set again'
                )


def is_one(path: str) -> bool:
    """Whether TFDS wrote a directory, and prepare_dataset did not: one of that which lost its manifest is damaged."""
    of_prepare = (place.MANIFEST_FILE, place.RECORDS_FILE)
    return os.path.isfile(os.path.join(path, tfds_metadata.COMMIT_FILE)) and not any(
        os.path.lexists(os.path.join(path, name)) for name in of_prepare
    )


def versions_below(path: str) -> list[str]:
    """The data sets below a directory that is none: of a builder's directory, its configs and versions."""
    levels = ('*' * depth for depth in (1, 2, 3))  # version; config/version; name/config/version
    found = (glob.glob(os.path.join(glob.escape(path), *stars, tfds_metadata.COMMIT_FILE)) for stars in levels)
    return sorted(os.path.dirname(file) for files in found for file in files)


def _shard(path: str, num_records: int) -> TfdsShard:
    try:
        return TfdsShard(path, num_records, os.stat(path).st_size)
    except OSError as error:
        raise errors.UserError(f'{path}: {error.strerror}; build the data set again') from error


def _fingerprint(path: str, splits: Mapping[str, tuple[TfdsShard, ...]]) -> str:
    described = [tfds_metadata.COMMIT_FILE, tfds_metadata.FEATURES_FILE]
    described += sorted(os.path.basename(name) for name in glob.glob(os.path.join(glob.escape(path), '*.labels.txt')))
    value = {
        'files': {name: checksums.digest(os.path.join(path, name)).sha256 for name in described},
        'shards': {
            name: [[os.path.basename(shard.path), shard.num_records, shard.num_bytes] for shard in shards]
            for name, shards in splits.items()
        },
    }
    return hashlib.sha256(manifest.canonical_json(value)).hexdigest()
