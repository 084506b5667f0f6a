"""The data set that a run learns from, as far as the run depends on it."""

import dataclasses
from typing import Any

from seg_pipeline import errors, storage
from seg_pipeline.dataset import manifest as manifest_lib
from seg_pipeline.imaging import masks, resizing
from seg_pipeline.labels import label_map as label_map_lib
from seg_pipeline.labels.remapping import Remapping
from seg_pipeline.records import schemas

TRAIN_SPLIT = 'train'
VALIDATION_SPLIT = 'validation'


def read_manifest(data_dir: str) -> manifest_lib.Manifest:
    """Reads the manifest of a local data set. Raises `UserError` if it is on an object store, or no data set."""
    if not storage.has_directories(data_dir):
        raise errors.UserError(f'--data_dir={data_dir}: the trainer reads data sets of this disk; copy it here first')
    return manifest_lib.read(data_dir)


@dataclasses.dataclass(frozen=True)
class Data:
    """The data set a run learns from, as far as the run depends on it.

    Attributes:
        dataset_name: its TFDS name.
        fingerprint: of its inputs and options.
        image_size: (height, width) of its images.
        label_map: its classes.
        resize: how the source images were brought to that size, one of `resizing.MODES`.
        mask_format: of the masks that it was made of, one of `masks.MASK_FORMATS`.
        remapping: how their classes became those of the data set, see `Remapping.to_json`; None if they are.
        image_feature: name of the image's feature in a data set without a manifest; None where there is one.
        mask_feature: name of the mask's feature, likewise.
        label_offset: class = value in the mask + offset, see `tfds_directory.TfdsSplit`.
        validation_split: the split that the run is validated on.
    """

    dataset_name: str
    fingerprint: str
    image_size: tuple[int, int]
    label_map: label_map_lib.LabelMap
    resize: str = resizing.DEFAULT_MODE
    mask_format: str = masks.MaskReader.mask_format
    remapping: dict[str, Any] | None = None
    image_feature: str | None = None
    mask_feature: str | None = None
    label_offset: int = 0
    validation_split: str = VALIDATION_SPLIT

    @classmethod
    def from_manifest(cls, manifest: manifest_lib.Manifest) -> 'Data':
        """What the manifest says. Raises `UserError` if the records are not of the kind that the trainer reads."""
        if (found := manifest.options.get('schema', schemas.TFDS)) != schemas.TFDS:
            raise errors.UserError(
                f'data set {manifest.dataset_name} {manifest.config_name} was made with --schema={found}, for other '
                f'readers; the trainer reads --schema={schemas.TFDS}: prepare the data set again with that'
            )
        height, width = manifest.image_size
        names = ('resize', 'mask_format', 'remapping')
        options = {name: manifest.options[name] for name in names if name in manifest.options}
        return cls(manifest.dataset_name, manifest.fingerprint, (height, width), manifest.label_map, **options)

    @property
    def mask_reader(self) -> masks.MaskReader:
        """Reads masks like those that the data set was made of."""
        found = Remapping.from_json(self.remapping) if self.remapping else None
        return masks.MaskReader(self.label_map, self.mask_format, found)
