"""The remote stores as fixtures. A new store is tested by a name in `STORES` and a branch in `remote`."""

import dataclasses
import io
import signal
import threading
import time

import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from seg_pipeline import storage
from seg_pipeline.storage import files
from tests import hdfs_server, s3_server
from tests.seg_pipeline.storage import memory_store

# `gcs_on_s3` is GcsStore with Beam's file system for S3 beneath it: the server for S3 runs everywhere.
STORES = ['memory', 's3', 'gcs_on_s3', pytest.param('hdfs', marks=hdfs_server.NEEDED)]


@dataclasses.dataclass(frozen=True)
class _Memory:
    """What `s3_server.Bucket` has, for a MemoryStore."""

    url: str = 'memory://bucket'
    refused: tuple[str, str] = ('memory://refused/x', 'permission denied')

    def put(self, name, data):
        memory_store.objects[f'{self.url}/{name}'] = data

    def get(self, name):
        return memory_store.objects[f'{self.url}/{name}']

    def names(self):
        return sorted(path.removeprefix(f'{self.url}/') for path in memory_store.objects)


@pytest.fixture
def memory(monkeypatch):
    """A store that is added in the way CONTRIBUTING describes: a module, and a line in `_KINDS`."""
    kind = files._Kind(memory_store.__name__, 'MemoryStore', 'json', 'extra')
    monkeypatch.setitem(files._KINDS, 'memory', kind)
    memory_store.objects.clear()
    return _Memory()


@pytest.fixture(scope='module')
def s3():
    with s3_server.serve() as running:
        yield running


@pytest.fixture
def bucket(s3):
    """An empty bucket of S3."""
    s3.clear()
    storage.configure(PipelineOptions(list(s3.flags)))
    yield s3
    storage.configure(None)


@pytest.fixture
def hdfs_directory():
    """An empty directory of HDFS."""
    with hdfs_server.connect() as directory:
        storage.configure(PipelineOptions(list(directory.flags)))
        yield directory
    storage.configure(None)


@pytest.fixture(params=STORES)
def remote(request):
    """An empty place in each of the remote stores.

    It has its `url`, and `put`, `get` and `names` to look from outside of the store; a `put` is seen at once.
    """
    if request.param == 'memory':
        return request.getfixturevalue('memory')
    if request.param == 'hdfs':
        return request.getfixturevalue('hdfs_directory')
    bucket = request.getfixturevalue('bucket')
    if request.param == 'gcs_on_s3':
        request.getfixturevalue('monkeypatch').setitem(files._KINDS, 's3', files._KINDS['gs'])
    return bucket


@pytest.fixture
def refused(remote):
    """An address that the store does not let write, and what it says."""
    if hasattr(remote, 'refused'):
        return remote.refused
    if remote.url.startswith('hdfs:'):
        remote.put('x', b'x')
        return f'{remote.url}/x/y', 'is not a directory'
    return 's3://no-such-bucket/x', 'does not exist'


class _BrokenFile(io.BytesIO):
    """A file whose reading fails in the middle, behind the first part of an upload in several parts."""

    def __init__(self, error):
        super().__init__(bytes(24 << 20))
        self._error = error

    def read(self, size=-1):
        main, middle = threading.main_thread(), 12 << 20
        if size < 0 or self.tell() + size > middle:
            if isinstance(self._error, OSError) or threading.current_thread() is main:
                raise self._error
            # An interrupt is raised in the main thread, whichever reads: one in a thread of boto3 is no error to it,
            # and it would wait for the end of that thread's part for ever.
            if self.tell() <= middle:
                signal.pthread_kill(main.ident, signal.SIGINT)
                time.sleep(0.2)
        return super().read(size)


@pytest.fixture(params=[OSError('the disk fails'), KeyboardInterrupt()], ids=['OSError', 'KeyboardInterrupt'])
def broken_file(request):
    return _BrokenFile(request.param)
