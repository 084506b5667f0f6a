import itertools
import json
import random

import numpy as np
import pytest

from seg_pipeline.dataset import statistics
from seg_pipeline.labels.label_map import LabelMap

_LABELS = LabelMap.default(('background', 'a', 'b'))


def _records(count):
    generator = np.random.default_rng(0)
    for number in range(count):
        image = generator.integers(0, 40 + 18 * number, (6, 5, 3), dtype=np.uint8)
        mask = generator.choice(np.array([0, 1, 255], np.uint8), (6, 5))
        yield image, mask, (int(generator.integers(10, 12)), 20), f'key {number}'


def test_figures_by_numpy():
    records = list(_records(7))
    found = statistics.SplitStatistics()
    for record in records:
        found.add(*record)
    result = found.summary(_LABELS)
    pixels = np.concatenate([image.reshape(-1, 3) for image, *_ in records]).astype(float)
    masks = np.stack([mask for _, mask, *_ in records])
    np.testing.assert_allclose(result.channel_mean, pixels.mean(axis=0))
    np.testing.assert_allclose(result.channel_standard_deviation, pixels.std(axis=0))
    assert result.num_records == 7
    assert result.num_pixels == masks.size
    assert result.ignored_pixels == (masks == 255).sum()
    for row in result.classes:
        assert row.pixels == (masks == row.id).sum()
        assert row.images == (masks == row.id).any(axis=(1, 2)).sum()
    assert [row.name for row in result.classes] == ['background', 'a', 'b']
    assert sum(row.images for row in result.source_sizes) == 7


def _sparse_records():
    """Every class in some images only; class 3 of four in none; sizes differ."""
    generator = np.random.default_rng(1)
    for number, ids in enumerate([(0,), (0, 1), (0, 1, 2), (1, 255), (0, 2, 255), (255, 1, 2)]):
        size = (4 + number, 5)
        mask = generator.choice(np.array(ids, np.uint8), size)
        mask.flat[: len(ids)] = ids
        yield generator.integers(0, 256, (*size, 3), dtype=np.uint8), mask, (10, 10), f'key {number}'


def _sparse_summary():
    records = list(_sparse_records())
    found = statistics.SplitStatistics()
    for record in records:
        found.add(*record)
    return [mask for _, mask, *_ in records], found.summary(LabelMap.default(('background', 'a', 'b', 'none')))


def test_classes_that_appear_together():
    masks, result = _sparse_summary()
    expected = {
        pair: sum(set(pair) <= set(mask.ravel().tolist()) for mask in masks)
        for pair in itertools.combinations(range(4), 2)
    }
    found = {row.ids: row.images for row in result.cooccurrence}
    assert found == {pair: images for pair, images in expected.items() if images}
    assert found[1, 2] == 2


def test_ignored_pixels():
    masks, result = _sparse_summary()
    ignored = np.array([(mask == 255).sum() for mask in masks])
    assert result.ignored_share == pytest.approx(ignored.sum() / sum(mask.size for mask in masks))
    assert result.images_with_ignored_pixels == (ignored > 0).sum() == 3


def test_weights_by_their_formulas():
    masks, result = _sparse_summary()
    pixels = np.array([sum((mask == i).sum() for mask in masks) for i in range(3)])
    areas = np.array([sum(mask.size for mask in masks if i in mask) for i in range(3)])
    inverse = [row.inverse_frequency_weight for row in result.classes]
    median = [row.median_frequency_weight for row in result.classes]
    np.testing.assert_allclose(inverse[:3], pixels.sum() / (3 * pixels))
    assert (np.array(inverse[:3]) * pixels).sum() == pytest.approx(pixels.sum())
    np.testing.assert_allclose(median[:3], np.median(pixels / areas) / (pixels / areas))
    assert (inverse[3], median[3]) == (None, None)


@pytest.mark.parametrize('present', [1, 2, 3, 4])
def test_the_median_of_any_number_of_frequencies(present):
    pixels, areas = np.array([10, 70, 5, 20])[:present], np.array([100, 100, 40, 60])[:present]
    *found, absent = statistics.median_frequency_weights([*pixels.tolist(), 0], [*areas.tolist(), 0])
    np.testing.assert_allclose(found, np.median(pixels / areas) / (pixels / areas))
    assert absent is None


def test_brightness_counts_images_by_their_mean():
    records = list(_records(12))
    found = statistics.SplitStatistics()
    for record in records:
        found.add(*record)
    luma = [(image @ np.array([0.299, 0.587, 0.114])).mean() for image, *_ in records]
    expected, _ = np.histogram(luma, bins=32, range=(0, 256))
    assert found.summary(_LABELS).brightness_histogram == tuple(expected)
    assert np.count_nonzero(expected) > 5


def test_the_example_of_a_class_shows_the_most_of_it():
    masks, result = _sparse_summary()
    for row in result.classes[:3]:
        most = max(range(len(masks)), key=lambda number: (masks[number] == row.id).sum())
        assert row.largest_in == f'key {most}'
    assert result.classes[3].largest_in is None


@pytest.mark.parametrize('order', ['bac', 'abc', 'cab'])
def test_of_equal_examples_the_first_key_stays(order):
    parts = []
    for key in order:
        part = statistics.SplitStatistics()
        part.add(np.zeros((2, 2, 3), np.uint8), np.ones((2, 2), np.uint8), (2, 2), key)
        parts.append(part)
    assert statistics.merged(parts).summary(_LABELS).classes[1].largest_in == 'a'


@pytest.mark.parametrize('seed', range(3))
def test_no_order_of_merging_changes_a_bit(seed):
    parts = []
    for record in _records(9):
        part = statistics.SplitStatistics()
        part.add(*record)
        parts.append(part)
    expected = statistics.merged(parts).to_json()
    random.Random(seed).shuffle(parts)
    halves = statistics.merged(parts[:4]), statistics.merged(parts[4:])
    assert statistics.merged(halves).to_json() == expected
    assert statistics.SplitStatistics.from_json(json.loads(json.dumps(expected))).to_json() == expected


def test_nothing_was_counted():
    result = statistics.SplitStatistics().summary(_LABELS)
    assert result.channel_mean == (0, 0, 0)
    assert [row.inverse_frequency_weight for row in result.classes] == [None] * 3


def test_the_json_holds_every_figure_under_its_name():
    _, result = _sparse_summary()
    value = json.loads(json.dumps(result.to_json()))
    assert value['num_records'] == result.num_records == 6
    assert value['classes'][1]['pixels'] == result.classes[1].pixels
    assert value['cooccurrence'][0]['ids'] == list(result.cooccurrence[0].ids)
    assert value['source_sizes'] == [{'height': 10, 'width': 10, 'images': 6}]
