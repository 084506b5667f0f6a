import os
import subprocess
import sys

import pytest

from seg_pipeline import errors, storage
from seg_pipeline.building import work_dir


@pytest.fixture
def directory(tmp_path):
    return tmp_path / 'out' / '.work'


def _hold_elsewhere(directory):
    """Another process that holds the directory until its input ends."""
    code = (
        'import sys; from seg_pipeline.building import work_dir\n'
        "with work_dir.locked(sys.argv[1]): print('locked', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, '-c', code, str(directory)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b'locked\n'
    return process


def test_an_empty_directory_goes_and_work_stays(directory):
    with work_dir.locked(str(directory)):
        assert os.listdir(directory) == []
    assert not directory.exists()
    with work_dir.locked(str(directory)):
        (directory / 'a.tfrecord').write_bytes(b'x')
    assert os.listdir(directory) == ['a.tfrecord']


def test_what_killed_commands_left_is_removed_when_nobody_is_there(directory):
    def litter():
        (directory / 'a.tfrecord.0123.tmp').write_bytes(b'x')
        (directory / '0123.outcome').write_bytes(b'x')
        (directory / f'{work_dir.STAGING_PREFIX}0123').mkdir()
        (directory / f'{work_dir.STAGING_PREFIX}0123' / 'x').write_bytes(b'x')

    other = _hold_elsewhere(directory)
    litter()
    with work_dir.locked(str(directory)):
        assert len(os.listdir(directory)) == 3  # it may be the other one's
    other.kill()
    other.wait()
    with work_dir.locked(str(directory)):
        assert os.listdir(directory) == []
        litter()
    assert not directory.exists()


def test_clean_removes_the_work_of_others_but_not_under_their_hands(directory):
    directory.mkdir(parents=True)
    for name in ('mine.tfrecord', 'mine.json', 'theirs.tfrecord', 'theirs.json', 'theirs.scan'):
        (directory / name).write_bytes(b'xyz')
    found = work_dir.unowned(str(directory), {'mine'})
    assert [os.path.basename(path) for path in found] == ['theirs.json', 'theirs.scan', 'theirs.tfrecord']
    assert work_dir.num_bytes(found) == 9
    other = _hold_elsewhere(directory)
    with pytest.raises(errors.UserError, match='another command is at work there'):
        work_dir.clean(str(directory), {'mine'})
    other.communicate()
    work_dir.clean(str(directory), {'mine'})
    assert sorted(os.listdir(directory)) == ['mine.json', 'mine.tfrecord']
    work_dir.clean(str(directory))
    assert not directory.exists()
    work_dir.clean(str(directory))


def test_a_directory_that_cannot_be_written(tmp_path):
    (tmp_path / 'file').write_text('')
    with (
        pytest.raises(errors.UserError, match=r'file.*cannot be written'),
        work_dir.locked(str(tmp_path / 'file' / '.work')),
    ):
        pytest.fail('it was locked')


def test_a_store_that_may_be_read_only_is_told_before_the_work(monkeypatch):
    def refuse(path, data):
        raise PermissionError(13, 'Access Denied', path)

    monkeypatch.setattr(storage, 'write', refuse)
    monkeypatch.setattr(storage, 'remove', lambda path: None)
    with (
        pytest.raises(errors.UserError, match=r'^s3://bucket/out/\.work: cannot be written: Access Denied$'),
        work_dir.locked('s3://bucket/out/.work'),
    ):
        pytest.fail('the work began')
