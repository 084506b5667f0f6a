import dataclasses
import pathlib

from seg_pipeline.building import existing, fingerprints
from seg_pipeline.planning import pairing
from tests.seg_pipeline.building import small_build


def test_differences_name_file_and_values(config):
    plans = small_build.plans_of(config)
    small_build.publish_plans(config, plans)
    pairs = [pair for plan in plans for pair in plan.pairs]
    assert existing.difference(config, pairs) is None
    other = small_build.with_records(config, image_encoding='jpeg')
    assert existing.difference(other, pairs) == "options: image_encoding is 'png' there and 'jpeg' here"
    other = dataclasses.replace(config, split_options={**config.split_options, 'stratify': 'rare'})
    assert existing.difference(other, pairs) == "options: stratify is None there and 'rare' here"
    assert existing.difference(config, pairs[1:]) == f'pair {pairs[0].key!r} is in it and has no files here'
    assert existing.difference(config, [*pairs, pairing.SourcePair('x', 'x', 'x')]) == "pair 'x' is here and not in it"
    photo = pathlib.Path(config.sources.images) / 'img_0005.png'
    photo.write_bytes(photo.read_bytes() + b' ')
    assert str(photo) in existing.difference(config, pairs)


def test_another_record_format_is_a_difference(config, monkeypatch):
    plans = small_build.plans_of(config)
    small_build.publish_plans(config, plans)
    there = fingerprints.RECORD_FORMAT
    monkeypatch.setattr(fingerprints, 'RECORD_FORMAT', there + 1)
    found = existing.difference(config, [pair for plan in plans for pair in plan.pairs])
    assert found == f'records: record_format is {there} there and {there + 1} here'


def test_a_rejected_pair_makes_a_difference_once_it_is_mended(config, tmp_path):
    mask = pathlib.Path(config.sources.masks) / 'seg_0004.png'
    good = mask.read_bytes()
    small_build.spoil(config)
    plans = small_build.plans_of(config)
    pairs = [pair for plan in plans for pair in plan.pairs]
    small_build.publish_plans(config, plans, allow_rejects=True)
    assert existing.difference(config, pairs) is None
    mask.write_bytes(good)
    assert existing.difference(config, pairs) == "pair '0004' was rejected then and is good now"
