"""Weights of classes, from the masks counted again."""

import json
import os

import numpy as np
import pytest

from seg_pipeline import errors, records
from seg_pipeline.dataset.dataset_split import DatasetSplit
from tests import fake_data
from trainer.training import class_weights


@pytest.fixture(scope='module')
def data_dir(tmp_path_factory):
    return fake_data.make_dataset(tmp_path_factory.mktemp('data'), num_pairs=6)


@pytest.fixture
def split(data_dir):
    return DatasetSplit.read(data_dir, 'train')


def _masks(split):
    return [record.mask for path in split.shard_paths for record in records.read(path)]


@pytest.mark.parametrize('kind', ['inverse', 'median'])
def test_weights_go_by_frequency_and_have_the_mean_1(split, kind):
    masks = _masks(split)
    classes = split.label_map.num_classes
    counts = np.array([np.bincount(mask.ravel(), minlength=256)[:classes] for mask in masks])
    pixels = counts.sum(0)
    areas = np.array(
        [sum(mask.size for mask, row in zip(masks, counts, strict=True) if row[c]) for c in range(classes)]
    )
    with np.errstate(divide='ignore', invalid='ignore'):
        expected = 1 / pixels if kind == 'inverse' else areas / pixels
    expected = expected * pixels.sum() / np.nansum(np.where(pixels > 0, expected * pixels, 0))
    found = class_weights.read(split, kind)
    assert len(found) == classes
    np.testing.assert_allclose(found, np.where(pixels > 0, expected, 1), rtol=1e-9)
    assert len(set(found)) > 1


def test_without_weights_no_statistics_are_read(split, monkeypatch):
    monkeypatch.delattr(DatasetSplit, 'read_summary')
    assert class_weights.read(split, 'none') == ()


def test_altered_statistics_are_refused(tmp_path):
    altered = fake_data.make_dataset(tmp_path, num_pairs=4)
    path = os.path.join(altered, 'statistics.json')
    with open(path, encoding='utf-8') as file:
        content = json.load(file)
    content['train']['classes'][0]['pixels'] += 1
    with open(path, 'w', encoding='utf-8') as file:
        json.dump(content, file)
    with pytest.raises(errors.UserError, match=r'statistics\.json.*prepare the data set again'):
        class_weights.read(DatasetSplit.read(altered, 'train'), 'median')
