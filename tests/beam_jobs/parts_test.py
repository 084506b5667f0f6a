"""Shards that are made in parts, by as many workers as there are, and put together: the same data set."""

import hashlib
import os
import pathlib

import cv2
import numpy as np
import pytest

from beam_jobs import pipeline, progress, runners
from seg_pipeline.building import markers, shard
from seg_pipeline.building.config import BuildConfig, RecordOptions, SourceFolders
from seg_pipeline.building.markers import Result
from seg_pipeline.dataset import manifest
from seg_pipeline.labels import label_map
from seg_pipeline.planning import sharding
from seg_pipeline.planning.split_options import SplitOptions
from tests import fake_data

_SPLITS = SplitOptions(seed=1, num_shards='train:2')


@pytest.fixture
def source(tmp_path):
    fake_data.write_pairs(tmp_path / 'source', num_pairs=23, num_classes=6)
    return tmp_path / 'source'


def _run(source, out, *beam_flags, file_format='tfrecord', **options):
    build = BuildConfig(
        SourceFolders(str(source / 'images'), str(source / 'masks')),
        str(out),
        RecordOptions(label_map.read(str(source / 'labels.csv')), image_size=(16, 16), file_format=file_format),
        split_options=_SPLITS.to_json(),
    )
    beam_options = runners.parse_options(list(beam_flags or ['--direct_num_workers=1']))
    return build, pipeline.run(pipeline.JobConfig(build, _SPLITS, **options), beam_options)


def _digests(directory):
    files = sorted(path for path in pathlib.Path(directory).rglob('*') if path.is_file())
    return {str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _most(monkeypatch, number):
    """Lets a unit have at most so many pairs."""
    monkeypatch.setattr(sharding, '_LEAST_PER_UNIT', 1)
    monkeypatch.setattr(sharding, '_MOST_PER_UNIT', number)
    monkeypatch.setattr(sharding, '_UNITS_PER_WORKER', 1)


@pytest.fixture
def shown(monkeypatch):
    """What the progress of each job says."""
    found = []

    class Recorded(progress.ShardProgress):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            found.append(self)

    monkeypatch.setattr(progress, 'ShardProgress', Recorded)
    return found


@pytest.mark.parametrize(
    ('most', 'flags', 'options'),
    [
        (1, (), {}),
        (4, (), {}),
        (4, (), {'paranoid': True}),
        (4, ('--direct_num_workers=2', '--direct_running_mode=multi_threading'), {}),
        (3, ('--direct_num_workers=2', '--direct_running_mode=multi_processing'), {}),
    ],
)
def test_parts_give_the_same_data_set(source, tmp_path, monkeypatch, shown, most, flags, options):
    _, whole = _run(source, tmp_path / 'whole', **options)
    _most(monkeypatch, most)
    build, outcome = _run(source, tmp_path / 'parts', *flags, **options)
    assert outcome.result is Result.PUBLISHED
    assert _digests(outcome.directory) == _digests(whole.directory)
    assert outcome.warnings == whole.warnings
    assert not os.path.exists(build.work_dir)
    number = {1: 23, 3: 8, 4: 8}[most]  # of 9, 9 and 5 pairs
    assert shown[-1].place == f'{number}/{number} parts of shards, 23/23 pairs'
    assert shown[0].place == '3/3 shards, 23/23 pairs'


def test_what_is_no_sequence_of_records_is_made_at_once(source, tmp_path, monkeypatch, shown):
    _most(monkeypatch, 4)
    for options in ({'file_format': 'array_record'}, {'dry_run': True}):
        _run(source, tmp_path / 'out', **options)
        assert shown[-1].place == '3/3 shards, 23/23 pairs'


def test_finished_parts_are_taken_over_and_shards_of_other_parts_too(source, tmp_path, monkeypatch, capsys):
    _, whole = _run(source, tmp_path / 'whole')
    _most(monkeypatch, 4)
    made, write_unit, concatenate = [], shard.write_unit, shard._concatenate

    def dying(sources, options, work_dir, unit, *, paranoid):
        if len(made) == 3:
            raise KeyboardInterrupt
        made.append(unit)
        write_unit(sources, options, work_dir, unit, paranoid=paranoid)

    monkeypatch.setattr(shard, 'write_unit', dying)
    with pytest.raises(KeyboardInterrupt):
        _run(source, tmp_path / 'out')
    capsys.readouterr()
    monkeypatch.setattr(shard, 'write_unit', write_unit)
    joined = []

    def once(options, work_dir, plan, parts):
        if joined:
            raise KeyboardInterrupt
        joined.append(plan)
        return concatenate(options, work_dir, plan, parts)

    monkeypatch.setattr(shard, '_concatenate', once)
    with pytest.raises(KeyboardInterrupt):
        _run(source, tmp_path / 'out')
    assert capsys.readouterr().err.startswith('continuing: 3 of 8 parts of shards are already made')
    # The shard that was put together has no parts any more, and is the same whatever its parts were.
    monkeypatch.setattr(shard, '_concatenate', concatenate)
    _most(monkeypatch, 100)
    _, outcome = _run(source, tmp_path / 'out', clean=True)
    assert 'continuing: 1 of 3 shards are already made' in capsys.readouterr().err
    assert _digests(outcome.directory) == _digests(whole.directory)


def test_a_part_that_a_repeated_attempt_makes_again_does_not_stay(source, tmp_path, monkeypatch):
    _most(monkeypatch, 4)
    joined = shard._join

    def repeated(sources, options, work_dir, plan, units, paranoid):
        summary = joined(sources, options, work_dir, plan, units, paranoid)
        shard.write(sources, options, work_dir, units[0])
        return summary

    monkeypatch.setattr(shard, '_join', repeated)
    build, outcome = _run(source, tmp_path / 'out')
    assert outcome.result is Result.PUBLISHED
    assert not os.path.exists(build.work_dir)


def test_of_a_shard_with_rejects_the_parts_are_looked_at_again(source, tmp_path, monkeypatch):
    _, whole = _run(source, tmp_path / 'whole')
    mask = source / 'masks' / 'seg_0005.png'
    good, status = mask.read_bytes(), mask.stat()
    cv2.imwrite(str(mask), np.full((48, 40), 99, np.uint8))
    _most(monkeypatch, 4)
    build, refused = _run(source, tmp_path / 'out')
    assert (refused.result, [reject.key for reject in refused.rejects]) == (Result.REJECTED, ['0005'])
    mask.write_bytes(good)
    os.utime(mask, ns=(status.st_atime_ns, status.st_mtime_ns))
    _, outcome = _run(source, tmp_path / 'out', clean=True)
    assert _digests(outcome.directory) == _digests(whole.directory)
    assert not os.path.exists(build.work_dir)


def test_parts_of_shards_with_rejects_go_when_it_is_published_without_these(source, tmp_path, monkeypatch):
    cv2.imwrite(str(source / 'masks' / 'seg_0005.png'), np.full((48, 40), 99, np.uint8))
    _, whole = _run(source, tmp_path / 'whole', allow_rejects=True)
    _most(monkeypatch, 4)
    build, outcome = _run(source, tmp_path / 'out', allow_rejects=True)
    assert _digests(outcome.directory) == _digests(whole.directory)
    assert not os.path.exists(build.work_dir)


def test_parts_that_another_command_removes_are_made_again(source, tmp_path, monkeypatch):
    _most(monkeypatch, 4)
    concatenate, tried = shard._concatenate, []

    def robbed(options, work_dir, plan, parts):
        tried.append(plan.name)
        if len(tried) == 1:
            markers.remove(work_dir, parts[-1].fingerprint, 'tfrecord')
        if len(tried) == 3:  # the other command was faster
            concatenate(options, work_dir, plan, parts)
            for part in parts:
                markers.remove(work_dir, part.fingerprint, 'tfrecord')
        return concatenate(options, work_dir, plan, parts)

    monkeypatch.setattr(shard, '_concatenate', robbed)
    _, outcome = _run(source, tmp_path / 'out')
    assert [tried.count(name) for name in dict.fromkeys(tried)] == [2, 1, 1]
    assert manifest.read(outcome.directory).num_records('train') == 18


@pytest.mark.parametrize(
    ('pairs', 'workers', 'most'),
    [(1000, 1, 250), (1000, 2, 125), (1000, 16, 16), (10**7, 16, 250), (100, 64, 10), (10**7, None, 250), (0, 1, 10)],
)
def test_units_are_small_enough_to_keep_all_workers_busy(pairs, workers, most):
    assert sharding.pairs_per_unit(pairs, workers) == most


def test_parts_are_nearly_equal():
    for number in range(30):
        for most in range(1, 9):
            parts = [len(range(number)[part]) for part in sharding.units(number, most)]
            assert sum(parts) == number
            assert max(parts) <= most
            assert max(parts) - min(parts) <= 1
            assert len(parts) == max(1, -(-number // most))
