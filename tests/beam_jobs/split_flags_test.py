"""The flags that decide splits, through the command in this process."""

import json
import os
import pathlib
import shutil

import cv2
import numpy as np
import pytest
from absl import flags
from absl.testing import flagsaver

from beam_jobs import prepare_dataset
from seg_pipeline import errors
from seg_pipeline.building import pair
from seg_pipeline.dataset import manifest
from tests import fake_data


@pytest.fixture
def source(tmp_path):
    fake_data.write_pairs(tmp_path / 'source', num_pairs=20)
    return tmp_path / 'source'


def _main(source, out, *more):
    arguments = [f'--images={source}/images', f'--masks={source}/masks', f'--labels={source}/labels.csv']
    arguments += [f'--output_dir={out}', '--image_size=24,20', '--direct_num_workers=1', *more]
    with flagsaver.flagsaver():
        prepare_dataset.main(flags.FLAGS(['prepare_dataset', *arguments], known_only=True))


def _lines(out):
    dataset_dir = pathlib.Path(out) / 'clothing_parsing' / '24x20' / '1.0.0'
    lines = [json.loads(line) for line in (dataset_dir / manifest.RECORDS_FILE).read_text().splitlines()]
    return {line['key']: line for line in lines}


def _duplicates(out):
    dataset_dir = pathlib.Path(out) / 'clothing_parsing' / '24x20' / '1.0.0'
    return [
        [line['key'] for line in group] for group in json.loads((dataset_dir / manifest.DUPLICATES_FILE).read_text())
    ]


def _other_side(source, out, capsys):
    """A key of each split, which would part if they were copies."""
    _main(source, out)
    capsys.readouterr()
    lines = _lines(out)
    return next(k for k in lines if lines[k]['split'] == 'train'), next(
        k for k in lines if lines[k]['split'] == 'validation'
    )


def test_copies_stay_together_unasked(source, tmp_path, capsys):
    one, other = sorted(_other_side(source, tmp_path / 'before', capsys))
    shutil.copy(source / 'images' / f'img_{one}.png', source / 'images' / f'img_{other}.png')
    _main(source, tmp_path / 'out')
    lines = _lines(tmp_path / 'out')
    assert lines[one]['split'] == lines[other]['split']
    assert (lines[one]['split_reason'], lines[other]['split_reason']) == ('hash', f'identical to {one}')
    assert lines[one]['group'] == lines[other]['group'] == one
    assert sum(line['split'] == 'train' for line in lines.values()) == 16
    assert _duplicates(tmp_path / 'out') == [[one, other]]


def _soft(source):
    """Photos with something in them: the perceptual hash of noise is noise."""
    for number, path in enumerate(sorted((source / 'images').iterdir())):
        coarse = np.random.default_rng(number).integers(0, 256, (6, 5, 3), dtype=np.uint8)
        cv2.imwrite(str(path), cv2.resize(coarse, (40, 48), interpolation=cv2.INTER_CUBIC))


def test_near_duplicates_stay_together_if_asked(source, tmp_path, capsys):
    _soft(source)
    one, other = sorted(_other_side(source, tmp_path / 'before', capsys))
    photo = cv2.imread(str(source / 'images' / f'img_{one}.png'))
    cv2.imwrite(str(source / 'images' / f'img_{other}.png'), np.clip(photo * 0.9 + 15, 0, 255).astype(np.uint8))
    _main(source, tmp_path / 'off')
    assert _duplicates(tmp_path / 'off') == []
    _main(source, tmp_path / 'group', '--near_duplicates=group')
    lines = _lines(tmp_path / 'group')
    assert lines[one]['split'] == lines[other]['split']
    assert lines[other]['split_reason'].startswith(f'near-duplicate of {one} at distance ')
    assert _duplicates(tmp_path / 'group') == [[one, other]]
    assert os.listdir(tmp_path / 'group' / 'clothing_parsing' / '24x20') == ['1.0.0']  # the scan has gone too


def test_groups_by_name(source, tmp_path):
    _main(source, tmp_path, '--group_regex=img_000|img_001|img_002')
    lines = _lines(tmp_path)
    assert {line['group'] for line in lines.values()} == {'img_000', 'img_001', 'img_002'}
    sides = {group: {v['split'] for v in lines.values() if v['group'] == group} for group in ('img_000', 'img_001')}
    assert all(len(found) == 1 for found in sides.values())
    assert lines['0020']['split_reason'] == 'group img_002'


def test_a_rare_class_is_on_both_sides(source, tmp_path):
    _main(source, tmp_path / 'before')
    train = [key for key, line in _lines(tmp_path / 'before').items() if line['split'] == 'train']
    for path in (source / 'masks').iterdir():
        mask = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        mask[mask == 3] = 0
        if path.stem.removeprefix('seg_') in train[:2]:
            mask[:20] = 3
        cv2.imwrite(str(path), mask)
    _main(source, tmp_path / 'out', '--stratify=rare')
    lines = _lines(tmp_path / 'out')
    assert {lines[key]['split'] for key in train[:2]} == {'train', 'validation'}
    assert [line['split_reason'] for line in lines.values() if line['split_reason'] != 'hash'] == ['rare class class 3']
    found = json.loads((tmp_path / 'out/clothing_parsing/24x20/1.0.0' / manifest.STATISTICS_FILE).read_text())
    assert [found[split]['classes'][3]['images'] for split in ('train', 'validation')] == [1, 1]
    assert [found[split]['num_records'] for split in ('train', 'validation')] == [16, 4]


def test_the_same_command_again_does_not_scan(source, tmp_path, capsys, monkeypatch):
    _main(source, tmp_path, '--near_duplicates=group', '--stratify=rare')
    monkeypatch.setattr(pair, 'decode', lambda *_: pytest.fail('decoded again'))
    _main(source, tmp_path, '--near_duplicates=group', '--stratify=rare')
    assert 'nothing to do' in capsys.readouterr().out
    with pytest.raises(errors.UserError, match="near_duplicates is 'group' there and 'off' here"):
        _main(source, tmp_path, '--stratify=rare')


def test_a_job_that_failed_keeps_its_scan(source, tmp_path, monkeypatch):
    mask = source / 'masks' / 'seg_0007.png'
    good = mask.read_bytes()
    cv2.imwrite(str(mask), np.full((48, 40), 99, np.uint8))
    with pytest.raises(errors.UserError, match='1 rejected'):
        _main(source, tmp_path, '--near_duplicates=group')
    work = tmp_path / 'clothing_parsing' / '24x20' / '.work'
    (scan,) = work.glob('*.scan')
    before = scan.stat().st_mtime_ns
    with pytest.raises(errors.UserError, match='1 rejected'):
        _main(source, tmp_path, '--near_duplicates=group')
    assert scan.stat().st_mtime_ns == before
    mask.write_bytes(good)
    _main(source, tmp_path, '--near_duplicates=group')
    assert len(_lines(tmp_path)) == 20


def test_lists_decide_alone(source, tmp_path, capsys):
    shutil.copy(source / 'images' / 'img_0001.png', source / 'images' / 'img_0002.png')
    for split, name in (('train', '0001'), ('test', '0002')):
        (tmp_path / split).write_text(f'{name}\n')
    lists = f'--split_files=train:{tmp_path}/train,test:{tmp_path}/test'
    _main(source, tmp_path / 'out', lists)
    assert 'warning: the lists put one image into several splits: 0001 (train), 0002 (test)' in capsys.readouterr().err
    assert {key: line['split_reason'] for key, line in _lines(tmp_path / 'out').items()} == {
        '0001': 'list of train',
        '0002': 'list of test',
    }
    with pytest.raises(errors.UserError, match='--split_files decides alone'):
        _main(source, tmp_path / 'other', lists, '--stratify=rare')


def test_work_of_other_options_is_reported_and_removed_with_clean(source, tmp_path, capsys):
    mask = source / 'masks' / 'seg_0007.png'
    good = mask.read_bytes()
    mask.write_bytes(b'x')
    with pytest.raises(errors.UserError):
        _main(source, tmp_path, '--image_encoding=jpeg')
    mask.write_bytes(good)
    work = tmp_path / 'clothing_parsing' / '24x20' / '.work'
    left = len(list(work.iterdir()))
    assert left > 0
    capsys.readouterr()
    _main(source, tmp_path)
    assert f'{work}: {left} files of other commands, 0.0 MB; --clean removes them' in capsys.readouterr().out
    assert len(list(work.iterdir())) == left
    _main(source, tmp_path, '--clean')
    assert f'{left} files of other commands, 0.0 MB, removed' in capsys.readouterr().out
    assert not work.exists()
