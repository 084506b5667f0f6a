import pickle

import numpy as np
import pytest

from seg_pipeline import errors
from seg_pipeline.building import markers
from seg_pipeline.building.markers import Outcome, Result, ShardSummary, Summaries
from seg_pipeline.dataset import manifest, statistics
from seg_pipeline.imaging import rejects
from tests.seg_pipeline.building import small_build


def test_a_marker_holds_the_summary_and_the_entries_under_the_names_of_the_plan(config):
    plan, *_ = small_build.plans_of(config)
    assert markers.read(config.work_dir, plan) is None
    made = small_build.write_shard(config, plan)
    found = markers.read(config.work_dir, plan)
    assert (found.shard, found.rejects) == (made.shard, ())
    assert found.statistics.to_json() == made.statistics.to_json()
    entries = markers.read_entries(config.work_dir, found)
    assert [(entry.key, entry.shard, entry.index) for entry in entries] == [
        (pair.key, plan.name, index) for index, pair in enumerate(plan.pairs)
    ]
    markers.remove(config.work_dir, found.fingerprint, 'tfrecord')
    with pytest.raises(FileNotFoundError, match='run the command again'):
        markers.read_entries(config.work_dir, found)


def test_an_outcome_comes_back_once(tmp_path):
    reject = rejects.Reject('k', rejects.NO_MASK, 'k.png: no mask', image='k.png')
    outcome = Outcome(Result.EMPTIED, '', {'train': 3, 'test': 0}, (reject,), ('test',))
    path = markers.new_outcome_path(str(tmp_path))
    assert path != markers.new_outcome_path(str(tmp_path))
    markers.write_outcome(path, outcome)
    assert markers.take_outcome(path) == outcome
    with pytest.raises(errors.UserError, match='without an outcome'):
        markers.take_outcome(path)


def _summary(name, split, seed, num_records=3):
    random = np.random.default_rng(seed)
    counted = statistics.SplitStatistics()
    for number in range(num_records):
        mask = random.permutation(np.arange(1024, dtype=np.uint16) % 200).astype(np.uint8).reshape(32, 32)
        counted.add(random.integers(0, 256, (32, 32, 3), np.uint8), mask, (32, 32), f'{name}-{number}')
    shard = manifest.Shard(name, split, num_records, 1, 1, '0' * 64)
    return ShardSummary(shard, f'{seed:064x}', (rejects.Reject(name, rejects.NO_MASK, 'no mask'),), counted)


def test_summaries_are_the_same_however_they_are_merged():
    made = [_summary(f's{n}', ('train', 'validation')[n % 3 == 0], n) for n in range(7)]
    one_by_one = Summaries.of(made)
    by_workers = Summaries.of(made[4:])
    by_workers.merge(Summaries.of(made[:4]))
    by_workers.merge(Summaries())
    for split in ('train', 'validation'):
        wanted = statistics.merged(s.statistics for s in made if s.shard.split == split).to_json()
        assert one_by_one.statistics[split].to_json() == by_workers.statistics[split].to_json() == wanted
    assert {s.shard.name for s in by_workers.shards} == {s.shard.name for s in made}
    assert sorted(one_by_one.shards, key=str) == sorted(by_workers.shards, key=str)


def test_what_is_known_of_many_shards_of_200_classes_does_not_grow_with_their_statistics():
    """The statistics of one shard are 19,900 pairs of classes."""
    sizes = [
        len(pickle.dumps(Summaries.of(_summary(f's{n}', 'train', n, 1) for n in range(count)))) for count in (1, 9)
    ]
    assert sizes[0] > 100_000
    assert sizes[1] - sizes[0] < 8 * 1000
