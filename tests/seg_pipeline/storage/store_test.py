"""What every remote store must do, looked at from outside of the store."""

import os
import tempfile
import time
from concurrent import futures

import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from seg_pipeline import errors, storage
from tests.seg_pipeline.storage.conftest import STORES

# Beam's writer for S3 cannot write an empty object, and completes an upload that breaks off.
_NOT_BY_BEAM_ON_S3 = pytest.mark.parametrize('remote', [s for s in STORES if s != 'gcs_on_s3'], indirect=True)


def _entries(root):
    return storage.of(root).entries(root)


def test_reading_writing_and_removing(remote):
    url = f'{remote.url}/a/b.bin'
    assert not storage.exists(url)
    data = bytes(range(256)) * 9000
    with storage.replacing(url) as file:
        file.write(data)
        assert remote.names() == []  # nothing is there before the end
    storage.write(url, data)  # in the place of what is there
    assert remote.get('a/b.bin') == data == storage.read_bytes(url)
    assert storage.read_head(url, 10) == data[:10]
    assert storage.num_bytes(url) == len(data)
    assert storage.exists(url)
    storage.copy(url, f'{remote.url}/c')
    assert remote.get('c') == data
    storage.remove(url)
    storage.remove(url)
    assert remote.names() == ['c']


def test_a_missing_file_is_told_from_other_errors_and_named(remote):
    url = f'{remote.url}/missing'
    for read in (storage.read_bytes, storage.num_bytes, lambda url: storage.read_head(url, 1)):
        with pytest.raises(FileNotFoundError) as caught:
            read(url)
        assert caught.value.filename == url
    with pytest.raises(FileNotFoundError) as caught, storage.local_copy(url):
        pass
    assert caught.value.filename == url
    with pytest.raises(FileNotFoundError) as caught:
        storage.names(url)
    assert caught.value.filename == url


def test_no_more_is_read_than_the_caller_accepts(remote):
    remote.put('x', b'12345')
    assert storage.read_at_most(f'{remote.url}/x', 5) == b'12345'
    with pytest.raises(storage.FileTooLargeError) as caught:
        storage.read_at_most(f'{remote.url}/x', 3)
    assert (caught.value.filename, caught.value.num_bytes) == (f'{remote.url}/x', 4)


def test_a_copy_lives_as_long_as_the_block_and_keeps_the_suffix(remote, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path))
    remote.put('a/x.png', b'abc')
    with storage.local_copy(f'{remote.url}/a/x.png') as path:
        assert path.endswith('/x.png')
        with open(path, 'rb') as file:
            assert file.read() == b'abc'
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize('error', [KeyError('x'), OSError('x'), FileNotFoundError('x')], ids=repr)
def test_what_the_block_raises_is_passed_on_unchanged_and_leaves_the_file_as_it_was(
    remote, error, tmp_path, monkeypatch
):
    monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path))
    remote.put('x', b'old')
    for opened in (storage.replacing, storage.local_copy):
        with pytest.raises(type(error)) as caught, opened(f'{remote.url}/x'):
            raise error
        assert caught.value is error
    assert remote.get('x') == b'old'
    assert os.listdir(tmp_path) == []


@_NOT_BY_BEAM_ON_S3
def test_an_empty_object(remote):
    storage.write(f'{remote.url}/empty', b'')
    assert remote.get('empty') == b'' == storage.read_bytes(f'{remote.url}/empty')


@_NOT_BY_BEAM_ON_S3
def test_an_upload_that_breaks_off_leaves_the_file_as_it_was(remote, broken_file):
    remote.put('old', b'old')
    for name in ('old', 'new'):
        broken_file.seek(0)
        with pytest.raises((OSError, KeyboardInterrupt)):
            storage.of(remote.url).put(broken_file, f'{remote.url}/{name}')
    assert storage.names(remote.url) == ['old']
    assert remote.get('old') == b'old'


def test_a_file_that_is_replaced_while_it_is_read_is_read_as_it_was(remote):
    size = 6 << 20
    remote.put('x', b'a' * size)
    with storage.of(remote.url).open(f'{remote.url}/x') as file:
        data = file.read(1 << 20)
        remote.put('x', b'b' * size)
        data += file.read()
    assert data == b'a' * size


def test_entries(remote):
    for name in ('d/1.png', 'd/sub/2.png', 'd/.hidden', 'dd/3.png', 'd/.dir/4.png', 'd/sub/.5'):
        remote.put(name, name.encode())
    root = f'{remote.url}/d'
    found = _entries(root)
    sizes = {'1.png': 7, 'sub/2.png': 11, '.hidden': 9, '.dir/4.png': 12, 'sub/.5': 8}
    assert {name: entry.num_bytes for name, entry in found.items()} == sizes
    assert _entries(f'{root}/') == found
    assert _entries(f'{remote.url}/nothing') == {}
    assert _entries(f'{root}/1.png') == {}
    assert storage.names(root) == sorted(sizes)
    assert storage.names(root, hidden=False) == ['1.png', 'sub/2.png']
    assert storage.existing([f'{root}/{name}' for name in ('1.png', 'sub', '5.png')]) == {f'{root}/1.png'}
    status = storage.statuses(root)
    assert (status('1.png'), status('5.png')) == (found['1.png'], None)
    assert len({entry.identity for entry in found.values()}) == len(found)


@pytest.mark.parametrize('remote', [s for s in STORES if s != 'memory'], indirect=True)  # which keeps no times
def test_the_time_of_the_last_change(remote):
    remote.put('d/x', b'')
    assert abs(_entries(f'{remote.url}/d')['x'].modified_ns / 1e9 - time.time()) < 100


@pytest.mark.parametrize('name', ['d[1]/x*', 'sp ace/ü', 'a?versionId=1', 'a#b', 'x.gz'])
def test_names_that_mean_something_elsewhere(remote, name):
    storage.write(f'{remote.url}/{name}', b'1')
    assert remote.names() == [name]
    directory, _, base = f'{remote.url}/{name}'.rpartition('/')
    assert storage.names(directory) == [base]
    assert remote.get(name) == b'1' == storage.read_bytes(f'{remote.url}/{name}')
    storage.remove(f'{remote.url}/{name}')
    assert remote.names() == []


def test_what_the_store_refuses_is_an_os_error_with_the_address(refused):
    address, message = refused
    with pytest.raises(OSError, match=message) as caught, storage.replacing(address) as file:
        file.write(b'x')
    assert caught.value.filename == address
    assert not isinstance(caught.value, FileNotFoundError)
    assert not errors.is_outside(caught.value)


@pytest.mark.parametrize(
    ('flags', 'address'),
    [
        (['--s3_endpoint_url=http://127.0.0.1:9', '--s3_access_key_id=k', '--s3_secret_access_key=s'], 's3://b/x'),
        (['--hdfs_host=127.0.0.1', '--hdfs_port=9', '--hdfs_user=root'], 'hdfs://x'),
    ],
    ids=['s3', 'hdfs'],
)
def test_a_server_that_does_not_answer_is_an_outside_fault(flags, address, monkeypatch):
    monkeypatch.setenv('AWS_MAX_ATTEMPTS', '1')
    monkeypatch.setenv('AWS_DEFAULT_REGION', 'us-east-1')
    storage.configure(PipelineOptions(flags))
    try:
        with pytest.raises(errors.OutsideError, match=f'^{address}: cannot be written: '), storage.writing('y'):
            storage.write(address, b'x')
    finally:
        storage.configure(None)


@pytest.mark.parametrize('remote', [store for store in STORES if store != 'gcs_on_s3'], indirect=True)
def test_of_many_writers_one_creates_the_file(remote):
    """Beam's file system for S3 has no conditions, so the store for GCS is tested with Google's client alone."""
    address = f'{remote.url}/a/{"x" * 40}.json'
    with futures.ThreadPoolExecutor(8) as pool:
        written = list(pool.map(lambda k: storage.create(address, b'%d' % k), range(8)))
    assert written.count(True) == 1
    assert remote.get(f'a/{"x" * 40}.json') == b'%d' % written.index(True)
    assert not storage.create(address, b'late')
    assert len(remote.names()) == 1  # no file of the others is left
    storage.remove(address)
    assert storage.create(address, b'again')
    assert storage.read_bytes(address) == b'again'
