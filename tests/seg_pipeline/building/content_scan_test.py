import os
import pathlib

import cv2
import numpy as np
import pytest

from seg_pipeline import errors
from seg_pipeline.building import content_scan
from seg_pipeline.building import pair as pair_lib
from seg_pipeline.building.config import BuildConfig, RecordOptions, SourceFolders
from seg_pipeline.imaging import images, perceptual_hash
from seg_pipeline.labels import label_map
from seg_pipeline.planning import pairing
from tests import fake_data

_BOTH = content_scan.Scan(hashes=True, classes=True)


@pytest.fixture
def config(tmp_path):
    source = tmp_path / 'source'
    fake_data.write_pairs(source, num_pairs=5)
    return BuildConfig(
        SourceFolders(str(source / 'images'), str(source / 'masks')),
        str(tmp_path / 'out'),
        RecordOptions(label_map.read(str(source / 'labels.csv')), image_size=(16, 16)),
    )


def _pairs(config):
    sources = config.sources
    return pairing.match_pairs(pairing.list_files(sources.images), pairing.list_files(sources.masks)).pairs


def _scan(config, what=_BOTH):
    batches = list(content_scan.plan(config.sources, config.records, what, _pairs(config)))
    for batch in batches:
        content_scan.scan(config.sources, config.records, config.work_dir, what, batch)
    return content_scan.read(config.work_dir, [batch.fingerprint for batch in batches])


def test_finds_hashes_and_the_classes_of_the_stored_masks(config):
    mask_path = pathlib.Path(config.sources.masks) / 'seg_0002.png'
    mask = np.full((48, 40), 1, np.uint8)
    mask[0, 0] = 3  # no centre of a cell of 3x2.5 pixels: it is not in the record
    mask[20:40] = 255
    cv2.imwrite(str(mask_path), mask)
    found = _scan(config)
    assert found.classes['0002'] == (1,)
    for key in ('0001', '0003'):
        photo = images.read_image(os.path.join(config.sources.images, f'img_{key}.png'))
        assert found.hashes[key] == perceptual_hash.perceptual_hash(photo)


def test_asks_for_no_more_than_is_wanted(config):
    for mask in pathlib.Path(config.sources.masks).iterdir():
        mask.write_bytes(b'not decoded')
    found = _scan(config, content_scan.Scan(hashes=True, classes=False))
    assert len(found.hashes) == 5
    assert _scan(config).hashes == {}  # with classes, the pairs are bad


def test_a_bad_pair_has_no_entry(config):
    image = pathlib.Path(config.sources.images) / 'img_0004.png'
    image.write_bytes(image.read_bytes()[:-30])
    assert sorted(_scan(config).hashes) == ['0001', '0002', '0003', '0005']


def test_a_batch_is_scanned_once_until_its_files_change(config, monkeypatch):
    first = _scan(config)
    monkeypatch.setattr(pair_lib, 'decode', lambda *_: pytest.fail('decoded again'))
    assert _scan(config) == first
    monkeypatch.undo()
    cv2.imwrite(str(pathlib.Path(config.sources.images) / 'img_0001.png'), fake_data.draw_pair(9, (48, 40), 4, 0)[0])
    assert _scan(config).hashes['0001'] != first.hashes['0001']


def test_a_missing_result_is_told(config):
    with pytest.raises(errors.UserError, match='is missing; run the command again'):
        content_scan.read(config.work_dir, ['never scanned'])


def test_of_many_pairs_the_batches_grow(config, monkeypatch):
    monkeypatch.setattr(content_scan, 'PAIRS_PER_BATCH', 1)
    for most, sizes in ((10, [1] * 5), (2, [3, 2]), (1, [5])):
        monkeypatch.setattr(content_scan, '_MOST_BATCHES', most)
        batches = content_scan.plan(config.sources, config.records, _BOTH, _pairs(config))
        assert [len(batch.pairs) for batch in batches] == sizes
