"""Which features of a TFDS data set are the image and the mask of a pair, found by type or by name; and its classes."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from seg_pipeline import errors
from seg_pipeline.labels import label_map as label_map_lib
from seg_pipeline.labels.label_map import DEFAULT_IGNORE_ID, LabelMap
from seg_pipeline.plurals import counted

if TYPE_CHECKING:
    import tensorflow_datasets as tfds

_MAX_CLASSES = DEFAULT_IGNORE_ID


@dataclasses.dataclass(frozen=True)
class PairFeatures:
    """The two features of a pair.

    Attributes:
        image: name of the image's feature; one inside of another has `/` between the names.
        mask: name of the mask's feature.
        image_size: (height, width) of image and mask; None where the features leave it open, or differ in it.
        names: of the values of the mask from 0 on; none where the feature has no names.
    """

    image: str
    mask: str
    image_size: tuple[int, int] | None
    names: tuple[str, ...]


def choose(
    where: str, features: 'tfds.features.FeaturesDict', image_feature: str | None, mask_feature: str | None
) -> PairFeatures:
    """Finds the image and the mask.

    An image is an `Image` of 3 channels, uint8. A mask is a `LabeledImage`, an `Image` of 1 channel of whole numbers
    that is not stored as JPEG, or a `Tensor` of whole numbers of rank 2, or of rank 3 whose last side is 1.

    Args:
        where: the data set, for messages.
        features: of the data set.
        image_feature: name of the image's feature; None for the only one of its type.
        mask_feature: name of the mask's feature; None for the only one of its type.

    Raises:
        UserError: there is no such feature, it is of another type, or there are several and none is named; the message
            lists the features.
    """
    flat = dict(sorted(flattened(features)))  # sorted, since TFDS reads them in another order each time
    image = _pick(where, flat, 'image', image_feature, _is_image)
    mask = _pick(where, flat, 'mask', mask_feature, _is_mask)
    sizes = {tuple(flat[name].shape[:2]) for name in (image, mask)}
    size = next(iter(sizes)) if len(sizes) == 1 else (None, None)
    height, width = size
    return PairFeatures(image, mask, (height, width) if height and width else None, _names(flat[mask]))


def flattened(features: Mapping[str, Any], prefix: str = '') -> Iterator[tuple[str, Any]]:
    """Yields the name and the feature of each feature that is no dictionary of others; not of those in sequences."""
    import tensorflow_datasets as tfds

    for name, feature in features.items():
        if type(feature) is tfds.features.FeaturesDict:
            yield from flattened(feature, f'{prefix}{name}/')
        else:
            yield prefix + name, feature


def only(features: Mapping[str, Any], names: tuple[str, ...], prefix: str = '') -> dict[str, Any]:
    """The features of these names alone, nested as they were."""
    import tensorflow_datasets as tfds

    found: dict[str, Any] = {}
    for name, feature in features.items():
        if type(feature) is tfds.features.FeaturesDict:
            if inner := only(feature, names, f'{prefix}{name}/'):
                found[name] = inner
        elif prefix + name in names:
            found[name] = feature
    return found


def label_map(where: str, pair: PairFeatures, num_classes: int | None, label_offset: int) -> LabelMap:
    """The classes of the masks.

    Args:
        where: the data set, for messages.
        pair: its features.
        num_classes: how many classes there are; None where the names of the mask's feature tell.
        label_offset: class = value + offset. The names of values that become negative are those of no class.

    Raises:
        UserError: the number of classes is not known, contradicts the names, or is more than masks of 8 bits hold.
    """
    names = pair.names[max(0, -label_offset) :]
    names = tuple(f'class_{i}' for i in range(label_offset)) + names if names else ()
    if not names and num_classes is None:
        raise errors.UserError(
            f'{where}: feature {pair.mask} does not name its classes: give their number as --num_classes'
        )
    if not names:
        names = tuple(f'class_{i}' for i in range(num_classes or 0))
    if num_classes not in (None, len(names)):
        raise errors.UserError(
            f'--num_classes={num_classes}: feature {pair.mask} of {where} has '
            f'{counted(len(names), "class", "classes")} with --label_offset={label_offset}'
        )
    if len(names) > _MAX_CLASSES:
        raise errors.UserError(f'{where}: feature {pair.mask} has {len(names)} classes; at most {_MAX_CLASSES} go')
    if label_offset >= len(names):
        raise errors.UserError(
            f'--label_offset={label_offset}: with {counted(len(names), "class", "classes")} no value from 0 on is one'
        )
    try:
        label_map_lib.check_names(names)
    except ValueError as error:
        raise errors.UserError(f'{where}: feature {pair.mask}: {error}') from error
    return LabelMap.default(names)


def _pick(where: str, flat: Mapping[str, Any], what: str, asked: str | None, is_one: Callable[[Any], bool]) -> str:
    listed = ', '.join(f'{name} ({_described(feature)})' for name, feature in flat.items())
    if asked is not None:
        if asked not in flat:
            raise errors.UserError(f'--{what}_feature={asked}: {where} has no such feature; it has {listed}')
        if not is_one(flat[asked]):
            raise errors.UserError(
                f'--{what}_feature={asked} is {_described(flat[asked])}: wanted {_WANTED[what]}; {where} has {listed}'
            )
        return asked
    found = [name for name, feature in flat.items() if is_one(feature)]
    if len(found) == 1:
        return found[0]
    problem = (
        f'none of its features is {_WANTED[what]}' if not found else f'each of {", ".join(found)} may be the {what}'
    )
    raise errors.UserError(f'{where}: {problem}: name one by --{what}_feature; it has {listed}')


_WANTED = {
    'image': 'an Image of 3 channels, uint8',
    'mask': 'a LabeledImage, or an Image of 1 channel (not JPEG) or a Tensor of rank 2 or 3, of whole numbers',
}


def _described(feature: Any) -> str:
    """Type, shape and dtype, as in `Image None x None x 3 uint8`."""
    words = [type(feature).__name__]
    if getattr(feature, 'shape', None):  # a sequence has none
        words += [' x '.join(map(str, feature.shape)), np.dtype(feature.np_dtype).name]
    return ' '.join(words)


def _is_image(feature: Any) -> bool:
    import tensorflow_datasets as tfds

    if not isinstance(feature, tfds.features.Image) or isinstance(feature, tfds.features.LabeledImage):
        return False
    return len(feature.shape) == 3 and feature.shape[-1] == 3 and feature.np_dtype == np.uint8


def _is_mask(feature: Any) -> bool:
    import tensorflow_datasets as tfds

    if isinstance(feature, tfds.features.Image):
        # JPEG changes values.
        good = len(feature.shape) == 3 and feature.shape[-1] == 1 and feature.encoding_format != 'jpeg'
    elif isinstance(feature, tfds.features.Tensor):
        good = len(feature.shape) == 2 or (len(feature.shape) == 3 and feature.shape[-1] == 1)
    else:
        return False
    return good and np.dtype(feature.np_dtype).kind in 'iub'


def _names(feature: Any) -> tuple[str, ...]:
    import tensorflow_datasets as tfds

    if not isinstance(feature, tfds.features.LabeledImage) or not feature.num_classes:
        return ()
    names = tuple(feature.names)
    # Where only the number of classes is known, TFDS makes names of the numbers.
    if names == tuple(str(i) for i in range(len(names))):
        return tuple(f'class_{i}' for i in range(len(names)))
    return names
