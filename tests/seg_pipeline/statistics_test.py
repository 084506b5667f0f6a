import json
import random

import numpy as np
import pytest

from seg_pipeline import statistics
from seg_pipeline.label_map import LabelMap

_LABELS = LabelMap.default(('background', 'a', 'b'))


def _records(count):
    generator = np.random.default_rng(0)
    for _ in range(count):
        image = generator.integers(0, 256, (6, 5, 3), dtype=np.uint8)
        mask = generator.choice(np.array([0, 1, 255], np.uint8), (6, 5))
        yield image, mask, (int(generator.integers(10, 12)), 20)


def test_figures_by_numpy():
    records = list(_records(7))
    found = statistics.SplitStatistics()
    for record in records:
        found.add(*record)
    result = found.result(_LABELS)
    pixels = np.concatenate([image.reshape(-1, 3) for image, _, _ in records]).astype(float)
    masks = np.stack([mask for _, mask, _ in records])
    np.testing.assert_allclose(result['channel_mean'], pixels.mean(axis=0))
    np.testing.assert_allclose(result['channel_standard_deviation'], pixels.std(axis=0))
    assert result['num_records'] == 7
    assert result['num_pixels'] == masks.size
    assert result['ignored_pixels'] == (masks == 255).sum()
    for row in result['classes']:
        assert row['pixels'] == (masks == row['id']).sum()
        assert row['images'] == (masks == row['id']).any(axis=(1, 2)).sum()
    assert [row['name'] for row in result['classes']] == ['background', 'a', 'b']
    assert sum(row['images'] for row in result['source_sizes']) == 7


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
    assert statistics.SplitStatistics().result(_LABELS)['channel_mean'] == [0, 0, 0]
