"""Files in a bucket, by S3's client and by Beam's file systems, and in HDFS where one runs; looked at from outside."""

import contextlib
import time
from concurrent import futures

import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from seg_pipeline import errors, storage
from seg_pipeline.storage import files
from tests import hdfs_server, s3_server


def _entries(root):
    return storage.of(root).entries(root)


@pytest.fixture(scope='module')
def server():
    with s3_server.serve() as running:
        yield running


@pytest.fixture
def bucket(server):
    server.clear()
    storage.configure(PipelineOptions(list(server.flags)))
    yield server
    storage.configure(None)


@pytest.fixture(params=['s3', 'beam', pytest.param('hdfs', marks=hdfs_server.NEEDED)])
def either(request, bucket, monkeypatch):
    """The bucket, by each of the two ways, or a directory of HDFS."""
    if request.param == 'hdfs':
        with hdfs_server.connect() as directory:
            storage.configure(PipelineOptions(list(directory.flags)))
            yield directory
        return
    if request.param == 'beam':
        monkeypatch.setitem(files._KINDS, 's3', files._KINDS['gs'])
    yield bucket


def test_reading_writing_and_removing(either):
    url = f'{either.url}/a/b.bin'
    assert not storage.exists(url)
    with pytest.raises(FileNotFoundError) as caught:
        storage.read_bytes(url)
    assert caught.value.filename == url
    data = bytes(range(256)) * 9000
    with storage.replacing(url) as file:
        file.write(data)
        assert either.names() == []  # nothing is there before the end
    with storage.replacing(url) as file:
        file.write(data)  # in the place of what is there
    assert either.get('a/b.bin') == data == storage.read_bytes(url)
    assert storage.read_head(url, 10) == data[:10]
    assert storage.exists(url)
    with storage.local_copy(url) as path, open(path, 'rb') as file:
        assert file.read() == data
    storage.copy(url, f'{either.url}/c')
    assert either.get('c') == data
    storage.remove(url)
    storage.remove(url)
    assert either.names() == ['c']


def test_a_failure_leaves_the_object_as_it_was(either):
    either.put('x', b'old')
    with contextlib.suppress(KeyError), storage.replacing(f'{either.url}/x') as file:
        file.write(b'new')
        raise KeyError
    assert either.get('x') == b'old'


@pytest.mark.parametrize('either', ['s3', pytest.param('hdfs', marks=hdfs_server.NEEDED)], indirect=True)
def test_an_empty_object(either):  # which Beam's writer for S3 cannot write
    with storage.replacing(f'{either.url}/empty'):
        pass
    assert either.get('empty') == b'' == storage.read_bytes(f'{either.url}/empty')


def test_entries(either):
    for name in ('d/1.png', 'd/sub/2.png', 'd/.hidden', 'dd/3.png'):
        either.put(name, name.encode())
    found = _entries(f'{either.url}/d')
    assert {name: entry.num_bytes for name, entry in found.items()} == {'1.png': 7, 'sub/2.png': 11, '.hidden': 9}
    assert all(abs(entry.modified_ns / 1e9 - time.time()) < 100 for entry in found.values())
    assert _entries(f'{either.url}/nothing') == {}


def test_more_entries_than_a_page_of_the_listing(bucket):
    for number in range(1001):
        bucket.put(f'many/{number:04d}', b'')
    assert list(_entries(f'{bucket.url}/many')) == [f'{number:04d}' for number in range(1001)]


def test_what_the_store_refuses_is_an_os_error_with_the_address(either):
    if either.url.startswith('hdfs:'):
        either.put('x', b'x')
        with pytest.raises(OSError, match='is not a directory') as caught, storage.replacing(f'{either.url}/x/y'):
            pass
        assert caught.value.filename == f'{either.url}/x/y'
        return
    with pytest.raises(OSError, match='does not exist') as caught, storage.replacing('s3://no-such-bucket/x') as file:
        file.write(b'x')
    assert caught.value.filename == 's3://no-such-bucket/x'


def test_paths_of_this_disk_stay_themselves(tmp_path):
    path = str(tmp_path / 'x')
    assert not storage.exists(path)
    (tmp_path / 'x').write_bytes(b'abc')
    assert (storage.read_bytes(path), storage.read_head(path, 2), storage.exists(path)) == (b'abc', b'ab', True)
    with storage.local_copy(path) as same:
        assert same == path
    storage.remove(path)
    storage.remove(path)
    assert not (tmp_path / 'x').exists()


def test_addresses_that_cannot_be_used_are_told_before_the_work(bucket, monkeypatch):
    for path in ('/a/b', 'relative/s3://', 'c:/x', f'{bucket.url}/x', bucket.url):
        storage.check(path)
    with pytest.raises(errors.UserError, match=r's3://no-such-bucket/x: cannot be used: .*Not Found'):
        storage.check('s3://no-such-bucket/x')
    nobody = PipelineOptions(['--s3_endpoint_url=http://127.0.0.1:9', *bucket.flags[1:]])
    storage.configure(nobody)
    with pytest.raises(errors.UserError, match='cannot be used: Could not connect'):
        storage.check(bucket.url)
    assert not storage.has_directories('s3://bucket/x')
    assert storage.has_directories('/a/s3://b')
    with pytest.raises(errors.UserError, match='unknown scheme ftp; known are s3, gs, hdfs'):
        storage.check('ftp://x/y')
    monkeypatch.setattr(files.importlib.util, 'find_spec', lambda name: None)
    with pytest.raises(errors.UserError, match=r"needs an extra: .*'seg-pipeline\[aws\]'"):
        storage.check('s3://bucket/x')


# HDFS, which shows what is half written.


@pytest.fixture
def directory():
    with hdfs_server.connect() as directory:
        storage.configure(PipelineOptions(list(directory.flags)))
        yield directory
    storage.configure(None)


@hdfs_server.NEEDED
def test_an_upload_to_hdfs_is_hidden_until_it_ends_and_shown_when_it_never_will(directory):
    seen = []

    class Source:
        def read(self, size):
            seen.append((directory.names(), _entries(directory.url)))
            return b'' if len(seen) > 2 else b'half'

    storage.of(directory.url).put(Source(), f'{directory.url}/x')
    ((name,), listed) = seen[-1]
    assert name.startswith('.x.')
    assert listed == {}
    assert directory.names() == ['x']
    assert directory.get('x') == b'halfhalf'
    directory.put(name, b'killed')
    assert _entries(directory.url).keys() == {'x'}
    day_before = int((time.time() - 25 * 3600) * 1000)
    directory.client.set_times(f'{hdfs_server.ROOT}/{name}', modification_time=day_before)
    assert _entries(directory.url).keys() == {'x', name}


@hdfs_server.NEEDED
def test_writers_of_one_file_on_hdfs_leave_one_of_the_contents(directory):
    contents = [bytes([number]) * 1000 for number in range(8)]

    def write(data):
        with storage.replacing(f'{directory.url}/x') as file:
            file.write(data)

    with futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(write, contents))
    assert directory.names() == ['x']
    assert directory.get('x') in contents


@hdfs_server.NEEDED
def test_addresses_of_hdfs_with_a_server_in_them(directory):
    directory.put('a/b', b'x')
    storage.configure(PipelineOptions([*directory.flags, '--hdfs_full_urls']))
    root = directory.url.replace('hdfs:/', 'hdfs://somewhere')
    assert _entries(root).keys() == {'a/b'}
    assert storage.read_bytes(f'{root}/a/b') == b'x'


@hdfs_server.NEEDED
def test_an_hdfs_that_is_named_nowhere_and_one_that_does_not_answer(directory, monkeypatch, tmp_path):
    monkeypatch.setenv('HDFSCLI_CONFIG', str(tmp_path / 'none.cfg'))
    storage.configure(PipelineOptions([]))
    with pytest.raises(errors.UserError, match=r'hdfs://x: cannot be used: .* --hdfs_host and --hdfs_port, or'):
        storage.check('hdfs://x')
    storage.configure(PipelineOptions(['--hdfs_host=127.0.0.1', '--hdfs_port=9']))
    with pytest.raises(errors.UserError, match=r'hdfs://x: cannot be used: .*Connection refused'):
        storage.check('hdfs://x')
