import os
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
