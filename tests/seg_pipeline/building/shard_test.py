import pathlib

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


def test_an_output_that_cannot_be_written(config):
    blocked = pathlib.Path(config.output_dir)
    blocked.write_text('a file where a directory should be')
    with pytest.raises(errors.UserError, match=r'out.*cannot be written'):
        small_build.write_shard(config, small_build.plans_of(config)[0])
