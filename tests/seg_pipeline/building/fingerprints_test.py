import dataclasses
import pathlib

import cv2
import pytest

from seg_pipeline.dataset import manifest
from seg_pipeline.planning import assignment
from tests import fake_data
from tests.seg_pipeline.building import small_build


def test_a_changed_source_changes_the_fingerprint_of_its_shard_alone(config):
    before = {plan.name: plan.fingerprint for plan in small_build.plans_of(config)}
    photo = pathlib.Path(config.sources.images) / 'img_0005.png'
    cv2.imwrite(str(photo), fake_data.draw_pair(99, (48, 40), 4, 0)[0])
    after = {plan.name: plan.fingerprint for plan in small_build.plans_of(config)}
    (changed,) = [name for name in before if before[name] != after[name]]
    assert '0005' in [pair.key for plan in small_build.plans_of(config) if plan.name == changed for pair in plan.pairs]


def test_the_fingerprint_of_a_data_set_is_that_of_its_sources_and_of_the_reasons_of_splits(config):
    def fingerprint(name, **options):
        there = dataclasses.replace(config, output_dir=f'{config.output_dir}/{name}')
        return manifest.read(small_build.publish_plans(there, small_build.plans_of(there), **options)).fingerprint

    first = fingerprint('first')
    assert fingerprint('again') == first
    reasons = {'0005': assignment.Assignment('train', 'rare class coat')}
    assert fingerprint('reasons', assignments=reasons) != first
    cv2.imwrite(f'{config.sources.images}/img_0005.png', fake_data.draw_pair(99, (48, 40), 4, 0)[0])
    assert fingerprint('changed') != first


@pytest.mark.parametrize(
    'options', [{'image_encoding': 'jpeg'}, {'mask_format': 'ids'}, {'image_size': (8, 8)}, {'max_pixels': 10_000}]
)
def test_every_option_that_decides_bytes_changes_the_fingerprint(config, options):
    changed = small_build.with_records(config, **options)
    assert small_build.plans_of(changed)[0].fingerprint != small_build.plans_of(config)[0].fingerprint
