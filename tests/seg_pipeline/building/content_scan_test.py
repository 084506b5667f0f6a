import os
import pathlib

import cv2
import numpy as np
import pytest

from seg_pipeline import errors
from seg_pipeline.building import content_scan, preparation
from seg_pipeline.imaging import images, perceptual_hash
from seg_pipeline.labels import label_map
from seg_pipeline.planning import pairing
from tests import fake_data

_BOTH = content_scan.Scan(hashes=True, classes=True)


@pytest.fixture
def job(tmp_path):
    source = tmp_path / 'source'
    fake_data.write_pairs(source, num_pairs=5)
    return preparation.Preparation(
        images=str(source / 'images'),
        masks=str(source / 'masks'),
        output_dir=str(tmp_path / 'out'),
        label_map=label_map.read(str(source / 'labels.csv')),
        image_size=(16, 16),
    )


def _pairs(job):
    return pairing.match_pairs(pairing.list_files(job.images), pairing.list_files(job.masks)).pairs


def _scan(job, what=_BOTH):
    batches = content_scan.plan(job, what, _pairs(job))
    for batch in batches:
        content_scan.scan(job, what, batch)
    return content_scan.read(job, batches)


def test_finds_hashes_and_the_classes_of_the_stored_masks(job):
    mask_path = pathlib.Path(job.masks) / 'seg_0002.png'
    mask = np.full((48, 40), 1, np.uint8)
    mask[0, 0] = 3  # no centre of a cell of 3x2.5 pixels: it is not in the record
    mask[20:40] = 255
    cv2.imwrite(str(mask_path), mask)
    found = _scan(job)
    assert found.classes['0002'] == (1,)
    for key in ('0001', '0003'):
        photo = images.read_image(os.path.join(job.images, f'img_{key}.png'))
        assert found.hashes[key] == perceptual_hash.perceptual_hash(photo)


def test_asks_for_no_more_than_is_wanted(job):
    for mask in pathlib.Path(job.masks).iterdir():
        mask.write_bytes(b'not decoded')
    found = _scan(job, content_scan.Scan(hashes=True, classes=False))
    assert len(found.hashes) == 5
    assert _scan(job).hashes == {}  # with classes, the pairs are bad


def test_a_bad_pair_has_no_entry(job):
    image = pathlib.Path(job.images) / 'img_0004.png'
    image.write_bytes(image.read_bytes()[:-30])
    assert sorted(_scan(job).hashes) == ['0001', '0002', '0003', '0005']


def test_a_batch_is_scanned_once_until_its_files_change(job, monkeypatch):
    first = _scan(job)
    monkeypatch.setattr(preparation, 'decode_pair', lambda job, pair: pytest.fail('decoded again'))
    assert _scan(job) == first
    monkeypatch.undo()
    cv2.imwrite(str(pathlib.Path(job.images) / 'img_0001.png'), fake_data.draw_pair(9, (48, 40), 4, 0)[0])
    assert _scan(job).hashes['0001'] != first.hashes['0001']


def test_a_missing_result_is_told(job):
    with pytest.raises(errors.UserError, match='has gone; run the command again'):
        content_scan.read(job, content_scan.plan(job, _BOTH, _pairs(job)))
