import dataclasses
import hashlib
import itertools
import json
import os
import pathlib
import threading

import cv2
import numpy as np
import pytest

from seg_pipeline import errors
from seg_pipeline.building import publish
from seg_pipeline.building.markers import FinishedShard, Result, Summaries
from seg_pipeline.dataset import integrity, manifest, place, record_index
from seg_pipeline.imaging import rejects
from seg_pipeline.planning import assignment
from tests import fake_data
from tests.seg_pipeline.building import small_build


def _digests(directory):
    root = pathlib.Path(directory)
    files = [path for path in root.rglob('*') if path.is_file()]
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_records_hold_the_resized_pair(config):
    dataset_dir = small_build.publish_plans(config, small_build.plans_of(config))
    found = fake_data.read_split(dataset_dir, 'train') + fake_data.read_split(dataset_dir, 'validation')
    assert len(found) == 10
    for record in found:
        photo, mask = fake_data.draw_pair(int(record.file_name[4:8]), (48, 40), 4, seed=0)
        # 48 -> 16 is a whole factor: the middle of three pixels. 40 -> 16 is not: centres lie at 1.25, 3.75, ...
        columns = np.floor((np.arange(16) + 0.5) * 2.5).astype(int)
        np.testing.assert_array_equal(record.mask, mask[1::3][:, columns])
        expected = cv2.resize(photo, (16, 16), interpolation=cv2.INTER_AREA)
        np.testing.assert_array_equal(record.image, expected)


def test_equal_inputs_elsewhere_give_equal_bytes(config, tmp_path):
    first = _digests(small_build.publish_plans(config, small_build.plans_of(config)))
    fake_data.write_pairs(tmp_path / 'again' / 'source', num_pairs=10)
    other = small_build.make_config(tmp_path / 'again')
    assert _digests(small_build.publish_plans(other, small_build.plans_of(other))) == first
    fake_data.write_pairs(tmp_path / 'seed' / 'source', num_pairs=10, seed=1)
    changed = small_build.make_config(tmp_path / 'seed')
    assert (
        _digests(small_build.publish_plans(changed, small_build.plans_of(changed)))[manifest.FILE_NAME]
        != first[manifest.FILE_NAME]
    )


def test_rejects_forbid_publication_or_are_left_out(config):
    small_build.spoil(config)
    plans = small_build.plans_of(config)
    before = rejects.Reject('x', rejects.NO_MASK, 'x.png: no mask', image='x.png')
    expected = [('0004', rejects.UNKNOWN_ID), ('x', rejects.NO_MASK)]
    refused = fake_data.publish_plans(config, plans, rejects=(before,))
    assert (refused.result, refused.directory, refused.fingerprint) == (Result.REJECTED, '', '')
    assert [(r.key, r.reason) for r in refused.rejects] == expected
    assert not pathlib.Path(config.dataset_dir).exists()
    accepted = fake_data.publish_plans(config, plans, rejects=(before,), allow_rejects=True)
    assert accepted.result is Result.PUBLISHED
    assert [(r.key, r.reason) for r in accepted.rejects] == expected
    dataset_dir = accepted.directory
    assert record_index.read_rejects(dataset_dir) == list(accepted.rejects)
    assert manifest.read(dataset_dir).fingerprint == accepted.fingerprint
    assert accepted.num_records == {'train': 7, 'validation': 2}
    built = manifest.read(dataset_dir)
    assert built.num_records('train') + built.num_records('validation') == 9


def test_the_work_directory_is_gone_afterwards(config):
    small_build.publish_plans(config, small_build.plans_of(config))
    assert not pathlib.Path(config.work_dir).exists()


def test_a_missing_shard_is_not_published(config):
    plans = small_build.plans_of(config)
    with (
        fake_data.request_for(config, plans) as work,
        pytest.raises(errors.UserError, match='2 of 3 shards'),
    ):
        publish.publish(work, Summaries.of(small_build.write_shard(config, plan) for plan in plans[1:]))
    assert not pathlib.Path(config.dataset_dir).exists()


def test_publishing_twice_and_at_once_is_harmless(config):
    plans = small_build.plans_of(config)
    with fake_data.request_for(config, plans) as work:
        made = Summaries.of(small_build.write_shard(config, plan) for plan in plans)
        results = []
        threads = [threading.Thread(target=lambda: results.append(publish.publish(work, made))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [outcome.directory for outcome in results] == [config.dataset_dir] * 4
        assert len({outcome.fingerprint for outcome in results}) == 1
        assert publish.publish(work, made).directory == config.dataset_dir
        assert manifest.read(config.dataset_dir).num_records('train') == 8


def test_another_data_set_in_the_same_place_is_refused(config):
    small_build.publish_plans(config, small_build.plans_of(config))
    other = small_build.with_records(config, image_encoding='jpeg')
    with pytest.raises(errors.UserError, match='holds a data set of fingerprint'):
        small_build.publish_plans(other, small_build.plans_of(other))


def test_records_say_why_and_duplicates_are_listed(config):
    plans = small_build.plans_of(config)
    keys = [pair.key for plan in plans for pair in plan.pairs]
    reasons = {key: assignment.Assignment('train', 'hash') for key in keys}
    reasons['0002'] = assignment.Assignment('train', 'identical to 0001', '0001', '0001')
    reasons['0005'] = assignment.Assignment('train', 'near-duplicate of 0001 at distance 3', '0001', '0001', 3)
    dataset_dir = pathlib.Path(
        small_build.publish_plans(
            config, plans, assignments=reasons, duplicates=(('0001', '0002', '0005'), ('0004', 'not there'))
        )
    )
    lines = [json.loads(line) for line in (dataset_dir / manifest.RECORDS_FILE).read_text().splitlines()]
    found = {line['key']: (line['split_reason'], line['group']) for line in lines}
    assert found == {key: (reasons[key].reason, reasons[key].group) for key in keys}
    (group,) = json.loads((dataset_dir / manifest.DUPLICATES_FILE).read_text())
    told = [(line['key'], line['split_reason'], line['duplicate_of'], line['distance']) for line in group]
    assert told == [
        ('0001', 'hash', None, None),
        ('0002', 'identical to 0001', '0001', None),
        ('0005', 'near-duplicate of 0001 at distance 3', '0001', 3),
    ]
    entries = {entry.key: entry for entry in record_index.of(str(dataset_dir))}
    assert (entries['0005'].duplicate_of, entries['0005'].distance) == ('0001', 3)


def test_an_empty_directory_in_the_place_of_the_data_set_is_taken(config):
    """As an interrupted `mkdir`, or a removal of the files alone, leaves it."""
    os.makedirs(config.dataset_dir)
    assert not place.is_taken(config.dataset_dir)
    made = small_build.publish_plans(config, small_build.plans_of(config))
    assert made == config.dataset_dir
    assert list(integrity.problems(made)) == []


@pytest.mark.parametrize('make', [lambda path: path.write_text(''), lambda path: path.symlink_to('nothing')])
def test_what_is_no_empty_directory_is_not_taken(config, make):
    path = pathlib.Path(config.dataset_dir)
    path.parent.mkdir(parents=True)
    make(path)
    assert place.is_taken(config.dataset_dir)


def _shards_of(counts):
    """Finished shards with so many records each."""
    names = [f'clothing_parsing-train.tfrecord-{i:05d}-of-{len(counts):05d}' for i in range(len(counts))]
    made = [
        manifest.Shard(name, 'train', count, 300 * count, 284 * count, '0' * 64)
        for name, count in zip(names, counts, strict=True)
    ]
    return [FinishedShard(shard, f'{i:064x}', ()) for i, shard in enumerate(made)]


def _sampled(config, counts):
    """The places of the sampled records among all, shard after shard."""
    shards = _shards_of(counts)
    first = dict(zip((one.fingerprint for one in shards), itertools.accumulate(counts, initial=0), strict=False))
    found = list(publish.sample(config, shards))
    for one, indices in found:
        assert indices
        assert all(0 <= index < one.shard.num_records for index in indices)
    return [first[one.fingerprint] + index for one, indices in found for index in indices]


@pytest.mark.parametrize(
    ('counts', 'number'),
    [
        ([1], 1),
        ([0, 1, 0], 1),
        ([3, 5], 8),
        ([9], 8),
        ([700, 3, 0, 197], 9),
        ([1, 1500, 399], 19),
        ([2000, 7, 400, 593], 30),
        ([1, 2600, 0, 900, 1498, 1], 32),
        ([100_000], 32),
    ],
)
def test_the_sample_is_of_documented_size_and_even(config, counts, number):
    """One of a hundred, 8 to 32; no run of records without one is longer than where they are even."""
    places = _sampled(config, counts)
    assert len(set(places)) == len(places) == number
    assert places == sorted(places)
    total = sum(counts)
    assert max(after - before for before, after in itertools.pairwise([-1, *places, total])) <= total / number + 1
    if number >= 20:
        assert {place * 20 // total for place in places} == set(range(20))
    assert abs(sum(places) / number - (total - 1) / 2) <= 1  # neither more from the beginning nor from the end


def test_the_sample_in_an_object_store_is_of_four_shards(config):
    """Each of them is downloaded."""
    config = dataclasses.replace(config, output_dir='s3://bucket/out')
    shards = _shards_of([100, 0] + [50, 150] * 4 + [100])
    found = list(publish.sample(config, shards))
    assert [shards.index(one) for one, _ in found] == [
        0,
        3,
        6,
        8,
    ]  # the first, third, sixth and eighth of those with records
    assert sum(len(indices) for _, indices in found) == 8
    few = _shards_of([10, 10, 10, 10])
    assert [one for one, _ in publish.sample(config, few)] == few
