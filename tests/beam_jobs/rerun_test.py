"""The same command again: it says "nothing to do" only if a fresh run would make the very data set that is there."""

import os
import pathlib
import shlex

import cv2
import numpy as np
import pytest
from absl import flags
from absl.testing import flagsaver

from beam_jobs import prepare_dataset
from seg_pipeline import errors
from seg_pipeline.building import repair
from seg_pipeline.dataset import integrity, manifest
from tests import fake_data

_LOST = (manifest.FILE_NAME, manifest.RECORDS_FILE, manifest.REJECTED_FILE, manifest.PROVENANCE_FILE)


@pytest.fixture
def source(tmp_path):
    fake_data.write_pairs(tmp_path / 'source', num_pairs=10)
    return tmp_path / 'source'


def _arguments(source, out, *more):
    folders = [f'--images={source}/images', f'--masks={source}/masks', f'--labels={source}/labels.csv']
    own = [f'--output_dir={out}', '--image_size=16,24', '--num_shards=train:2', *more]
    return [*folders, *own, '--direct_num_workers=1', '--direct_running_mode=in_memory']


def _main(source, out, *more):
    """The command in this process; its exit code, and its message for the user."""
    with flagsaver.flagsaver():
        argv = flags.FLAGS(['prepare_dataset', *_arguments(source, out, *more)], known_only=True)
        try:
            return prepare_dataset.main(argv), ''
        except errors.UserError as error:
            return 2, str(error)
        except errors.OutsideError as error:
            return 1, str(error)


def _delete(path):
    path.unlink()


def _change(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def _truncate(path):
    path.write_bytes(path.read_bytes()[:-1])


def test_each_damaged_file_is_named_with_the_command_that_mends_it(source, tmp_path, capsys):
    _orphan_image(source)
    assert _main(source, tmp_path / 'out', '--on_error=reject')[0] == 0
    root = pathlib.Path(capsys.readouterr().out.splitlines()[-1])
    files = sorted(path for path in root.rglob('*') if path.is_file())
    assert len(files) > 10
    for path in files:
        good = path.read_bytes()
        for damage in (_delete, _change, _truncate):
            damage(path)
            code, message = _main(source, tmp_path / 'out', '--on_error=reject')
            assert code == 2, (path, damage)
            assert path.name in message
            if path.name in _LOST:
                assert '--repair' not in message
                path.write_bytes(good)
            else:
                command = shlex.split(message[message.index('python -m') :])
                assert command[1:] == _repair_command(root, source)
                assert [
                    found.refusal for found in repair.repair(command[3], f'{source}/images', f'{source}/masks')
                ] == [None]
            assert path.read_bytes() == good
            assert 'nothing to do' not in capsys.readouterr().out
    assert _main(source, tmp_path / 'out', '--on_error=reject') == (0, '')
    assert 'nothing to do' in capsys.readouterr().out


def _repair_command(root, source):
    return [
        '-m',
        'seg_pipeline.verify',
        str(root),
        '--repair',
        f'--images={source}/images',
        f'--masks={source}/masks',
    ]


def test_a_file_of_someone_else_is_named_and_left_alone(source, tmp_path, capsys):
    assert _main(source, tmp_path / 'out')[0] == 0
    root = pathlib.Path(capsys.readouterr().out.splitlines()[-1])
    (root / 'more').mkdir()
    (root / 'linked').symlink_to(source)
    warned = ['more: is not in the manifest', 'linked: is a symbolic link; a data set has its files itself']
    for name in ('notes.txt', 'report/.hidden'):
        (root / name).write_text('x')
        warned.append(f'{name}: is not in the manifest')
    listed = sorted(root.rglob('*'))
    for number in reversed(range(len(warned))):
        assert _main(source, tmp_path / 'out') == (0, '')
        output = capsys.readouterr()
        assert 'nothing to do' in output.out
        (line,) = output.err.splitlines()
        more = f', and {number} more such' if number else ''
        assert line in [f'warning: {root}/{each}{more}: left alone' for each in warned]
        assert sorted(root.rglob('*')) == listed
        gone = listed.pop(listed.index(root / warned.pop().partition(':')[0]))
        gone.rmdir() if gone.name == 'more' else gone.unlink()
    assert _main(source, tmp_path / 'out') == (0, '')
    assert capsys.readouterr().err == ''


def _orphan_image(source):
    (source / 'images' / 'img_0099.png').write_bytes((source / 'images' / 'img_0001.png').read_bytes())


def _orphan_mask(source):
    (source / 'masks' / 'seg_0099.png').write_bytes((source / 'masks' / 'seg_0001.png').read_bytes())


def _duplicate_key(source):
    (source / 'images' / 'img_0001.bmp').write_bytes((source / 'images' / 'img_0001.png').read_bytes())


def _not_utf8(source):
    (pathlib.Path(os.fsdecode(os.fsencode(source / 'images') + b'/img_\xff.png'))).write_bytes(b'x')


def _unknown_id(source):
    cv2.imwrite(str(source / 'masks' / 'seg_0002.png'), np.full((48, 40), 9, np.uint8))


def _empty(source):
    (source / 'images' / 'img_0002.png').write_bytes(b'')


def _nothing(source):
    pass


_CHANGES = (_orphan_image, _unknown_id, _nothing, _orphan_mask, _duplicate_key, _not_utf8, _empty)


@pytest.mark.parametrize('on_error', ['fail', 'reject'])
@pytest.mark.parametrize(
    ('before', 'after'),
    [
        *((_nothing, after) for after in _CHANGES),
        *((before, _nothing) for before in _CHANGES[:3]),
        (_orphan_image, _orphan_mask),
    ],
)
def test_a_rerun_says_what_a_fresh_run_would(source, tmp_path, capsys, before, after, on_error):
    before(source)
    assert _main(source, tmp_path / 'out', '--on_error=reject')[0] == 0
    after(source)
    capsys.readouterr()
    code, message = _main(source, tmp_path / 'out', f'--on_error={on_error}')
    errors_again = _rejected_lines(capsys)
    fresh_code, fresh_message = _main(source, tmp_path / 'fresh', f'--on_error={on_error}')
    errors_fresh = _rejected_lines(capsys)
    differs = _files(tmp_path / 'fresh') != _files(tmp_path / 'out') if fresh_code == 0 else None
    if differs:
        assert code == 2
        assert 'there is a data set made from something else: ' in message
    elif code == 2 and 'something else' in message:  # a pair that was good: which is found before what is rejected
        assert fresh_code == 2
        assert after in (_duplicate_key, _unknown_id, _empty)
    else:
        assert (code, errors_again) == (fresh_code, errors_fresh)
        # What to do about it is another thing, see below.
        assert message.partition(' listed above')[:2] == fresh_message.partition(' listed above')[:2]


@pytest.mark.parametrize('before', [_nothing, _orphan_image])
def test_the_advice_of_a_rerun_fits_the_data_set_that_is_there(source, tmp_path, capsys, before):
    before(source)
    assert _main(source, tmp_path / 'out', '--on_error=reject')[0] == 0
    root, made = capsys.readouterr().out.splitlines()[-1], _files(tmp_path / 'out')
    if before is _nothing:
        _orphan_mask(source)
        stays = (
            f"; {root} stays as it is: seg_0099.png: no image has its key '0099' (no_image), which was no reject then. "
        )
    else:
        stays = f', as when {root} was made, which stays as it is. Accept that with --on_error=reject, or repair '
    code, message = _main(source, tmp_path / 'out')
    assert code == 2
    assert message.startswith(f'1 rejected, listed above{stays}')
    # Each piece of advice, taken.
    if before is _nothing:
        assert _main(source, tmp_path / 'out', '--on_error=reject')[0] == 2  # not enough, and not what is said
        assert message.endswith(' with --on_error=reject and another --dataset_version or --output_dir')
        assert _main(source, tmp_path / 'out', '--on_error=reject', '--dataset_version=1.0.1') == (0, '')
        assert 'Undo that, or ' in message
        (source / 'masks' / 'seg_0099.png').unlink()
        assert _main(source, tmp_path / 'out') == (0, '')
    else:
        assert _main(source, tmp_path / 'out', '--on_error=reject') == (0, '')
        assert message.endswith(
            'repair the files and make another data set of them, with another --dataset_version or --output_dir'
        )
        (source / 'images' / 'img_0099.png').unlink()
        assert _main(source, tmp_path / 'out', '--dataset_version=1.0.1') == (0, '')
    assert made.items() <= _files(tmp_path / 'out').items()


def _rejected_lines(capsys):
    return [line for line in capsys.readouterr().err.splitlines() if line.startswith('rejected ')]


def _files(out):
    """All files of the data set but those that hold the command."""
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in out.rglob('*')
        if path.is_file() and path.name not in (*map(os.path.basename, fake_data.FILES_WITH_THE_COMMAND),)
    }


@pytest.mark.parametrize(('folder', 'on_error'), [('images', 'fail'), ('masks', 'reject')])
@pytest.mark.parametrize('kind', ['link', 'pipe', 'directory', 'gone'])
def test_a_source_that_cannot_be_read_now(source, tmp_path, monkeypatch, capsys, kind, on_error, folder):
    assert _main(source, tmp_path / 'out')[0] == 0
    path = source / folder / ('img_0003.png' if folder == 'images' else 'seg_0003.png')
    _spoil_while_listed(path, kind, monkeypatch)
    code, message = _main(source, tmp_path / 'out', f'--on_error={on_error}')
    assert code == 2
    output = capsys.readouterr()
    assert 'nothing to do' not in output.out
    assert path.name in message + output.err
    assert '\n' not in message


def _spoil_while_listed(path, kind, monkeypatch):
    """Replaces a source: before it is listed, or just after, by something that cannot be read."""
    from seg_pipeline.planning import pairing

    if kind in ('link', 'pipe'):
        path.unlink()
        path.symlink_to('missing') if kind == 'link' else os.mkfifo(path)
        return
    real = pairing.match_pairs

    def match_pairs(*arguments):
        if path.is_file():
            path.unlink()
            if kind == 'directory':
                path.mkdir()
        return real(*arguments)

    monkeypatch.setattr(pairing, 'match_pairs', match_pairs)


def test_an_intact_data_set_stays_intact(source, tmp_path, capsys):
    assert _main(source, tmp_path / 'out')[0] == 0
    root = capsys.readouterr().out.splitlines()[-1]
    assert _main(source, tmp_path / 'out')[0] == 0
    assert list(integrity.problems(root)) == []


@pytest.mark.parametrize('resize', ['squash', 'letterbox'])
def test_masks_that_are_mostly_ignored_are_named_by_every_run(source, tmp_path, capsys, resize):
    for name, share in (('seg_0002.png', 0.6), ('seg_0003.png', 0.75)):
        path = source / 'masks' / name
        mask = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        mask[: round(share * len(mask))] = 255
        cv2.imwrite(str(path), mask)
    warned = []
    for more in (['--dry_run'], [], []):
        assert _main(source, tmp_path / 'out', f'--resize={resize}', *more) == (0, '')
        warned.append([line for line in capsys.readouterr().err.splitlines() if 'ignored' in line])
        if more:
            (card,) = tmp_path.glob(f'out/**/dry_run/{manifest.CARD_FILE}')
            assert '<b>seg_0002.png</b>' in card.read_text()
    line = 'warning: 2 of 10 masks are more than half ignored, or far more than the others: '
    assert warned[0][0].startswith(line + 'seg_0002.png (6')
    assert warned[0] == warned[1] == warned[2]
