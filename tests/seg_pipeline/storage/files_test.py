from concurrent import futures

import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from seg_pipeline import errors, storage
from seg_pipeline.storage import files


def test_local_paths(tmp_path):
    path = str(tmp_path / 'new' / 'x')
    assert not storage.exists(path)
    storage.write(path, b'abc')
    assert (storage.read_bytes(path), storage.read_head(path, 2), storage.num_bytes(path)) == (b'abc', b'ab', 3)
    assert storage.exists(path)
    assert storage.exists(str(tmp_path))
    with storage.local_copy(path) as same:
        assert same == path
    storage.copy(path, f'{path}2')
    assert storage.names(str(tmp_path)) == ['new/x', 'new/x2']
    assert storage.read_bytes(f'{path}2') == b'abc'
    assert storage.existing([path, f'{path}3']) == {path}
    assert storage.existing([]) == set()
    storage.remove(path)
    storage.remove(path)
    assert not storage.exists(path)
    with pytest.raises(FileNotFoundError) as caught:
        storage.read_bytes(path)
    assert caught.value.filename == path


@pytest.mark.parametrize('path', ['/a/b', 'relative/s3://', 'c:/x', '/a/s3://b', 'S3://x'])
def test_what_is_no_address_is_a_local_path(path):
    assert storage.has_directories(path)
    assert storage.of(path).has_directories
    storage.check(path)


def test_an_address_has_no_directories(memory):
    assert not storage.has_directories(memory.url)
    assert not storage.of(memory.url).has_directories


def test_addresses_that_cannot_be_used(memory, monkeypatch):
    storage.check(f'{memory.url}/x')
    with pytest.raises(errors.UserError, match=r'^memory://refused/x: cannot be used: permission denied$'):
        storage.check('memory://refused/x')
    for use in (storage.check, storage.read_bytes):
        known = ', '.join(files._KINDS)
        with pytest.raises(errors.UserError, match=f'^ftp://x/y: unknown scheme ftp; known are {known}'):
            use('ftp://x/y')
    monkeypatch.setitem(files._KINDS, 'memory', files._KINDS['memory']._replace(needs='no_such.module'))
    with pytest.raises(errors.UserError, match=r"needs an extra: .*'seg-pipeline\[extra\]'"):
        storage.check(memory.url)


def test_a_client_that_cannot_be_made_is_an_os_error_with_the_address(memory, monkeypatch):
    monkeypatch.setitem(files._KINDS, 'memory', files._KINDS['memory']._replace(class_name='NoSuchStore'))
    for use in (storage.read_bytes, storage.replacing, storage.local_copy, storage.exists, storage.statuses):
        with pytest.raises(OSError, match='NoSuchStore') as caught:
            use(f'{memory.url}/x')
        assert caught.value.filename == f'{memory.url}/x'


def test_a_store_is_kept_for_one_thread_process_and_set_of_options(memory, monkeypatch):
    first = storage.of(memory.url)
    assert storage.of(f'{memory.url}/x') is first
    with futures.ThreadPoolExecutor(1) as pool:
        assert pool.submit(storage.of, memory.url).result() is not first
    assert storage.of(memory.url) is first
    options = PipelineOptions(['--s3_region_name=here'])
    storage.configure(options)
    second = storage.of(memory.url)
    assert second is not first
    assert second.options is options
    monkeypatch.setattr(files.os, 'getpid', lambda: -1)  # after a fork
    assert storage.of(memory.url) is not second
    storage.configure(None)


def test_an_error_of_the_operating_system_keeps_its_number(memory, monkeypatch):
    def full(*_):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(storage.of(memory.url), 'put', full)
    with pytest.raises(OSError, match='No space left') as caught:
        storage.write(f'{memory.url}/x', b'1')
    error = caught.value
    assert (error.errno, error.strerror, error.filename) == (28, 'No space left on device', f'{memory.url}/x')


@pytest.mark.parametrize(
    ('error', 'kind', 'message'),
    [
        (OSError(13, 'Permission denied', '/a/b'), errors.UserError, '/a/b: cannot be written: Permission denied'),
        (OSError(30, 'Read-only file system'), errors.UserError, '/a: cannot be written: Read-only file system'),
        (OSError(20, 'Not a directory'), errors.UserError, '/a: cannot be written: Not a directory'),
        (OSError('of a library'), errors.UserError, '/a: cannot be written: of a library'),
        (OSError(28, 'No space left on device'), errors.OutsideError, '/a: cannot be written: No space left on device'),
        (OSError(122, 'Disk quota exceeded'), errors.OutsideError, '/a: cannot be written: Disk quota exceeded'),
        (OSError(5, 'I/O error', '/a/b'), errors.OutsideError, '/a/b: cannot be written: I/O error'),
        (OSError(111, 'Connection refused'), errors.OutsideError, '/a: cannot be written: Connection refused'),
    ],
)
def test_what_cannot_be_written_is_one_line(error, kind, message):
    with pytest.raises(kind) as caught, storage.writing('/a'):
        raise error
    assert type(caught.value) is kind
    assert str(caught.value) == message


def test_other_errors_of_a_block_that_writes_are_passed_on():
    with pytest.raises(KeyError), storage.writing('/a'):
        raise KeyError
