"""Pictures are recomputed pixel by pixel if that is possible; otherwise, colours are looked for in them."""

import numpy as np
import pytest

from seg_pipeline.imaging import visualization
from seg_pipeline.labels.label_map import LabelMap

LABELS = LabelMap(('background', 'red', 'blue'), ((0, 0, 0), (250, 0, 0), (0, 0, 250)), ignore_id=9)
INK = np.array((32, 32, 32))


def image_and_mask(height=60, width=40):
    mask = np.zeros((height, width), np.uint8)
    mask[10:30, 5:20] = 1
    mask[30:50, 20:35] = 2
    mask[:2] = 9
    return np.full((height, width, 3), 100, np.uint8), mask


def has_color(picture, color) -> bool:
    return bool((picture == color).all(axis=-1).any())


def test_a_mask_takes_the_colors_of_its_classes():
    found = visualization.color_mask(np.array([[0, 1], [2, 9]], np.uint8), LABELS)

    assert found.dtype == np.uint8
    assert found.tolist() == [[[0, 0, 0], [250, 0, 0]], [[0, 0, 250], LABELS.palette()[9].tolist()]]


def test_an_overlay_tints_the_inside_and_draws_the_outline():
    image, mask = image_and_mask()
    found = visualization.overlay(image, mask, LABELS, alpha=0.2)

    assert found[20, 12].tolist() == [130, 80, 80]  # 0.8 * 100 + 0.2 * (250, 0, 0)
    assert found[10, 5].tolist() == [250, 0, 0]  # a corner of the red field
    assert found[40, 34].tolist() == [0, 0, 250]  # its edges, too, are solid
    unmarked = (mask == 0) | (mask == 9)
    assert (found[unmarked] == 100).all()


@pytest.mark.parametrize('band', [1, 130, 2**18])
def test_an_overlay_is_the_same_in_any_number_of_bands(monkeypatch, band):
    monkeypatch.setattr(visualization, '_BAND', band)
    random = np.random.default_rng(0)
    image, mask = random.integers(0, 256, (60, 40, 3), np.uint8), image_and_mask()[1]
    found = visualization.overlay(image, mask, LABELS, 0.25)

    inside = np.s_[12:28, 7:18]  # of the red part
    expected = np.rint(0.75 * image[inside] + 0.25 * np.array((250, 0, 0)))
    np.testing.assert_array_equal(found[inside], expected)
    np.testing.assert_array_equal(found[30, 20:35], np.broadcast_to((0, 0, 250), (15, 3)))
    np.testing.assert_array_equal(found[52:], image[52:])


@pytest.mark.parametrize('has_truth', [False, True])
@pytest.mark.parametrize('size', [(60, 40), (500, 900)])
def test_a_reduced_row_draws_the_same_panel(monkeypatch, size, has_truth):
    monkeypatch.setattr(visualization, '_BAND', 1000)
    random = np.random.default_rng(0)
    image = random.integers(0, 256, (*size, 3), np.uint8)
    prediction, truth = (random.integers(0, 3, size, np.uint8) for _ in range(2))
    row = visualization.PanelRow('a', image, prediction, truth if has_truth else None)
    reduced = row.reduced()

    assert max(reduced.image.shape) == 360
    np.testing.assert_array_equal(visualization.panels([reduced], LABELS), visualization.panels([row], LABELS))


def test_an_overlay_needs_image_and_mask_of_one_size():
    with pytest.raises(ValueError, match=r'\(60, 40\).*\(61, 40\)'):
        visualization.overlay(image_and_mask()[0], np.zeros((61, 40), np.uint8), LABELS)


def test_panels_show_prediction_ground_truth_and_image_from_left_to_right():
    image, mask = image_and_mask()
    page = visualization.panels(
        [visualization.PanelRow('x', image, np.zeros_like(mask), np.full_like(mask, 2))], LABELS
    )

    row = page[page.shape[0] // 2]
    is_black, is_blue, is_image = ((row == color).all(axis=-1) for color in ((0, 0, 0), (0, 0, 250), (100, 100, 100)))
    assert is_black.sum() == is_blue.sum() == is_image.sum() == 240  # 360 high, 2:3
    assert is_black.argmax() < is_blue.argmax() < is_image.argmax()


def test_without_any_ground_truth_there_is_no_column_for_it():
    image, mask = image_and_mask()
    with_truth = visualization.panels([visualization.PanelRow('x', image, mask, mask)], LABELS)
    without = visualization.panels([visualization.PanelRow('x', image, mask)], LABELS)

    assert with_truth.shape[1] - without.shape[1] == 240 + 16


def test_a_row_without_ground_truth_among_others_says_so():
    image, mask = image_and_mask()
    rows = [visualization.PanelRow('x', image, mask), visualization.PanelRow('y', image, mask, mask)]
    page = visualization.panels(rows, LABELS)
    column = slice(16 + 240 + 16, 16 + 240 + 16 + 240)

    assert not has_color(page[60:398, column], (250, 0, 0))
    assert has_color(page[410:, column], (250, 0, 0))


def test_the_legend_names_the_classes_that_are_present():
    image, mask = image_and_mask()
    legend = visualization.panels([visualization.PanelRow('x', image, mask)], LABELS)[30:, -180:]
    only_red = visualization.panels([visualization.PanelRow('x', image, np.minimum(mask, 1))], LABELS)[30:, -180:]

    assert all(has_color(legend, color) for color in LABELS.palette()[[0, 1, 2, 9]])
    assert has_color(only_red, (250, 0, 0))
    assert not has_color(only_red, (0, 0, 250))


def test_a_legend_without_room_says_how_many_classes_it_leaves_out():
    labels = LabelMap.default(tuple(f'class {i}' for i in range(60)))
    mask = np.arange(60, dtype=np.uint8).repeat(60).reshape(60, 60)
    page = visualization.panels([visualization.PanelRow('x', np.zeros((60, 60, 3), np.uint8), mask)], labels)

    assert page.shape[0] < 450  # the row is no higher for it


def test_rows_of_any_aspect_ratio_fit_on_a_page():
    tall, wide, tiny = (visualization.PanelRow('a name', *image_and_mask(*size)) for size in ((90, 9), (8, 80), (5, 5)))
    page = visualization.panels([tall, wide, tiny], LABELS)

    assert page.shape[1] == 16 + 2 * (360 + 16) + 190
    assert page.shape[0] == 16 + 22 + (360 + 36 + 360) + 3 * (22 + 16)
