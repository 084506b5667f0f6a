"""The flags of the commands that read pairs: what the files of a data set do not tell."""

from absl import flags

from seg_pipeline.building.config import parse_size
from trainer.config import DataOptions

DATA_DIR_HELP = 'Directory of the data set, as prepare_dataset printed it, or of a version of any TFDS data set.'

_IMAGE_SIZE = flags.DEFINE_string(
    'image_size', None, 'Of a TFDS data set: height and width to resize to, as 128,128; default: that of all images.'
)
_IMAGE_FEATURE = flags.DEFINE_string(
    'image_feature', None, 'Of a TFDS data set: name of the image; default: the only feature that can be it.'
)
_MASK_FEATURE = flags.DEFINE_string(
    'mask_feature', None, 'Of a TFDS data set: name of the mask; default: the only feature that can be it.'
)
_LABEL_OFFSET = flags.DEFINE_integer(
    'label_offset', None, 'Of a TFDS data set: class = value in the mask + this; -1 where masks begin at 1; default: 0.'
)
_NUM_CLASSES = flags.DEFINE_integer(
    'num_classes', None, 'Of a TFDS data set: how many classes, where the mask has no names of them.'
)


def options(validation_split: str | None = None) -> DataOptions:
    """Reads the flags; call it in `main`.

    Args:
        validation_split: see `DataOptions`.

    Raises:
        UserError: a value is out of its range.
    """
    return DataOptions(
        image_size=None if _IMAGE_SIZE.value is None else parse_size(_IMAGE_SIZE.value),
        image_feature=_IMAGE_FEATURE.value,
        mask_feature=_MASK_FEATURE.value,
        label_offset=_LABEL_OFFSET.value,
        num_classes=_NUM_CLASSES.value,
        validation_split=validation_split,
    )
