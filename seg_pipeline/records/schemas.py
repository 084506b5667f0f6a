"""The names under which a record's parts are stored: those of TFDS, or those that TensorFlow Model Garden looks for.

Model Garden's segmentation decoder parses `image/encoded`, `image/height`, `image/width` and
`image/segmentation/class/encoded`; its writers add `image/filename`, `image/source_id` and the formats. The size of
the source, which it has no name for and ignores, is stored beside them, so that predictions can be mapped back.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

TFDS, MODEL_GARDEN = 'tfds', 'model_garden'
SCHEMAS = (TFDS, MODEL_GARDEN)

_ORIGINAL_HEIGHT, _ORIGINAL_WIDTH = 'original_height', 'original_width'


@dataclasses.dataclass(frozen=True)
class Fields:
    """The parts of a record, encoded.

    Attributes:
        key: the pair's key.
        file_name: the image's path in the source folder.
        image: the bytes of a PNG or JPEG file.
        image_encoding: `png` or `jpeg`.
        mask: the bytes of a PNG file.
        size: (height, width) of image and mask.
        original_size: (height, width) of the source.
    """

    key: str
    file_name: str
    image: bytes
    image_encoding: str
    mask: bytes
    size: tuple[int, int]
    original_size: tuple[int, int]


def to_features(schema: str, fields: Fields) -> dict[str, bytes | int]:
    """The features of a tf.train.Example, by name.

    Args:
        schema: one of `SCHEMAS`.
        fields: what to store.
    """
    original = {_ORIGINAL_HEIGHT: fields.original_size[0], _ORIGINAL_WIDTH: fields.original_size[1]}
    if schema == MODEL_GARDEN:
        return {
            'image/encoded': fields.image,
            'image/filename': fields.file_name.encode(),
            'image/format': fields.image_encoding.encode(),
            'image/height': fields.size[0],
            'image/segmentation/class/encoded': fields.mask,
            'image/segmentation/class/format': b'png',
            'image/source_id': fields.key.encode(),
            'image/width': fields.size[1],
            **original,
        }
    return {'image': fields.image, 'segmentation_mask': fields.mask, 'file_name': fields.file_name.encode(), **original}


@dataclasses.dataclass(frozen=True)
class StoredRecord:
    """What a record holds under either schema; attributes as in `Fields`."""

    file_name: str
    image: bytes
    mask: bytes
    original_size: tuple[int, int]


def from_features(features: Mapping[str, list[Any]]) -> StoredRecord:
    """The inverse of `to_features`; the names tell which schema it is.

    Raises:
        KeyError, IndexError, ValueError: if a feature is missing, empty or contradicts another.
    """
    if 'image/encoded' in features:
        image, mask, name = 'image/encoded', 'image/segmentation/class/encoded', 'image/filename'
    else:
        image, mask, name = 'image', 'segmentation_mask', 'file_name'
    return StoredRecord(
        file_name=features[name][0].decode(),
        image=features[image][0],
        mask=features[mask][0],
        original_size=(features[_ORIGINAL_HEIGHT][0], features[_ORIGINAL_WIDTH][0]),
    )
