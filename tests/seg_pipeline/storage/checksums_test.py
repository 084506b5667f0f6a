import hashlib
import os

import pytest

from seg_pipeline.storage import checksums


def test_a_digest_is_that_of_all_bytes(tmp_path):
    data = os.urandom((1 << 20) + 3)  # more than one block
    (tmp_path / 'x').write_bytes(data)
    found = checksums.digest(str(tmp_path / 'x'))
    assert found == checksums.FileDigest(len(data), hashlib.sha256(data).hexdigest())
    (tmp_path / 'empty').write_bytes(b'')
    assert checksums.digest(str(tmp_path / 'empty')) == checksums.FileDigest(0, hashlib.sha256().hexdigest())
    with pytest.raises(FileNotFoundError):
        checksums.digest(str(tmp_path / 'nothing'))


def test_a_digest_of_a_remote_file(memory):
    memory.put('x', b'abc')
    assert checksums.digest(f'{memory.url}/x') == checksums.FileDigest(3, hashlib.sha256(b'abc').hexdigest())


def test_a_problem_is_a_line_with_both_values(tmp_path):
    path = str(tmp_path / 'x')
    (tmp_path / 'x').write_bytes(b'abc')
    expected = checksums.digest(path)
    assert checksums.problem(path, expected) is None
    (tmp_path / 'x').write_bytes(b'abcd')
    assert checksums.problem(path, expected) == f'{path}: has 4 bytes, the manifest says 3'
    (tmp_path / 'x').write_bytes(b'abd')
    found = hashlib.sha256(b'abd').hexdigest()
    assert checksums.problem(path, expected) == f'{path}: its SHA-256 is {found}, the manifest says {expected.sha256}'
    os.remove(path)
    assert checksums.problem(path, expected) == f'{path}: No such file or directory'
