"""How much the pixels of each class count in a loss, by how frequent the class is in the training split."""

from seg_pipeline import errors
from seg_pipeline.dataset.dataset_split import Split
from trainer import config


def read(split: Split, kind: str) -> tuple[float, ...]:
    """Returns the weights of the classes, from the statistics of the data set.

    They are the `inverse_frequency_weight` or `median_frequency_weight` of statistics.json, scaled so that their mean
    over all valid pixels of the split is 1: then the learning rate means the same with and without them. A class that
    the split does not have gets 1.

    Args:
        split: the training split.
        kind: one of `config.CLASS_WEIGHTS`.

    Returns:
        A weight for each class, by id; none at all if `kind` is `config.NO_CLASS_WEIGHTS`.

    Raises:
        UserError: the data set has no statistics, or not one valid pixel.
    """
    if kind == config.NO_CLASS_WEIGHTS:
        return ()
    classes = split.read_summary().classes
    found = [row.inverse_frequency_weight if kind == 'inverse' else row.median_frequency_weight for row in classes]
    weighted = sum(weight * row.pixels for row, weight in zip(classes, found, strict=True) if weight is not None)
    if not weighted:
        raise errors.UserError(f'--class_weights={kind}: split {split.name} of {split.dataset_dir} has no valid pixel')
    scale = sum(row.pixels for row in classes) / weighted
    return tuple(1.0 if weight is None else weight * scale for weight in found)
