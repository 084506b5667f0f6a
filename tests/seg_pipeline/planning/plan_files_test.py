import json
import os
import pathlib
import pickle

import pytest

from seg_pipeline.building import work_dir
from seg_pipeline.imaging import rejects
from seg_pipeline.planning import plan_files
from seg_pipeline.planning.assignment import Assignment
from seg_pipeline.planning.pairing import SourcePair
from seg_pipeline.planning.sharding import ShardPlan


def _shards(sizes):
    """Shards of some pairs with names that no format may take for its own."""
    return [
        ShardPlan(
            f'shard {n}',
            'train' if n else 'validation',
            tuple(SourcePair(f'{n}/\u00e9 "{k}"', f'{n}/{k}\n.jpg', f'{n}/{k}.png') for k in range(size)),
            fingerprint=f'f{n}',
        )
        for n, size in enumerate(sizes)
    ]


@pytest.mark.parametrize('pairs_per_file', [1, 3, 10_000])
def test_workers_read_what_was_planned(tmp_path, monkeypatch, pairs_per_file):
    monkeypatch.setattr(plan_files, '_PAIRS_PER_FILE', pairs_per_file)
    wanted = _shards([2, 0, 5, 1])
    first = wanted[2].pairs[0].key
    reasons = {
        first: Assignment('train', 'hash'),
        wanted[0].pairs[1].key: Assignment('validation', 'near-duplicate', 'a', first, 3),
    }
    left_out = [rejects.Reject('x', rejects.NO_MASK, 'x.png: no mask', image='x.png')]
    sets = [(first, 'y'), ('a', 'b', 'c')]
    planned = (plan_files.ShardToMake(shard, reasons) for shard in wanted)
    written = plan_files.written(str(tmp_path), planned, rejects=left_out, duplicates=sets)
    with written as (plan, shards):
        sent = pickle.loads(pickle.dumps(plan))  # as an engine does
        assert list(sent.shards()) == shards
        assert [shard.load() for shard in shards] == wanted
        assert [shard.num_pairs for shard in shards] == [2, 0, 5, 1]
        assert {key: found for shard in shards for key, found in shard.assignments().items()} == reasons
        assert shards[3].assignments() == {}
        assert (list(sent.rejects()), list(sent.duplicates())) == (left_out, sets)
    assert list(tmp_path.iterdir()) == []


def test_what_an_engine_carries_does_not_grow_with_the_pairs(tmp_path):
    sizes = []
    for number in (10, 1000):
        with plan_files.written(str(tmp_path / str(number)), map(plan_files.ShardToMake, _shards([number]))) as (
            plan,
            shards,
        ):
            sizes.append((len(pickle.dumps(plan)), len(pickle.dumps(shards))))
    assert abs(sizes[0][0] - sizes[1][0]) < 10
    assert abs(sizes[0][1] - sizes[1][1]) < 20


def test_a_plan_that_cannot_be_written_leaves_nothing(tmp_path):
    def broken():
        yield plan_files.ShardToMake(_shards([1])[0])
        raise ValueError('as planned')

    with pytest.raises(ValueError, match='as planned'), plan_files.written(str(tmp_path), broken()):
        pass
    assert list(tmp_path.iterdir()) == []


def test_the_plan_of_a_living_command_stays_and_that_of_a_killed_one_goes(tmp_path):
    directory = str(tmp_path / 'work')
    dead = pathlib.Path(directory) / f'{plan_files.PREFIX}dead'
    dead.mkdir(parents=True)
    (dead / '00000.jsonl').write_text(json.dumps(['a', 'b', 'c', None]))
    with plan_files.written(directory, map(plan_files.ShardToMake, _shards([2]))) as (plan, (shard,)):
        assert plan_files.is_living(plan.directory)
        assert not plan_files.is_living(str(dead))
        name = os.path.basename(plan.directory)
        assert work_dir.unowned(directory, {name}) == [f'{directory}/{plan_files.PREFIX}dead/00000.jsonl']
        work_dir.remove_stale(directory)
        assert os.listdir(directory) == [name]
        assert len(shard.load().pairs) == 2
    work_dir.remove_stale(directory)
    assert not os.path.exists(directory)
