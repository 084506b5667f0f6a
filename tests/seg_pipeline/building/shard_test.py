import hashlib
import multiprocessing
import pathlib
import shutil

import pytest

from seg_pipeline import errors
from seg_pipeline.building import markers
from seg_pipeline.building import pair as pair_lib
from tests.seg_pipeline.building import small_build


def test_finished_shards_are_taken_over_and_the_rest_is_made(config, monkeypatch):
    plans = small_build.plans_of(config)
    small_build.write_shard(config, plans[0])
    read = []
    original = pair_lib.decode
    monkeypatch.setattr(pair_lib, 'decode', lambda *what: read.append(what[-1].key) or original(*what))
    small_build.publish_plans(config, plans)
    assert sorted(read) == sorted(pair.key for plan in plans[1:] for pair in plan.pairs)


def test_an_altered_shard_in_the_work_directory_is_made_again(config):
    plans = small_build.plans_of(config)
    small_build.write_shard(config, plans[0])
    path = pathlib.Path(markers.shard_path(config.work_dir, plans[0].fingerprint, config.records.file_format))
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + b'x')
    small_build.write_shard(config, plans[0])
    assert path.read_bytes() == whole


def test_a_shard_with_rejects_is_tried_again(config, tmp_path):
    """Whoever mends the permissions of a file changes neither its size nor its time."""
    plans = small_build.plans_of(config)
    mask = pathlib.Path(config.sources.masks) / 'seg_0004.png'
    kept = mask.rename(tmp_path / 'elsewhere.png')
    assert sum(len(small_build.write_shard(config, plan).rejects) for plan in plans) == 1
    kept.rename(mask)
    assert sum(len(small_build.write_shard(config, plan).rejects) for plan in plans) == 0


def test_a_shard_that_several_processes_make_at_the_same_time(config):
    """As an engine does that takes a living worker for dead, or repeats what is slow."""
    plan = small_build.plans_of(config)[0]
    context = multiprocessing.get_context('fork')
    together = context.Barrier(4)
    processes = [context.Process(target=_write_at_once, args=(config, plan, together)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    shard = pathlib.Path(markers.shard_path(config.work_dir, plan.fingerprint, config.records.file_format))
    summary = markers.read(config.work_dir, plan)
    assert hashlib.sha256(shard.read_bytes()).hexdigest() == summary.shard.sha256
    entries = len(markers.read_entries(config.work_dir, summary))
    assert entries == summary.shard.num_records == len(plan.pairs)
    left = {path.name for path in pathlib.Path(config.work_dir).iterdir()}
    shutil.rmtree(config.work_dir)
    small_build.write_shard(config, plan)
    assert left == {path.name for path in pathlib.Path(config.work_dir).iterdir()}


def _write_at_once(config, plan, together):
    original = markers.read

    def read(*arguments):
        found = original(*arguments)
        together.wait(timeout=30)  # each has seen that there is no such shard
        return found

    markers.read = read
    assert not small_build.write_shard(config, plan).rejects


def test_an_output_that_cannot_be_written(config):
    blocked = pathlib.Path(config.output_dir)
    blocked.write_text('a file where a directory should be')
    with pytest.raises(errors.UserError, match=r'out.*cannot be written'):
        small_build.write_shard(config, small_build.plans_of(config)[0])
