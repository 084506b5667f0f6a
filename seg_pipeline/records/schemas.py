"""The names under which a record's parts are stored: those of TFDS, or those that TensorFlow Model Garden looks for.

Every feature name of the project is declared here. Model Garden's segmentation decoder parses `image/encoded`,
`image/height`, `image/width` and `image/segmentation/class/encoded`; its writers add `image/filename`,
`image/source_id` and the formats. The size of the source, which it has no name for and ignores, is stored beside them,
so that predictions can be mapped back.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

_T = TypeVar('_T')

TFDS, MODEL_GARDEN = 'tfds', 'model_garden'
SCHEMAS = (TFDS, MODEL_GARDEN)

# Of TFDS: the features of `dataset.tfds_metadata`.
IMAGE, MASK, FILE_NAME = 'image', 'segmentation_mask', 'file_name'
ORIGINAL_HEIGHT, ORIGINAL_WIDTH = 'original_height', 'original_width'

# Of Model Garden: official/vision/dataloaders/segmentation_input.py and official/vision/data/tfrecord_lib.py.
_GARDEN_IMAGE, _GARDEN_MASK, _GARDEN_FILE_NAME = 'image/encoded', 'image/segmentation/class/encoded', 'image/filename'


@dataclasses.dataclass(frozen=True)
class StoredRecord:
    """What a record holds under either schema.

    Attributes:
        file_name: the image's path in the source folder.
        image: the bytes of a PNG or JPEG file.
        mask: the bytes of a PNG file.
        original_size: (height, width) of the source in pixels.
    """

    file_name: str
    image: bytes
    mask: bytes
    original_size: tuple[int, int]


def to_features(
    schema: str, stored: StoredRecord, *, key: str, size: tuple[int, int], image_encoding: str
) -> dict[str, bytes | int]:
    """The features of a tf.train.Example, by name.

    Args:
        schema: one of `SCHEMAS`.
        stored: what to store.
        key: the pair's key.
        size: (height, width) of image and mask in pixels.
        image_encoding: `png` or `jpeg`.
    """
    original = {ORIGINAL_HEIGHT: stored.original_size[0], ORIGINAL_WIDTH: stored.original_size[1]}
    if schema == MODEL_GARDEN:
        return {
            _GARDEN_IMAGE: stored.image,
            _GARDEN_FILE_NAME: stored.file_name.encode(),
            'image/format': image_encoding.encode(),
            'image/height': size[0],
            _GARDEN_MASK: stored.mask,
            'image/segmentation/class/format': b'png',
            'image/source_id': key.encode(),
            'image/width': size[1],
            **original,
        }
    return {IMAGE: stored.image, MASK: stored.mask, FILE_NAME: stored.file_name.encode(), **original}


def from_features(features: Mapping[str, list[Any]]) -> StoredRecord:
    """The inverse of `to_features`; the names tell which schema it is.

    Raises:
        KeyError, IndexError, ValueError: if a feature is missing, empty, of another type or contradicts another.
    """
    if _GARDEN_IMAGE in features:
        image, mask, name = _GARDEN_IMAGE, _GARDEN_MASK, _GARDEN_FILE_NAME
    else:
        image, mask, name = IMAGE, MASK, FILE_NAME
    return StoredRecord(
        file_name=_first(features, name, bytes).decode(),
        image=_first(features, image, bytes),
        mask=_first(features, mask, bytes),
        original_size=(_first(features, ORIGINAL_HEIGHT, int), _first(features, ORIGINAL_WIDTH, int)),
    )


def _first(features: Mapping[str, list[Any]], name: str, wanted: type[_T]) -> _T:
    value = features[name][0]
    if not isinstance(value, wanted):
        raise ValueError(f'feature {name} holds {type(value).__name__}, wanted {wanted.__name__}')
    return value
