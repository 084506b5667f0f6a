"""What makes a directory of shards a TFDS data set: features.json, the class names and dataset_info.json.

TFDS reads them with `tfds.builder_from_directory`, without any of this project's code. Nothing here imports TensorFlow.
"""

import dataclasses
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from seg_pipeline import errors
from seg_pipeline.dataset import typed_json
from seg_pipeline.labels import label_map as label_map_lib
from seg_pipeline.labels.label_map import LabelMap
from seg_pipeline.records.schemas import FILE_NAME, IMAGE, MASK, ORIGINAL_HEIGHT, ORIGINAL_WIDTH
from seg_pipeline.records.writer import TFRECORD

if TYPE_CHECKING:
    import tensorflow_datasets as tfds

SUPERVISED_KEYS = (IMAGE, MASK)
# Written last: a directory without it is no data set to TFDS.
COMMIT_FILE = 'dataset_info.json'
FEATURES_FILE = 'features.json'
CLASS_NAMES_FILE = f'{MASK}.labels.txt'
FILES = (FEATURES_FILE, CLASS_NAMES_FILE, COMMIT_FILE)
_LICENSE_FILE = 'LICENSE'


# A split: its name, the number of records of each shard in their order, and the bytes of all records together without
# the 16 bytes of framing of each.
SplitShards = tuple[str, Sequence[int], int]


@dataclasses.dataclass(frozen=True)
class Card:
    """What is said of a data set; nothing of it changes how it is read.

    Attributes:
        description: what it is.
        homepage: address of the source.
        citation: BibTeX entry.
        license: its terms; TFDS writes them to a file LICENSE too.
    """

    description: str
    homepage: str = ''
    citation: str = ''
    license: str = ''


def features(
    image_size: tuple[int | None, int | None], label_map: LabelMap, image_encoding: str
) -> 'tfds.features.FeaturesDict':
    """The TFDS features of one record.

    Args:
        image_size: (height, width) of image and mask; None where it differs from record to record.
        label_map: the classes; names become those of the mask's pixels.
        image_encoding: `png` or `jpeg`.

    Returns:
        image (height, width, 3) uint8; segmentation_mask (height, width, 1) uint8 with class names; file_name text;
        original_height and original_width int64 scalars.

    Raises:
        UserError: if a class name is empty, has more than one line or belongs to two classes: TFDS cannot store those.
    """
    import numpy as np
    import tensorflow_datasets as tfds

    try:
        label_map_lib.check_names(label_map.names)
    except ValueError as error:
        raise errors.UserError(f'label table: {error}') from error
    height, width = image_size
    return tfds.features.FeaturesDict(
        {
            IMAGE: tfds.features.Image(
                shape=(height, width, 3),
                dtype=np.uint8,
                encoding_format=image_encoding,
                doc='The photo, RGB.',
            ),
            MASK: tfds.features.LabeledImage(
                labels=list(label_map.names),
                shape=(height, width, 1),
                dtype=np.uint8,
                encoding_format='png',
                doc=f'The class of each pixel; {label_map.ignore_id} is ignored.',
            ),
            FILE_NAME: tfds.features.Text(doc="The photo's path in the folder that it was read from."),
            ORIGINAL_HEIGHT: tfds.features.Scalar(np.int64, doc='Height of the photo as read, in pixels.'),
            ORIGINAL_WIDTH: tfds.features.Scalar(np.int64, doc='Width of the photo as read, in pixels.'),
        }
    )


def write(
    dataset_dir: str | os.PathLike[str],
    *,
    name: str,
    version: str,
    image_size: tuple[int, int],
    label_map: LabelMap,
    image_encoding: str,
    shards: Iterable[SplitShards],
    file_format: str = TFRECORD,
    card: Card | None = None,
) -> tuple[str, ...]:
    """Writes the metadata files into a directory; equal arguments give equal bytes.

    Only the names of the shards follow from the arguments (`NAME-SPLIT.tfrecord-00000-of-00008`): the shards
    themselves need not be there yet. The TFDS config is `<height>x<width>`.

    Args:
        dataset_dir: an existing directory.
        name: TFDS name, in snake case.
        version: TFDS version, `1.0.0`.
        image_size: see `features`.
        label_map: see `features`.
        image_encoding: see `features`.
        shards: the splits in the order in which TFDS lists them, each (name, records of each shard, payload bytes).
        file_format: that of the shards, `tfrecord` or `array_record`.
        card: what TFDS tells about it; otherwise the plain facts.

    Returns:
        The names of the files written, dataset_info.json last.

    Raises:
        UserError: if the class names cannot be stored.
        OSError: if a file cannot be written.
    """
    import tensorflow_datasets as tfds

    card = card or _plain_card(image_size, label_map)
    identity = tfds.core.DatasetIdentity(
        name=name,
        version=tfds.core.Version(version),
        data_dir=os.fspath(dataset_dir),
        module_name='',
        config_name=config_name(image_size),
    )
    info = tfds.core.DatasetInfo(
        builder=identity,
        description=card.description,
        features=features(image_size, label_map, image_encoding),
        supervised_keys=SUPERVISED_KEYS,
        homepage=card.homepage or None,
        citation=card.citation or None,
        license=card.license or None,
        split_dict=tfds.core.splits.SplitDict([_split_info(dataset_dir, name, split, file_format) for split in shards]),
    )
    info.set_file_format(file_format)
    info.write_to_directory(dataset_dir)
    return (_LICENSE_FILE, *FILES) if card.license else FILES


def config_name(image_size: tuple[int, int]) -> str:
    """The TFDS config of a size, `<height>x<width>`."""
    return f'{image_size[0]}x{image_size[1]}'


def contradiction(
    info: Mapping[str, Any], *, name: str, version: str, config: str, shards: Mapping[str, Sequence[tuple[str, int]]]
) -> str | None:
    """Compares dataset_info.json with what the manifest says, so that TFDS opens no other file than a shard.

    Args:
        info: the parsed file.
        name, version, config: of the data set.
        shards: for each split, file name and number of records of each shard, in order.

    Returns:
        What differs, with both values; None if nothing does.
    """
    for key, wanted in (('name', name), ('version', version), ('configName', config)):
        if info.get(key) != wanted:
            return f'{key} is {info.get(key)!r}, the manifest says {wanted!r}'
    found: dict[str, list[tuple[str, str]]] = {}
    for split in typed_json.read(tuple[dict[str, Any], ...], info.get('splits'), 'splits'):
        label = typed_json.read(str, split.get('name'), 'splits.name')
        lengths = typed_json.read(list[str], split.get('shardLengths'), f'splits.{label}.shardLengths')
        template = typed_json.read(str, split.get('filepathTemplate'), f'splits.{label}.filepathTemplate')
        found[label] = [
            (_shard_name(template, name, label, info.get('fileFormat'), f'{i:05d}-of-{len(lengths):05d}'), length)
            for i, length in enumerate(lengths)
        ]
    for label in sorted(found.keys() | shards.keys()):
        there = [(shard, str(number)) for shard, number in shards.get(label, ())]
        if found.get(label) != there:
            return f'split {label!r} is {found.get(label)}, the manifest says {there}'
    return None


def features_contradiction(value: Mapping[str, Any], image_size: tuple[int, int], num_classes: int) -> str | None:
    """Compares the numbers of features.json with what the manifest says; TensorFlow takes memory by some of them.

    Args:
        value: the parsed file.
        image_size: (height, width) of the records.
        num_classes: of the masks.

    Returns:
        What differs, with both values; None if nothing does.
    """
    found = typed_json.read(
        dict[str, dict[str, Any]], _member(value, 'featuresDict', 'features'), 'featuresDict.features'
    )
    for name, channels in ((IMAGE, 3), (MASK, 1)):
        there = [str(number) for number in (*image_size, channels)]
        if (here := _member(found, name, 'image', 'shape', 'dimensions')) != there:
            return f'{name} has the shape {here}, the manifest says {there}'
    if (here := _member(found, MASK, 'image', 'label', 'numClasses')) != str(num_classes):
        return f'{MASK} has {here} classes, the manifest {num_classes}'
    return None


def _member(value: Any, *names: str) -> Any:
    """A member of a member of parsed JSON; None where there is none."""
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _shard_name(template: str, name: str, split: str, file_format: Any, shard_x_of_y: str) -> str:
    values = {'DATASET': name, 'SPLIT': split, 'FILEFORMAT': file_format, 'SHARD_X_OF_Y': shard_x_of_y}
    for key, value in values.items():
        template = template.replace(f'{{{key}}}', str(value))
    return template


def _plain_card(image_size: tuple[int, int], label_map: LabelMap) -> Card:
    return Card(
        f'Photos and masks of {label_map.num_classes} classes for semantic segmentation, resized to '
        f'{image_size[0]} x {image_size[1]} pixels (height x width). Masks hold class ids; {label_map.ignore_id} is '
        'ignored.'
    )


def _split_info(
    dataset_dir: str | os.PathLike[str], name: str, split: SplitShards, file_format: str
) -> 'tfds.core.SplitInfo':
    import tensorflow_datasets as tfds

    split_name, shard_lengths, payload_bytes = split
    template = tfds.core.ShardedFileTemplate(
        dataset_name=name, data_dir=os.fspath(dataset_dir), split=split_name, filetype_suffix=file_format
    )
    return tfds.core.SplitInfo(
        name=split_name, shard_lengths=list(shard_lengths), num_bytes=payload_bytes, filename_template=template
    )
