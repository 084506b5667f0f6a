"""Masks of which much more is ignored than of the others are named at the end of the job and on the card."""

import pathlib

import cv2
import numpy as np
import pytest

from seg_pipeline.dataset import ignored, manifest
from tests import fake_data
from tests.seg_pipeline.building import small_build


@pytest.mark.parametrize('resize', ['squash', 'letterbox', 'crop'])
@pytest.mark.parametrize(('shares', 'named'), [((0.6, 0.7), True), ((0.2,), True), ((0.02,), False), ((), False)])
def test_masks_that_stand_out_are_named(config, resize, shares, named):
    names = [f'seg_000{number + 2}.png' for number in range(len(shares))]
    for name, share in zip(names, shares, strict=True):
        path = pathlib.Path(config.sources.masks) / name
        mask = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        mask[:, : round(share * mask.shape[1])] = 255
        cv2.imwrite(str(path), mask)
    config = small_build.with_records(config, resize=resize)
    plans = small_build.plans_of(config)
    outcome = fake_data.publish_plans(config, plans)
    card = (pathlib.Path(outcome.directory) / manifest.CARD_FILE).read_text()
    if not named:
        assert outcome.warnings == ()
        assert 'is ignored, or far more' not in card
        return
    (warning,) = outcome.warnings
    verb = 'is' if len(names) == 1 else 'are'
    assert warning.startswith(f'{len(names)} of 10 masks {verb} more than half ignored, or far more than the others: ')
    assert all(name in warning and f'<b>{name}</b>' in card for name in names)


def test_the_rule():
    def named(shares):
        return list(ignored.Shares.of(shares).standing_out())

    even = dict.fromkeys('abcdef', 0.3)
    assert named(even) == []
    assert named({**even, 'g': 0.34}) == []
    assert named({**even, 'g': 0.36}) == ['g']
    random = np.random.default_rng(0).normal(0.3, 0.01, 1000)
    assert named({str(i): float(share) for i, share in enumerate(random)}) == []
    assert named(dict.fromkeys('bac', 0.6)) == ['a', 'b', 'c']
    assert named({}) == []


@pytest.mark.parametrize('resize', ['squash', 'letterbox'])
def test_no_mask_is_read_again_where_the_statistics_tell_enough(config, resize):
    outcome = fake_data.publish_plans(config, small_build.plans_of(small_build.with_records(config, resize=resize)))
    present = manifest.read(outcome.directory)
    for shard in present.shards:
        (pathlib.Path(outcome.directory) / shard.name).unlink()
    assert ignored.of_dataset(outcome.directory, present) == {}
