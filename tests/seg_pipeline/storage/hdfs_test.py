"""What HDFS alone can do wrong: it shows a file that is being written, and does not overwrite."""

import itertools
import threading
import time
from concurrent import futures

import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from seg_pipeline import errors, storage
from tests import hdfs_server

pytestmark = hdfs_server.NEEDED


def _entries(root):
    return storage.of(root).entries(root)


def test_an_upload_is_hidden_until_it_ends_and_listed_when_it_never_will(hdfs_directory):
    seen = []

    class Source:
        def read(self, size):
            # The data node makes the file while the client already sends: it may appear a moment after the first read.
            deadline = time.monotonic() + 60
            while len(seen) == 2 and not hdfs_directory.names() and time.monotonic() < deadline:
                time.sleep(0.01)
            seen.append((hdfs_directory.names(), _entries(hdfs_directory.url)))
            return b'' if len(seen) > 2 else b'half'

    storage.of(hdfs_directory.url).put(Source(), f'{hdfs_directory.url}/x')
    ((name,), listed) = seen[-1]
    assert name.startswith('.x.')
    assert listed == {}
    assert hdfs_directory.names() == ['x']
    assert hdfs_directory.get('x') == b'halfhalf'
    hdfs_directory.put(name, b'killed')
    assert _entries(hdfs_directory.url).keys() == {'x'}
    day_before = int((time.time() - 25 * 3600) * 1000)
    hdfs_directory.client.set_times(f'{hdfs_server.ROOT}/{name}', modification_time=day_before)
    assert _entries(hdfs_directory.url).keys() == {'x', name}


def test_an_upload_that_breaks_off_leaves_no_hidden_file(hdfs_directory, broken_file):
    with pytest.raises((OSError, KeyboardInterrupt)):
        storage.of(hdfs_directory.url).put(broken_file, f'{hdfs_directory.url}/x')
    assert hdfs_directory.names() == []


def test_writers_of_one_file_leave_one_of_the_contents(hdfs_directory):
    contents = [bytes([number]) * 1000 for number in range(8)]
    with futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda data: storage.write(f'{hdfs_directory.url}/x', data), contents))
    assert hdfs_directory.names() == ['x']
    assert hdfs_directory.get('x') in contents


def test_a_file_that_is_replaced_is_there_at_every_moment(hdfs_directory):
    url = f'{hdfs_directory.url}/x'
    storage.write(url, b'0')
    done = threading.Event()

    def look():
        return all(storage.exists(url) for _ in itertools.takewhile(lambda _: not done.is_set(), itertools.count()))

    with futures.ThreadPoolExecutor(4) as pool:
        looking = [pool.submit(look) for _ in range(4)]
        for number in range(20):
            storage.write(url, bytes([number]))
        done.set()
    assert [found.result() for found in looking] == [True] * 4
    assert hdfs_directory.get('x') == bytes([19])


def test_a_gateway_that_does_not_know_how_to_replace(hdfs_directory, monkeypatch):
    """HttpFS ignores the option, and answers what HDFS answers without it."""
    store = storage.of(hdfs_directory.url)
    rename = type(store._client)._rename
    monkeypatch.setattr(
        type(store._client),
        '_rename',
        lambda client, source, destination, renameoptions: rename(client, source, destination=destination),
    )
    for data in (b'1', b'2'):
        storage.write(f'{hdfs_directory.url}/x', data)
    assert hdfs_directory.names() == ['x']
    assert hdfs_directory.get('x') == b'2'


def test_an_error_of_the_block_that_reads_is_passed_on_unchanged(hdfs_directory):
    hdfs_directory.put('x', b'1')
    store = storage.of(hdfs_directory.url)
    error = store._error('of another file', exception='FileNotFoundException')
    with pytest.raises(store._error) as caught, store.open(f'{hdfs_directory.url}/x'):
        raise error
    assert caught.value is error


def test_addresses_with_a_server_in_them(hdfs_directory):
    hdfs_directory.put('a/b', b'x')
    storage.configure(PipelineOptions([*hdfs_directory.flags, '--hdfs_full_urls']))
    root = hdfs_directory.url.replace('hdfs:/', 'hdfs://somewhere')
    assert _entries(root).keys() == {'a/b'}
    assert storage.read_bytes(f'{root}/a/b') == b'x'


def test_a_server_that_is_named_nowhere_and_one_that_does_not_answer(hdfs_directory, monkeypatch, tmp_path):
    storage.check(hdfs_directory.url)
    monkeypatch.setenv('HDFSCLI_CONFIG', str(tmp_path / 'none.cfg'))
    storage.configure(PipelineOptions([]))
    with pytest.raises(errors.UserError, match=r'hdfs://x: cannot be used: .* --hdfs_host and --hdfs_port, or'):
        storage.check('hdfs://x')
    storage.configure(PipelineOptions(['--hdfs_host=127.0.0.1', '--hdfs_port=9']))
    with pytest.raises(errors.UserError, match=r'hdfs://x: cannot be used: .*Connection refused'):
        storage.check('hdfs://x')
