"""The picture of a confusion matrix: each cell has the colour of its share in its row."""

import numpy as np
import pytest

from seg_pipeline.labels.label_map import LabelMap
from trainer.evaluation import confusion_picture, metrics

LABELS = LabelMap.default(('background', 'hat', 'coat with a name that is longer than any place for it', 'shoes'))
# Of class 1 nothing is there and nothing is predicted. Class 3 is predicted and is not there.
MATRIX = np.array([[30, 0, 10, 0], [0, 0, 0, 0], [5, 0, 5, 10], [0, 0, 0, 0]])


def _cells(picture, count):
    """The colours near the upper left corner of each cell, where no number is written."""
    cell, gap = confusion_picture._CELL, confusion_picture._GAP
    height, width = picture.shape[:2]
    top, left = height - gap - count * cell, width - gap - count * cell
    return picture[top + 2 : top + count * cell : cell, left + 2 : left + count * cell : cell]


def test_cells_have_the_colour_of_their_share():
    picture = confusion_picture.draw(metrics.from_confusion_matrix(MATRIX), LABELS)
    shares = np.array([[0.75, 0.25, 0], [0.25, 0.25, 0.5], [0, 0, 0]])  # classes 0, 2 and 3
    expected = np.rint(255 + shares[..., None] * (np.array([31, 95, 168]) - 255))
    np.testing.assert_array_equal(_cells(picture, 3), expected)


def test_names_are_beside_the_rows_and_above_the_columns():
    picture = confusion_picture.draw(metrics.from_confusion_matrix(MATRIX), LABELS)
    other = LabelMap.default(('background', 'cap', *LABELS.names[2:]))  # of the class that does not occur
    np.testing.assert_array_equal(confusion_picture.draw(metrics.from_confusion_matrix(MATRIX), other), picture)
    renamed = LabelMap.default((*LABELS.names[:3], 'boots'))
    different = (confusion_picture.draw(metrics.from_confusion_matrix(MATRIX), renamed) != picture).any(axis=-1)
    side = 3 * confusion_picture._CELL + confusion_picture._GAP
    row, column = picture.shape[0] - side, picture.shape[1] - side
    beside, above = different[:, :column], different[:row]
    assert beside.any()
    assert above.any()
    assert not different[row:, column:].any()


@pytest.mark.parametrize('size', [2, 60])
def test_any_number_of_classes_can_be_drawn(size):
    labels = LabelMap.default(tuple(f'class {i}' for i in range(size)))
    for matrix in (np.zeros((size, size), int), np.ones((size, size), int)):
        picture = confusion_picture.draw(metrics.from_confusion_matrix(matrix), labels)
        assert (picture.dtype, picture.ndim) == (np.uint8, 3)
