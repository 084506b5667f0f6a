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
from seg_pipeline.building import existing, pair, repair
from seg_pipeline.dataset import integrity, manifest
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
    with pytest.raises(errors.UserError, match='--split_files are instead of --splits: leave out one of them'):
        _main(source, tmp_path / 'other', lists, '--splits=train:1')
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
    left = [path.stat().st_size for path in work.iterdir()]
    assert left
    capsys.readouterr()
    _main(source, tmp_path)
    assert (
        f'{work}: {len(left)} files of other commands, {sum(left) / 1e6:.1f} MB; --clean removes them'
        in capsys.readouterr().out
    )
    assert len(list(work.iterdir())) == len(left)
    _main(source, tmp_path, '--clean')
    assert f'{len(left)} files of other commands, {sum(left) / 1e6:.1f} MB, removed' in capsys.readouterr().out
    assert not work.exists()


def _one_group(source):
    return [
        '--group_regex=(img)'
    ], '20 pairs for 2 splits, in 1 group of up to 20 that stay together (--group_regex=(img)'


def _one_pair(source):
    _keep(source, 1)
    return [], '1 pair for 2 splits'


def _two_pairs(source):
    _keep(source, 2)
    return ['--splits=train:0.6,validation:0.2,test:0.2'], '2 pairs for 3 splits'


def _empty_list(source):
    (source / 'train').write_text('0001\n0002\n')
    (source / 'test').write_text('\n \n')
    return [f'--split_files=train:{source}/train,test:{source}/test'], '--split_files names no pair in its list'


def _copies(source):
    first, *others = sorted((source / 'images').iterdir())
    for path in others:
        shutil.copy(first, path)
    return [], '20 pairs for 2 splits, in 1 group of up to 20 that stay together (identical images)'


def _one_scene(source):
    coarse = np.random.default_rng(0).integers(0, 200, (6, 5, 3), dtype=np.uint8)
    photo = cv2.resize(coarse, (40, 48), interpolation=cv2.INTER_CUBIC)
    for number, path in enumerate(sorted((source / 'images').iterdir())):
        cv2.imwrite(str(path), np.clip(photo.astype(int) + number, 0, 255).astype(np.uint8))
    return ['--near_duplicates=group'], 'in 1 group of up to 20 that stay together (--near_duplicates=group'


def _small_fraction(source):
    _keep(source, 19)  # groups of 9 and 10
    return ['--group_regex=img_00(.)', '--splits=train:0.95,validation:0.05'], 'where validation should get 1'


def _keep(source, number):
    for tree in ('images', 'masks'):
        for path in sorted((source / tree).iterdir())[number:]:
            path.unlink()


@pytest.mark.parametrize('case', [_one_group, _one_pair, _two_pairs, _empty_list, _copies, _one_scene, _small_fraction])
def test_an_empty_split_ends_the_job_unless_it_is_allowed(source, tmp_path, capsys, case):
    options, cause = case(source)
    empty = 'test' if any('test:' in option for option in options) else 'validation'
    dataset_dir = tmp_path / 'out' / 'clothing_parsing' / '24x20' / '1.0.0'
    for more in ([], ['--dry_run']):
        with pytest.raises(
            errors.UserError, match=rf'^split.* {empty} (is|are) empty: .*--allow_empty_splits$'
        ) as caught:
            _main(source, tmp_path / 'out', *options, *more)
        assert cause in str(caught.value)
        assert len(str(caught.value).splitlines()) == 1
        assert not dataset_dir.exists()
        assert not dataset_dir.with_name('dry_run').exists()
    capsys.readouterr()
    for more in (['--dry_run'], []):
        _main(source, tmp_path / 'out', *options, '--allow_empty_splits', *more)
        (warning,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith('warning: split')]
        assert cause in warning
        assert f' no {empty}, since an empty split cannot be read' in warning
    assert empty not in manifest.read(str(dataset_dir)).split_names
    card = (dataset_dir / manifest.CARD_FILE).read_text()
    assert (f'No pair came into {empty}.' in card) == (case is not _empty_list)  # of a list it says the number of names
    with pytest.raises(errors.UserError, match=f'was made without .*{empty}, .*accept that with --allow_empty_splits'):
        _main(source, tmp_path / 'out', *options)
    _main(source, tmp_path / 'out', *options, '--allow_empty_splits')
    assert 'nothing to do' in capsys.readouterr().out


@pytest.mark.parametrize('emptied', [['validation'], ['train'], ['test', 'train']])
def test_a_split_that_rejects_empty_ends_the_job_unless_it_is_allowed(source, tmp_path, capsys, emptied):
    options = ['--splits=train:0.4,validation:0.4,test:0.2', '--on_error=reject']
    _main(source, tmp_path / 'before', *options)
    for key, line in _lines(tmp_path / 'before').items():
        if line['split'] in emptied:
            (source / 'masks' / f'seg_{key}.png').write_bytes(b'x')
    dataset_dir = tmp_path / 'out' / 'clothing_parsing' / '24x20' / '1.0.0'
    names = ', '.join(emptied)
    with pytest.raises(
        errors.UserError, match=f'no pair is left in {names}: not published; accept that with --allow_empty_splits$'
    ):
        _main(source, tmp_path / 'out', *options)
    assert not dataset_dir.exists()
    capsys.readouterr()
    _main(source, tmp_path / 'out', *options, '--allow_empty_splits')
    (warning,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith('warning: split')]
    are = f'split {names} is' if len(emptied) == 1 else f'splits {" and ".join(emptied)} are'
    no = ' and no '.join(emptied)
    assert warning == (
        f'warning: {are} empty: every pair was rejected; the data set has no {no}, since an empty split cannot be read'
    )
    left = sorted({'train', 'validation', 'test'} - set(emptied))
    assert sorted(manifest.read(str(dataset_dir)).split_names) == left
    assert sorted({line['split'] for line in _lines(tmp_path / 'out').values()}) == left
    assert list(integrity.problems(str(dataset_dir))) == []
    before = {path.name: path.read_bytes() for path in dataset_dir.iterdir() if path.is_file()}
    (dataset_dir / manifest.STATISTICS_FILE).unlink()
    (dataset_dir / manifest.CARD_FILE).unlink()
    mended = list(repair.repair(str(dataset_dir), str(source / 'images'), str(source / 'masks')))
    assert [file.refusal for file in mended] == [None, None]
    assert before == {path.name: path.read_bytes() for path in dataset_dir.iterdir() if path.is_file()}
    assert os.listdir(dataset_dir.parent) == ['1.0.0']
    _main(source, tmp_path / 'out', *options, '--allow_empty_splits')
    assert 'nothing to do' in capsys.readouterr().out
    with pytest.raises(errors.UserError, match=f'was made without .*{emptied[0]}.*, .*accept that with'):
        _main(source, tmp_path / 'out', *options)


def test_rejects_that_leave_nothing_are_no_data_set(source, tmp_path):
    for path in (source / 'masks').iterdir():
        path.write_bytes(b'x')
    with pytest.raises(errors.UserError, match=r'no pair is left in train, validation: not published$'):
        _main(source, tmp_path / 'out', '--on_error=reject', '--allow_empty_splits')
    assert not (tmp_path / 'out' / 'clothing_parsing' / '24x20' / '1.0.0').exists()


def test_lists_that_are_all_empty_are_no_data_set(source, tmp_path):
    (tmp_path / 'train').write_text('')
    with pytest.raises(
        errors.UserError, match=r'^split train is empty: --split_files names no pair.*; name pairs there$'
    ):
        _main(source, tmp_path / 'out', f'--split_files=train:{tmp_path}/train', '--allow_empty_splits')
    assert not (tmp_path / 'out' / 'clothing_parsing').exists()


@pytest.mark.parametrize('listed', [1, 3, 20])
@pytest.mark.parametrize('on_error', ['fail', 'reject'])
def test_pairs_in_no_list_are_left_out_listed_and_no_failure(source, tmp_path, capsys, listed, on_error):
    (tmp_path / 'train').write_text(''.join(f'img_{n:04d}.png\n' for n in range(1, listed + 1)))
    options = [f'--split_files=train:{tmp_path}/train', f'--on_error={on_error}']
    said = f'{20 - listed} of 20 pairs are in no list: left out, see rejected.jsonl'
    for more in (['--dry_run'], []):
        _main(source, tmp_path, *options, *more)
        output = capsys.readouterr()
        assert (said in output.out.splitlines()) == (listed < 20)
        assert f'{listed} in train, 0 rejected' in output.out
        lines = (pathlib.Path(output.out.splitlines()[-1]) / manifest.REJECTED_FILE).read_text().splitlines()
        assert [json.loads(line) for line in lines] == [
            {
                'key': f'{n:04d}',
                'reason': 'in_no_list',
                'message': f'image img_{n:04d}.png: in no list of --split_files (train)',
                'image': f'img_{n:04d}.png',
                'mask': f'seg_{n:04d}.png',
            }
            for n in range(listed + 1, 21)
        ]
    assert sorted(_lines(tmp_path)) == [f'{n:04d}' for n in range(1, listed + 1)]
    _main(source, tmp_path, *options)
    assert 'nothing to do' in capsys.readouterr().out


def test_a_bad_pair_fails_the_job_beside_those_in_no_list(source, tmp_path, capsys):
    (tmp_path / 'train').write_text('0001\n0002\n')
    (source / 'masks' / 'seg_0002.png').write_bytes(b'')
    (source / 'masks' / 'seg_0003.png').write_bytes(b'')  # in no list: nobody asked for it
    options = [f'--split_files=train:{tmp_path}/train']
    with pytest.raises(errors.UserError, match=r'^1 rejected, listed above; nothing was published'):
        _main(source, tmp_path / 'out', *options)
    assert capsys.readouterr().err.count('rejected ') == 1
    _main(source, tmp_path / 'out', *options, '--on_error=reject')
    assert '1 in train, 1 rejected\n' in capsys.readouterr().out
    with pytest.raises(errors.UserError, match=r'^1 rejected, listed above, as when .* was made, which stays as it is'):
        _main(source, tmp_path / 'out', *options)


def test_a_name_in_a_list_that_is_no_pair_is_a_mistake(source, tmp_path):
    (tmp_path / 'train').write_text('0001\n0099\n')
    with pytest.raises(errors.UserError, match="--split_files: '0099' in the list of train fits 0 pairs, not one"):
        _main(source, tmp_path / 'out', f'--split_files=train:{tmp_path}/train')


def test_a_difference_of_options_is_named_by_its_flag(source, tmp_path):
    _main(source, tmp_path)
    with pytest.raises(errors.UserError, match='options: near_duplicate_distance is 8 there and 3 here'):
        _main(source, tmp_path, '--near_duplicate_distance=3')
    (dataset_dir,) = tmp_path.glob('clothing_parsing/24x20/1.0.0')
    names = {existing.flag_of(name) for name in (*manifest.read(str(dataset_dir)).options, 'split_files', 'version')}
    assert names <= set(flags.FLAGS)
