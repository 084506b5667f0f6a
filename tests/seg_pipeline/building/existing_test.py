import dataclasses
import errno
import json
import os
import pathlib
import shutil

import pytest

from seg_pipeline import errors
from seg_pipeline.building import existing, fingerprints
from seg_pipeline.dataset import record_index
from seg_pipeline.planning import pairing
from seg_pipeline.storage import checksums
from tests.seg_pipeline.building import small_build
from tests.seg_pipeline.dataset import forgery


def _difference(config, pairs):
    found = existing.compare(config, pairs)
    return found.difference or found.rejects_difference


def test_differences_name_file_and_values(config):
    plans = small_build.plans_of(config)
    small_build.publish_plans(config, plans)
    pairs = [pair for plan in plans for pair in plan.pairs]
    assert _difference(config, pairs) is None
    other = small_build.with_records(config, image_encoding='jpeg')
    assert _difference(other, pairs) == "options: image_encoding is 'png' there and 'jpeg' here"
    other = dataclasses.replace(config, split_options={**config.split_options, 'stratify': 'rare'})
    assert _difference(other, pairs) == "options: stratify is None there and 'rare' here"
    assert _difference(config, pairs[1:]) == f'pair {pairs[0].key!r} is in it and has no files here'
    assert _difference(config, [*pairs, pairing.SourcePair('x', 'x', 'x')]) == "pair 'x' is here and not in it"
    photo = pathlib.Path(config.sources.images) / 'img_0005.png'
    photo.write_bytes(photo.read_bytes() + b' ')
    assert str(photo) in _difference(config, pairs)


def test_a_directory_copied_to_another_place_is_a_difference(config):
    plans = small_build.plans_of(config)
    made = small_build.publish_plans(config, plans)
    pairs = [pair for plan in plans for pair in plan.pairs]
    larger = small_build.with_records(config, image_size=(16, 24))
    for other, difference in (
        (dataclasses.replace(config, version='1.0.1'), "dataset_version is '1.0.0' there and '1.0.1' here"),
        (
            dataclasses.replace(config, dataset_name='street'),
            "dataset_name is 'clothing_parsing' there and 'street' here",
        ),
        (larger, "config_name is '16x16' there and '16x24' here"),
    ):
        shutil.copytree(made, other.dataset_dir)
        assert _difference(other, pairs) == f'manifest: {difference}'


def test_another_record_format_is_a_difference(config, monkeypatch):
    plans = small_build.plans_of(config)
    small_build.publish_plans(config, plans)
    there = fingerprints.RECORD_FORMAT
    monkeypatch.setattr(fingerprints, 'RECORD_FORMAT', there + 1)
    found = _difference(config, [pair for plan in plans for pair in plan.pairs])
    assert found == f'records: record_format is {there} there and {there + 1} here'


def test_a_rejected_pair_makes_a_difference_once_it_is_mended(config, tmp_path):
    mask = pathlib.Path(config.sources.masks) / 'seg_0004.png'
    good = mask.read_bytes()
    small_build.spoil(config)
    plans = small_build.plans_of(config)
    pairs = [pair for plan in plans for pair in plan.pairs]
    small_build.publish_plans(config, plans, allow_rejects=True)
    assert _difference(config, pairs) is None
    mask.write_bytes(good)
    assert _difference(config, pairs) == "'0004' was rejected then (unknown_id) and is not now"


@pytest.mark.parametrize('number', [errno.EIO, errno.ECONNRESET])
def test_a_store_that_fails_is_an_outside_fault(config, monkeypatch, number):
    plans = small_build.plans_of(config)
    small_build.publish_plans(config, plans)
    real = checksums.digest

    def digest(path):
        if path.startswith(config.sources.masks):
            raise OSError(number, os.strerror(number), path)
        return real(path)

    monkeypatch.setattr(checksums, 'digest', digest)
    message = f'^{config.sources.masks}/seg_.*: cannot be read: .*; run the command again$'
    with pytest.raises(errors.OutsideError, match=message):
        existing.compare(config, [pair for plan in plans for pair in plan.pairs])


def test_a_source_under_another_name_is_a_difference(config):
    plans = small_build.plans_of(config)
    small_build.publish_plans(config, plans)
    photo = pathlib.Path(config.sources.images) / 'img_0005.png'
    photo.rename(photo.with_suffix('.PNG'))
    pairs = [pair for plan in small_build.plans_of(config) for pair in plan.pairs]
    assert _difference(config, pairs) == "pair '0005' was made from img_0005.png and its file is img_0005.PNG now"


def test_the_index_is_read_once(config, monkeypatch):
    plans = small_build.plans_of(config)
    small_build.publish_plans(config, plans)
    read = []
    parse = record_index.RecordEntry.from_json
    monkeypatch.setattr(record_index.RecordEntry, 'from_json', lambda value: read.append(value) or parse(value))
    pairs = [pair for plan in plans for pair in plan.pairs]
    assert _difference(config, pairs) is None
    assert len(read) == len(pairs)


@pytest.mark.parametrize('renamed_first', [True, False])
def test_of_several_differences_the_first_of_the_index_is_named(config, renamed_first):
    plans = small_build.plans_of(config)
    small_build.publish_plans(config, plans)
    entries = list(record_index.of(config.dataset_dir))
    renamed, changed = (entries[1], entries[3]) if renamed_first else (entries[3], entries[1])
    photo = pathlib.Path(config.sources.images) / renamed.image
    photo.rename(photo.with_suffix('.PNG'))
    other = pathlib.Path(config.sources.images) / changed.image
    other.write_bytes(other.read_bytes() + b' ')
    pairs = [pair for plan in small_build.plans_of(config) for pair in plan.pairs]
    wanted = f'pair {renamed.key!r} was made from ' if renamed_first else f'{other} has SHA-256 '
    assert _difference(config, pairs).startswith(wanted)


@pytest.mark.parametrize('member', ['image', 'mask'])
@pytest.mark.parametrize('digest', ['', 'no digest', 'ab' * 31, 'ab' * 33, 'AB' * 32, 'ab' * 32])
def test_a_forged_digest_in_the_index_is_a_difference(config, member, digest):
    plans = small_build.plans_of(config)
    made = small_build.publish_plans(config, plans)
    path = pathlib.Path(made, 'records.jsonl')
    first, *others = path.read_text().splitlines()
    entry = json.loads(first)
    forged = json.dumps({**entry, f'{member}_sha256': digest}, sort_keys=True)
    forgery.replace_file(made, 'records.jsonl', '\n'.join([forged, *others, '']).encode())
    folder = getattr(config.sources, f'{member}s')
    now = entry[f'{member}_sha256'][:12]
    found = _difference(config, [pair for plan in plans for pair in plan.pairs])
    assert found == f'{folder}/{entry[member]} has SHA-256 {now} now and had {digest[:12]} then'
