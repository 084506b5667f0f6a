import pytest

from seg_pipeline import errors
from seg_pipeline.building import markers
from seg_pipeline.building.markers import Outcome, Result
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
    markers.remove(config.work_dir, found, 'tfrecord')
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
