"""One split of a data set: where its shards are and what the manifest says of them."""

import dataclasses
import os
from typing import Protocol

from seg_pipeline import errors, storage
from seg_pipeline.dataset import manifest as manifest_lib
from seg_pipeline.dataset import typed_json
from seg_pipeline.dataset.statistics import SplitSummary
from seg_pipeline.labels.label_map import LabelMap


class Split(Protocol):
    """What training and evaluation ask of a split, whatever says it: a manifest, or TFDS's own files alone.

    `DatasetSplit` and `tfds_directory.TfdsSplit` are such, and have the documentation.
    """

    @property
    def dataset_dir(self) -> str: ...

    @property
    def name(self) -> str: ...

    @property
    def shard_paths(self) -> list[str]: ...

    @property
    def num_records(self) -> int: ...

    @property
    def image_size(self) -> tuple[int, int]: ...

    @property
    def label_map(self) -> LabelMap: ...

    def read_summary(self) -> SplitSummary: ...

    def check_shards(self) -> None: ...


@dataclasses.dataclass(frozen=True)
class DatasetSplit:
    """A split as readers of its records take it: one value instead of a directory, a manifest and a name.

    Example:
        split = DatasetSplit.read('data/clothing_parsing/128x128/1.0.0', 'train')
        for path in split.shard_paths:
            for record in records.read(path): ...

    Attributes:
        dataset_dir: directory of the data set.
        manifest: what the data set says of itself.
        name: of the split, such as 'train'.

    Raises:
        UserError: on construction, if the data set has no split of this name.
    """

    dataset_dir: str
    manifest: manifest_lib.Manifest
    name: str

    def __post_init__(self) -> None:
        self.manifest.split_shards(self.name)  # Raises; so that no property below can.

    @classmethod
    def read(cls, dataset_dir: str, name: str) -> 'DatasetSplit':
        """Reads the manifest of a data set.

        Raises:
            UserError: if it is no data set, its manifest was altered, or it has no split of this name.
        """
        return cls(dataset_dir, manifest_lib.read(dataset_dir), name)

    @property
    def shards(self) -> tuple[manifest_lib.Shard, ...]:
        """The shards, in the order of their names."""
        return self.manifest.split_shards(self.name)

    @property
    def shard_paths(self) -> list[str]:
        """The path of each shard, in the same order."""
        return self.manifest.shard_paths(self.dataset_dir, self.name)

    @property
    def num_records(self) -> int:
        """How many records the split has; 0 is possible."""
        return self.manifest.num_records(self.name)

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) of every image and mask, in pixels."""
        return self.manifest.image_size

    @property
    def label_map(self) -> LabelMap:
        """The classes of the masks, and the id of pixels without a class."""
        return self.manifest.label_map

    def read_summary(self) -> SplitSummary:
        """Reads what `statistics.json` says of the split.

        Raises:
            UserError: the file is not there, or differs from the manifest.
        """
        name = manifest_lib.STATISTICS_FILE
        path = os.path.join(self.dataset_dir, name)
        if name not in self.manifest.files:
            raise errors.UserError(f'{path}: the data set has no statistics; prepare it again')
        if problem := manifest_lib.file_problem(self.dataset_dir, name, self.manifest.files[name]):
            raise errors.UserError(f'{problem}; prepare the data set again')
        try:
            found = typed_json.read(dict[str, SplitSummary], typed_json.parse(storage.read_bytes(path)), 'statistics')
            return found[self.name]
        except (ValueError, KeyError) as error:
            raise errors.UserError(f'{path}: damaged: {error}; prepare the data set again') from error

    def check_shards(self) -> None:
        """Compares the shards with the manifest, size and SHA-256.

        Raises:
            UserError: naming the first shard that differs, with both values.
        """
        manifest_lib.check_shards(self.dataset_dir, self.manifest, [self.name])
