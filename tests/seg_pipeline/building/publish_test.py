import dataclasses
import hashlib
import json
import pathlib
import threading

import cv2
import numpy as np
import pytest

from seg_pipeline import errors
from seg_pipeline.building import existing, preparation, publish
from seg_pipeline.dataset import manifest
from seg_pipeline.imaging import rejects
from seg_pipeline.labels import label_map
from seg_pipeline.planning import assignment, pairing, sharding
from tests import fake_data


def _job(root, **options):
    return preparation.Preparation(
        images=str(root / 'source' / 'images'),
        masks=str(root / 'source' / 'masks'),
        output_dir=str(root / 'out'),
        label_map=label_map.read(str(root / 'source' / 'labels.csv')),
        image_size=(16, 16),
        split_options={'splits': {'train': '4/5', 'validation': '1/5'}, 'seed': 0},
        **options,
    )


@pytest.fixture
def job(tmp_path):
    fake_data.write_pairs(tmp_path / 'source', num_pairs=10)
    return _job(tmp_path)


def _plans(job, shards=2):
    pairs = pairing.match_pairs(pairing.list_files(job.images), pairing.list_files(job.masks)).pairs
    split_of = {pair.key: 'validation' if pair.key in ('0003', '0008') else 'train' for pair in pairs}
    return preparation.with_fingerprints(job, sharding.plan(pairs, split_of, {'train': shards}, 0, job.dataset_name))


def _publish(job, plans, **options):
    summaries = [preparation.write_shard(job, plan) for plan in plans]
    return publish.publish(publish.Publication(job, tuple(p.name for p in plans), **options), summaries)


def _digests(directory):
    root = pathlib.Path(directory)
    files = [path for path in root.rglob('*') if path.is_file()]
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_records_hold_the_resized_pair(job):
    dataset_dir = _publish(job, _plans(job))
    found = fake_data.read_split(dataset_dir, 'train') + fake_data.read_split(dataset_dir, 'validation')
    assert len(found) == 10
    for record in found:
        photo, mask = fake_data.draw_pair(int(record.file_name[4:8]), (48, 40), 4, seed=0)
        # 48 -> 16 is a whole factor: the middle of three pixels. 40 -> 16 is not: centres lie at 1.25, 3.75, ...
        columns = np.floor((np.arange(16) + 0.5) * 2.5).astype(int)
        np.testing.assert_array_equal(record.mask, mask[1::3][:, columns])
        expected = cv2.resize(photo, (16, 16), interpolation=cv2.INTER_AREA)
        np.testing.assert_array_equal(record.image, expected)


def test_equal_inputs_elsewhere_give_equal_bytes(job, tmp_path):
    first = _digests(_publish(job, _plans(job)))
    fake_data.write_pairs(tmp_path / 'again' / 'source', num_pairs=10)
    other = _job(tmp_path / 'again')
    assert _digests(_publish(other, _plans(other))) == first
    fake_data.write_pairs(tmp_path / 'seed' / 'source', num_pairs=10, seed=1)
    changed = _job(tmp_path / 'seed')
    assert _digests(_publish(changed, _plans(changed)))[manifest.FILE_NAME] != first[manifest.FILE_NAME]


def test_finished_shards_are_taken_over_and_the_rest_is_made(job, monkeypatch):
    plans = _plans(job)
    preparation.write_shard(job, plans[0])
    read = []
    original = preparation.read_pair
    monkeypatch.setattr(preparation, 'read_pair', lambda job, pair: read.append(pair.key) or original(job, pair))
    _publish(job, plans)
    assert sorted(read) == sorted(pair.key for plan in plans[1:] for pair in plan.pairs)


def test_an_altered_shard_in_the_work_directory_is_made_again(job):
    plans = _plans(job)
    preparation.write_shard(job, plans[0])
    path = pathlib.Path(preparation.shard_path(job, plans[0].fingerprint))
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + b'x')
    preparation.write_shard(job, plans[0])
    assert path.read_bytes() == whole


def test_a_changed_source_changes_the_fingerprint_of_its_shard_alone(job):
    before = {plan.name: plan.fingerprint for plan in _plans(job)}
    photo = pathlib.Path(job.images) / 'img_0005.png'
    cv2.imwrite(str(photo), fake_data.draw_pair(99, (48, 40), 4, 0)[0])
    after = {plan.name: plan.fingerprint for plan in _plans(job)}
    (changed,) = [name for name in before if before[name] != after[name]]
    assert '0005' in [pair.key for plan in _plans(job) if plan.name == changed for pair in plan.pairs]


def test_the_fingerprint_of_a_data_set_is_that_of_its_sources_and_of_the_reasons_of_splits(job):
    def fingerprint(name, **options):
        there = dataclasses.replace(job, output_dir=f'{job.output_dir}/{name}')
        return manifest.read(_publish(there, _plans(there), **options)).fingerprint

    first = fingerprint('first')
    assert fingerprint('again') == first
    reasons = {'0005': assignment.Placement('train', 'rare class coat')}
    assert fingerprint('reasons', placements=reasons) != first
    cv2.imwrite(f'{job.images}/img_0005.png', fake_data.draw_pair(99, (48, 40), 4, 0)[0])
    assert fingerprint('changed') != first


@pytest.mark.parametrize(
    'options', [{'image_encoding': 'jpeg'}, {'mask_format': 'ids'}, {'image_size': (8, 8)}, {'max_pixels': 10_000}]
)
def test_every_option_that_decides_bytes_changes_the_fingerprint(job, options):
    changed = dataclasses.replace(job, **options)
    assert _plans(changed)[0].fingerprint != _plans(job)[0].fingerprint


def _spoil(job):
    mask = pathlib.Path(job.masks) / 'seg_0004.png'
    cv2.imwrite(str(mask), np.full((48, 40), 77, np.uint8))


def test_rejects_forbid_publication_or_are_left_out(job):
    _spoil(job)
    plans = _plans(job)
    before = rejects.Reject('x', rejects.NO_MASK, 'x.png: no mask', image='x.png')
    assert _publish(job, plans, rejects=(before,)) is None
    assert not pathlib.Path(job.dataset_dir).exists()
    work = publish.Publication(job, tuple(plan.name for plan in plans), (before,))
    assert [(r.key, r.reason) for r in publish.read_rejects(work, plans)] == [
        ('0004', rejects.UNKNOWN_ID),
        ('x', rejects.NO_MASK),
    ]
    dataset_dir = _publish(job, plans, rejects=(before,), allow_rejects=True)
    assert [(r.key, r.reason) for r in publish.read_rejects(work, plans)] == [
        ('0004', rejects.UNKNOWN_ID),
        ('x', rejects.NO_MASK),
    ]
    built = manifest.read(dataset_dir)
    assert built.num_records('train') + built.num_records('validation') == 9


def test_a_shard_with_rejects_is_tried_again(job, tmp_path):
    """Whoever mends the permissions of a file changes neither its size nor its time."""
    plans = _plans(job)
    mask = pathlib.Path(job.masks) / 'seg_0004.png'
    kept = mask.rename(tmp_path / 'elsewhere.png')
    assert sum(len(preparation.write_shard(job, plan).rejects) for plan in plans) == 1
    kept.rename(mask)
    assert sum(len(preparation.write_shard(job, plan).rejects) for plan in plans) == 0


def test_the_work_directory_is_gone_afterwards(job):
    _publish(job, _plans(job))
    assert not pathlib.Path(job.work_dir).exists()


def test_a_missing_shard_is_not_published(job):
    plans = _plans(job)
    work = publish.Publication(job, tuple(plan.name for plan in plans))
    with pytest.raises(errors.UserError, match='2 of 3 shards'):
        publish.publish(work, [preparation.write_shard(job, plan) for plan in plans[1:]])
    assert not pathlib.Path(job.dataset_dir).exists()


def test_publishing_twice_and_at_once_is_harmless(job):
    plans = _plans(job)
    work = publish.Publication(job, tuple(plan.name for plan in plans))
    summaries = [preparation.write_shard(job, plan) for plan in plans]
    results = []
    threads = [threading.Thread(target=lambda: results.append(publish.publish(work, summaries))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [job.dataset_dir] * 4
    assert publish.publish(work, summaries) == job.dataset_dir
    assert manifest.read(job.dataset_dir).num_records('train') == 8


def test_another_data_set_in_the_same_place_is_refused(job):
    _publish(job, _plans(job))
    other = dataclasses.replace(job, image_encoding='jpeg')
    with pytest.raises(errors.UserError, match='holds a data set of fingerprint'):
        _publish(other, _plans(other))


def test_differences_name_file_and_values(job):
    plans = _plans(job)
    _publish(job, plans)
    pairs = [pair for plan in plans for pair in plan.pairs]
    assert existing.difference(job, pairs) is None
    other = dataclasses.replace(job, image_encoding='jpeg')
    assert existing.difference(other, pairs) == "options: image_encoding is 'png' there and 'jpeg' here"
    other = dataclasses.replace(job, split_options={**job.split_options, 'stratify': 'rare'})
    assert existing.difference(other, pairs) == "options: stratify is None there and 'rare' here"
    assert existing.difference(job, pairs[1:]) == f'pair {pairs[0].key!r} is in it and has no files here'
    assert existing.difference(job, [*pairs, pairing.Pair('x', 'x', 'x')]) == "pair 'x' is here and not in it"
    photo = pathlib.Path(job.images) / 'img_0005.png'
    photo.write_bytes(photo.read_bytes() + b' ')
    assert str(photo) in existing.difference(job, pairs)


def test_a_rejected_pair_makes_a_difference_once_it_is_mended(job, tmp_path):
    mask = pathlib.Path(job.masks) / 'seg_0004.png'
    good = mask.read_bytes()
    _spoil(job)
    plans = _plans(job)
    pairs = [pair for plan in plans for pair in plan.pairs]
    _publish(job, plans, allow_rejects=True)
    assert existing.difference(job, pairs) is None
    mask.write_bytes(good)
    assert existing.difference(job, pairs) == "pair '0004' was rejected then and is good now"


def test_records_say_why_and_duplicates_are_listed(job):
    plans = _plans(job)
    keys = [pair.key for plan in plans for pair in plan.pairs]
    reasons = {key: assignment.Placement('train', 'hash') for key in keys}
    reasons['0002'] = assignment.Placement('train', 'identical to 0001', '0001')
    dataset_dir = pathlib.Path(
        _publish(job, plans, placements=reasons, duplicates=(('0001', '0002'), ('0004', 'gone')))
    )
    lines = [json.loads(line) for line in (dataset_dir / manifest.RECORDS_FILE).read_text().splitlines()]
    found = {line['key']: (line['split_reason'], line['group']) for line in lines}
    assert found == {key: (reasons[key].reason, reasons[key].group) for key in keys}
    (group,) = json.loads((dataset_dir / manifest.DUPLICATES_FILE).read_text())
    assert [(line['key'], line['split_reason']) for line in group] == [('0001', 'hash'), ('0002', 'identical to 0001')]


def test_an_output_that_cannot_be_written(job):
    blocked = pathlib.Path(job.output_dir)
    blocked.write_text('a file where a directory should be')
    with pytest.raises(errors.UserError, match=r'out.*cannot be written'):
        preparation.write_shard(job, _plans(job)[0])
