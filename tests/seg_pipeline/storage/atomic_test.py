import os
import stat
import subprocess
import sys
import time

import pytest

from seg_pipeline.storage import atomic


def test_replaces_at_the_end_and_not_before(tmp_path):
    path = tmp_path / 'new' / 'x'
    with atomic.replacing(str(path)) as file:
        file.write(b'1')
        assert not path.exists()
    assert path.read_bytes() == b'1'
    assert os.listdir(path.parent) == ['x']


def test_the_contents_are_on_the_disk_before_the_name_is_and_the_name_before_the_end(tmp_path, monkeypatch):
    path = tmp_path / 'x'
    events = []
    fsync, replace = os.fsync, os.replace

    def recorded_fsync(descriptor):
        status = os.fstat(descriptor)
        events.append('fsync of the directory' if stat.S_ISDIR(status.st_mode) else f'fsync of {status.st_size} bytes')
        fsync(descriptor)

    def recorded_replace(source, target):
        events.append('rename')
        replace(source, target)

    monkeypatch.setattr(os, 'fsync', recorded_fsync)
    monkeypatch.setattr(os, 'replace', recorded_replace)
    atomic.write(str(path), b'123')
    assert events == ['fsync of 3 bytes', 'rename', 'fsync of the directory']


def test_two_writers_of_one_path_do_not_disturb_each_other(tmp_path):
    path = tmp_path / 'x'
    with atomic.replacing(str(path)) as first:
        first.write(b'first')
        with atomic.replacing(str(path)) as second:
            second.write(b'second')
        assert path.read_bytes() == b'second'
    assert path.read_bytes() == b'first'
    assert os.listdir(tmp_path) == ['x']


def test_a_name_without_a_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    atomic.write('x', b'1')
    assert (tmp_path / 'x').read_bytes() == b'1'


def test_a_directory_that_another_process_removes_is_made_again(tmp_path, monkeypatch):
    makedirs, made = os.makedirs, []

    def disturbed(path, exist_ok):
        makedirs(path, exist_ok=exist_ok)
        made.append(path)
        if len(made) < 3:
            os.rmdir(path)

    monkeypatch.setattr(os, 'makedirs', disturbed)
    atomic.write(str(tmp_path / 'new' / 'x'), b'1')
    assert (tmp_path / 'new' / 'x').read_bytes() == b'1'


def test_an_exception_leaves_everything_as_it_was(tmp_path):
    path = tmp_path / 'x'
    path.write_bytes(b'old')

    def fail():
        with atomic.replacing(str(path)) as file:
            file.write(b'new')
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_bytes() == b'old'
    assert os.listdir(tmp_path) == ['x']


def test_only_the_files_of_dead_writers_are_removed(tmp_path):
    code = (
        'import os, sys; from seg_pipeline.storage import atomic\n'
        "with atomic.replacing(sys.argv[1]): print('open', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, '-c', code, str(tmp_path / 'x')]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b'open\n'
    (name,) = os.listdir(tmp_path)
    old = time.time() - 3600
    os.utime(tmp_path / name, (old, old))
    atomic.remove_abandoned(str(tmp_path))
    assert os.listdir(tmp_path) == [name]
    process.kill()
    process.wait()
    atomic.remove_abandoned(str(tmp_path))
    assert os.listdir(tmp_path) == []


def test_a_file_that_its_writer_may_not_have_locked_yet_is_left(tmp_path):
    for name in ('young.tmp', 'old.tmp', 'other'):
        (tmp_path / name).touch()
    old = time.time() - 3600
    for name in ('old.tmp', 'other'):
        os.utime(tmp_path / name, (old, old))
    atomic.remove_abandoned(str(tmp_path))
    assert sorted(os.listdir(tmp_path)) == ['other', 'young.tmp']
    atomic.remove_abandoned(str(tmp_path), young_seconds=0)
    assert os.listdir(tmp_path) == ['other']


def test_a_file_is_created_once(tmp_path):
    path = str(tmp_path / 'a' / 'x')
    assert atomic.create(path, b'1')
    assert not atomic.create(path, b'2')
    assert (tmp_path / 'a' / 'x').read_bytes() == b'1'
    assert [entry.name for entry in (tmp_path / 'a').iterdir()] == ['x']
