import contextlib
import os
import tempfile

import pytest

from seg_pipeline import storage


def _fill(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())


def test_names_are_sorted_and_hidden_ones_are_optional(tmp_path):
    _fill(tmp_path, 'b', 'a/c', 'a/.d', '.e/f', 'a.b')
    (tmp_path / 'empty').mkdir()
    assert storage.names(str(tmp_path)) == ['.e/f', 'a.b', 'a/.d', 'a/c', 'b']
    assert storage.names(str(tmp_path), hidden=False) == ['a.b', 'a/c', 'b']
    assert storage.names(f'{tmp_path}/') == storage.names(str(tmp_path))


def test_names_follow_links_to_files_and_directories(tmp_path):
    _fill(tmp_path, 'outside/x', 'root/y')
    os.symlink('../outside', tmp_path / 'root' / 'directory')
    os.symlink('../outside', tmp_path / 'root' / 'twice')
    os.symlink('y', tmp_path / 'root' / 'file')
    os.symlink(tmp_path / 'root', tmp_path / 'link')
    expected = ['directory/x', 'file', 'twice/x', 'y']
    assert storage.names(str(tmp_path / 'root')) == expected
    assert storage.names(str(tmp_path / 'link')) == expected


def test_names_end_where_a_link_leads_back(tmp_path):
    _fill(tmp_path, 'a/b/x')
    os.symlink('..', tmp_path / 'a' / 'b' / 'up')
    os.symlink('.', tmp_path / 'a' / 'here')
    os.symlink(tmp_path, tmp_path / 'a' / 'b' / 'root')
    assert storage.names(str(tmp_path)) == ['a/b/x']


def test_two_directories_that_link_to_each_other(tmp_path):
    _fill(tmp_path, 'a/x', 'b/y')
    os.symlink('../b', tmp_path / 'a' / 'to_b')
    os.symlink('../a', tmp_path / 'b' / 'to_a')
    assert storage.names(str(tmp_path)) == ['a/to_b/y', 'a/x', 'b/to_a/x', 'b/y']


def test_links_that_lead_nowhere_are_listed_and_raise_when_they_are_read(tmp_path):
    os.symlink('nothing', tmp_path / 'broken')
    os.symlink('itself', tmp_path / 'itself')
    assert storage.names(str(tmp_path)) == ['broken', 'itself']
    status = storage.statuses(str(tmp_path))
    for name in ('broken', 'itself'):
        assert status(name) is None
        with pytest.raises(OSError, match=name):
            storage.read_at_most(str(tmp_path / name), 10)


@pytest.mark.parametrize('name', ['nothing', 'file'])
def test_a_root_that_is_no_directory(tmp_path, name):
    _fill(tmp_path, 'file')
    with pytest.raises(FileNotFoundError) as caught:
        storage.names(str(tmp_path / name))
    assert caught.value.filename == str(tmp_path / name)


@contextlib.contextmanager
def _without_privileges():
    """Root may read everything; another user may not."""
    user = os.geteuid()
    if user:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


def test_a_directory_that_may_not_be_read_is_an_error_and_not_empty():
    with tempfile.TemporaryDirectory() as root:  # pytest's own directory may not be entered by others
        os.chmod(root, 0o755)
        os.makedirs(f'{root}/closed')
        os.chmod(f'{root}/closed', 0)
        with _without_privileges(), pytest.raises(PermissionError) as caught:
            storage.names(root)
        assert caught.value.filename == f'{root}/closed'
        os.chmod(f'{root}/closed', 0o700)


def test_statuses(tmp_path):
    _fill(tmp_path, 'a/x')
    os.link(tmp_path / 'a' / 'x', tmp_path / 'hard')
    os.symlink('hard', tmp_path / 'soft')
    os.mkfifo(tmp_path / 'pipe')
    status = storage.statuses(str(tmp_path))
    found = status('a/x')
    assert found.num_bytes == 3
    assert found.modified_ns == os.stat(tmp_path / 'a' / 'x').st_mtime_ns
    assert found == status('hard') == status('soft')
    assert [status(name) for name in ('a', 'pipe', 'nothing')] == [None] * 3


def test_no_more_is_read_than_the_caller_accepts(tmp_path):
    path = str(tmp_path / 'x')
    _fill(tmp_path, 'x')
    assert storage.read_at_most(path, 1) == b'x'
    with pytest.raises(storage.FileTooLargeError) as caught:
        storage.read_at_most(path, 0)
    assert (caught.value.filename, caught.value.num_bytes) == (path, 1)
    os.truncate(path, 1 << 40)  # sparse: reading it would take all memory
    with pytest.raises(storage.FileTooLargeError) as caught:
        storage.read_at_most(path, 1000)
    assert caught.value.num_bytes == 1 << 40


def test_a_file_that_grows_after_its_size_was_read(tmp_path, monkeypatch):
    path = str(tmp_path / 'x')
    _fill(tmp_path, 'x')
    before = os.stat(path)
    os.truncate(path, 1 << 40)
    monkeypatch.setattr(os, 'stat', lambda _: before)
    with pytest.raises(storage.FileTooLargeError) as caught:
        storage.read_at_most(path, 1000)
    assert caught.value.num_bytes == 1001


def test_a_path_with_a_null_character_is_an_error_of_the_system(tmp_path):
    for read in (storage.read_bytes, lambda path: storage.read_at_most(path, 9)):
        with pytest.raises(OSError, match='null character'):
            read(f'{tmp_path}/a\0b')


def test_pipes_devices_and_directories_are_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / 'pipe')
    for path in (str(tmp_path / 'pipe'), '/dev/zero', str(tmp_path)):
        with pytest.raises(OSError, match='not a regular file') as caught:
            storage.read_at_most(path, 10)
        assert caught.value.filename == path


def test_a_copy_that_fails_leaves_no_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        storage.copy(str(tmp_path / 'nothing'), str(tmp_path / 'x'))
    assert os.listdir(tmp_path) == []
