import hashlib
import json
import pathlib
import shutil
import subprocess
import sys
from fractions import Fraction

import cv2
import numpy as np
import pytest

from seg_pipeline.building import fingerprints, repair
from seg_pipeline.building import pair as pair_lib
from seg_pipeline.building.config import BuildConfig, RecordOptions, SourceFolders
from seg_pipeline.dataset import integrity, manifest
from seg_pipeline.dataset.provenance import Provenance
from seg_pipeline.labels import label_map, remapping
from seg_pipeline.planning import assignment, grouping, sharding
from seg_pipeline.planning.assignment import Assignment
from seg_pipeline.planning.pairing import SourcePair
from tests import fake_data

_COMMAND = "python -m beam_jobs.prepare_dataset --labels='a & b.csv' --seed=0"


def _make(root, **options):
    """A data set with everything that a command puts into one."""
    source = root / 'source'
    fake_data.write_pairs(source, num_pairs=8, num_classes=4)
    (source / 'images' / 'img_0009.png').symlink_to('img_0001.png')
    (source / 'masks' / 'seg_0009.png').symlink_to('seg_0001.png')
    (source / 'groups.csv').write_text('name,group\nbackground,background\nclass 1,rest\nclass 2,coat\nclass 3,rest\n')
    classes, mapping = remapping.read(
        str(source / 'groups.csv'), label_map.read_source(str(source / 'labels.csv'), ignore_id=255)
    )
    config = BuildConfig(
        SourceFolders(str(source / 'images'), str(source / 'masks')),
        str(root / 'out'),
        RecordOptions(classes, mapping, image_size=(16, 12), resize='letterbox', **options),
        split_options={'seed': 0, 'num_shards': ''},
    )
    keys = [f'{n:04d}' for n in range(1, 10)]
    split_of = {key: 'validation' if key in ('0003', '0004') else 'train' for key in keys}
    pairs = [SourcePair(key, f'img_{key}.png', f'seg_{key}.png') for key in keys]
    plans = sharding.plan(pairs, split_of, {'train': 2}, 0, config.dataset_name)
    plans = list(fingerprints.with_fingerprints(config.sources, config.records, plans))
    reasons = {key: Assignment(split, 'hash') for key, split in split_of.items()}
    reasons['0009'] = Assignment('train', 'identical to 0001; rare class coat', '0001', '0001')
    return fake_data.publish_plans(
        config,
        plans,
        assignments=reasons,
        duplicates=(('0001', '0009'),),
        provenance=Provenance.here(_COMMAND),
    ).directory


@pytest.fixture(scope='module')
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp('made')
    return root / 'source', pathlib.Path(_make(root))


@pytest.fixture
def source(made, tmp_path):
    return pathlib.Path(shutil.copytree(made[0], tmp_path / 'source', symlinks=True))


@pytest.fixture
def dataset_dir(made, tmp_path):
    return pathlib.Path(shutil.copytree(made[1], tmp_path / 'moved' / 'copy'))


def _repair(dataset_dir, source):
    found = repair.repair(str(dataset_dir), str(source / 'images'), str(source / 'masks'))
    return {file.name: file.refusal for file in found}


def _flip(path, position=None):
    data = bytearray(path.read_bytes())
    data[len(data) // 2 if position is None else position] ^= 0x20
    path.write_bytes(data)


def _files(dataset_dir):
    return sorted(path for path in dataset_dir.rglob('*') if path.is_file())


def _digests(dataset_dir):
    return {
        str(path.relative_to(dataset_dir)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in _files(dataset_dir)
    }


def test_every_file_but_the_sources_of_truth_is_made_again(dataset_dir, source):
    before = _digests(dataset_dir)
    kept = {manifest.FILE_NAME, manifest.RECORDS_FILE, manifest.REJECTED_FILE, manifest.PROVENANCE_FILE}
    damaged = sorted(before.keys() - kept)
    assert {manifest.CARD_FILE, manifest.DUPLICATES_FILE, manifest.STATISTICS_FILE, 'dataset_info.json'} < set(damaged)
    for name in damaged:
        _flip(dataset_dir / name, position=20)
    (dataset_dir / 'features.json').unlink()
    assert sorted(_repair(dataset_dir, source).items()) == [(name, None) for name in damaged]
    assert _digests(dataset_dir) == before
    assert [path.name for path in dataset_dir.parent.iterdir()] == ['copy']  # nothing is left beside it
    assert _repair(dataset_dir, source) == {}


def test_a_card_that_is_gone_with_its_directory_is_made_again_where_no_command_stood_in_it(tmp_path):
    made = pathlib.Path(fake_data.make_dataset(tmp_path, num_pairs=4, image_size=(8, 8)))
    shutil.rmtree((made / manifest.CARD_FILE).parent)
    assert _repair(made, tmp_path / 'source') == {manifest.CARD_FILE: None}
    assert list(integrity.problems(str(made))) == []


def test_a_card_is_made_again_with_the_command_of_the_provenance(dataset_dir, source):
    before = _digests(dataset_dir)
    (dataset_dir / manifest.CARD_FILE).unlink()
    assert _repair(dataset_dir, source) == {manifest.CARD_FILE: None}
    assert _digests(dataset_dir) == before


def test_a_lost_command_is_not_invented_and_stops_nothing_else(dataset_dir, source):
    for name in (manifest.PROVENANCE_FILE, manifest.CARD_FILE, manifest.STATISTICS_FILE):
        (dataset_dir / name).unlink()
    refusal = 'provenance.json is missing or damaged, and no other file holds the command'
    assert _repair(dataset_dir, source) == {
        manifest.CARD_FILE: refusal,
        manifest.PROVENANCE_FILE: refusal,
        manifest.STATISTICS_FILE: None,
    }


def test_only_bad_shards_are_read_again(dataset_dir, source, monkeypatch):
    before = _digests(dataset_dir)
    shard = next(dataset_dir.glob('*train*-00001-*'))
    shard.unlink()
    read = []
    original = pair_lib.decode
    monkeypatch.setattr(pair_lib, 'decode', lambda *what: read.append(what[-1].key) or original(*what))
    assert _repair(dataset_dir, source) == {shard.name: None}
    lines = [json.loads(line) for line in (dataset_dir / manifest.RECORDS_FILE).read_text().splitlines()]
    assert read == [line['key'] for line in lines if line['shard'] == shard.name]
    assert _digests(dataset_dir) == before


def test_a_changed_source_is_refused_with_both_values(dataset_dir, source):
    shard = next(dataset_dir.glob('*validation*'))
    _flip(shard)
    damaged = shard.read_bytes()
    image = source / 'images' / 'img_0003.png'
    was = hashlib.sha256(image.read_bytes()).hexdigest()
    cv2.imwrite(str(image), np.zeros((48, 40, 3), np.uint8))
    now = hashlib.sha256(image.read_bytes()).hexdigest()
    expected = f'{image} has changed: its SHA-256 is {now[:12]} and was {was[:12]}'
    assert _repair(dataset_dir, source) == {shard.name: expected}
    image.write_bytes(b'')
    (refusal,) = _repair(dataset_dir, source).values()
    assert refusal.startswith('a source is not what it was: ')
    assert shard.read_bytes() == damaged


def test_another_library_is_named(dataset_dir, source, monkeypatch):
    """It stands for all that makes other bytes of equal sources."""
    shard = next(dataset_dir.glob('*validation*'))
    _flip(shard)
    here = {**fingerprints.library_versions('tfrecord'), 'opencv': '9.9'}
    monkeypatch.setattr(fingerprints, 'library_versions', lambda file_format: here)
    original = pair_lib.serialize
    monkeypatch.setattr(pair_lib, 'serialize', lambda *what: original(*what) + b' ')
    (refusal,) = _repair(dataset_dir, source).values()
    assert refusal.startswith('made again, it has SHA-256 ')
    assert 'opencv is 9.9 here and was' in refusal


@pytest.mark.parametrize('name', [manifest.RECORDS_FILE, manifest.REJECTED_FILE])
def test_what_nothing_else_holds_is_not_invented(dataset_dir, source, name):
    with (dataset_dir / name).open('ab') as file:
        file.write(b' ')
    _flip(next(dataset_dir.glob('*validation*')))
    found = _repair(dataset_dir, source)
    assert found.pop(name) == 'no other file holds what it says; prepare the data set again'
    assert list(found.values()) == [f'needs {name}']


def test_the_command(dataset_dir, source):
    def run(*arguments):
        command = [sys.executable, '-m', 'seg_pipeline.verify', str(dataset_dir), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    shard = next(dataset_dir.glob('*validation*'))
    _flip(shard)
    sources = [f'--images={source}/images', f'--masks={source}/masks']
    without = run('--repair')
    assert (without.returncode, without.stderr) == (2, 'error: --repair needs the sources: --images=DIR --masks=DIR\n')
    repaired = run('--repair', *sources)
    assert repaired.returncode == 0, repaired.stderr
    assert f'{shard.name}: repaired' in repaired.stdout
    assert repaired.stdout.splitlines()[-1] == f'{dataset_dir}: intact: 9 records in 3 shards'
    _flip(dataset_dir / manifest.RECORDS_FILE)
    damaged = run('--repair', *sources)
    assert damaged.returncode == 1
    assert f'{manifest.RECORDS_FILE}: not repaired: ' in damaged.stdout
    assert list(integrity.problems(str(dataset_dir)))


@pytest.fixture
def odd_keys(tmp_path):
    """A data set whose keys look like reasons; of a chain of three duplicates the middle one was rejected."""
    source = tmp_path / 'source'
    fake_data.write_pairs(source, num_pairs=6, num_classes=4)
    cv2.imwrite(str(source / 'masks' / 'seg_0002.png'), np.full((48, 40), 77, np.uint8))
    config = BuildConfig(
        SourceFolders(str(source / 'images'), str(source / 'masks')),
        str(tmp_path / 'out'),
        RecordOptions(label_map.read(str(source / 'labels.csv')), image_size=(16, 12)),
    )
    keys = [
        'a; b',
        'c at distance 3',
        'd; identical to a',
        'x; y',
        'x at distance 3',
        'near-duplicate of x at distance 3',
    ]
    pairs = [SourcePair(key, f'img_{n:04d}.png', f'seg_{n:04d}.png') for n, key in enumerate(keys, 1)]
    first, second, third, fourth, fifth, sixth = keys
    groups = grouping.form(
        {},
        [
            grouping.Link(2, second, first),
            grouping.Link(grouping.IDENTICAL, third, second),
            grouping.Link(3, fifth, fourth),
            grouping.Link(grouping.IDENTICAL, sixth, fifth),
        ],
    )
    found = assignment.by_fractions(keys, {'train': Fraction(1)}, 0, groups)
    plans = sharding.plan(pairs, found.split_of, {'train': 1}, 0, config.dataset_name)
    made = fake_data.publish_plans(
        config,
        list(fingerprints.with_fingerprints(config.sources, config.records, plans)),
        assignments=found.by_key,
        duplicates=found.duplicates,
        allow_rejects=True,
    ).directory
    return source, pathlib.Path(made)


def test_duplicates_are_found_again_whatever_the_keys_and_whichever_of_them_was_rejected(odd_keys):
    source, made = odd_keys
    sets = [[member['key'] for member in members] for members in json.loads((made / 'duplicates.json').read_text())]
    assert sets == [
        ['a; b', 'd; identical to a'],
        ['near-duplicate of x at distance 3', 'x at distance 3', 'x; y'],
    ]
    before = _digests(made)
    (made / manifest.DUPLICATES_FILE).unlink()
    _flip(made / manifest.CARD_FILE)
    assert _repair(made, source) == {manifest.DUPLICATES_FILE: None, manifest.CARD_FILE: None}
    assert _digests(made) == before
