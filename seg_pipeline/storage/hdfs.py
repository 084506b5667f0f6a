"""HDFS, by the client beneath Beam's file system."""

import contextlib
import functools
import logging
import posixpath
import time
import uuid
from collections.abc import Iterator
from typing import IO, Any

from seg_pipeline.storage.store import BUFFER_BYTES, Entry, RemoteStore

_DEFAULT_PORT = 9870  # of the name node's web interface, Hadoop's own default
_HIDDEN_SUFFIX = '.uploading'
_ABANDONED_SECONDS = 24 * 3600  # no upload to HDFS takes as long
_ATTEMPTS = 10


class HdfsStore(RemoteStore):
    """HDFS by the client beneath Beam's file system, which lists no missing directory and writes over no file.

    A file of HDFS can be seen while it is written. So each is written under a hidden name, which `list` shows only when
    it is so old that its writer must be gone, and then renamed.

    The name node is that of Beam's options; without `--hdfs_host`, that of HdfsCLI's configuration file.
    """

    def __init__(self, options: Any) -> None:
        import hdfs
        from apache_beam.options.pipeline_options import HadoopFileSystemOptions

        logging.getLogger('hdfs').setLevel(logging.WARNING)  # else a line for each request
        given = options.view_as(HadoopFileSystemOptions)
        self._full_urls = bool(given.hdfs_full_urls)
        self._error = hdfs.HdfsError
        if given.hdfs_host:
            address = f'http://{given.hdfs_host}:{given.hdfs_port or _DEFAULT_PORT}'
            self._client = hdfs.InsecureClient(address, user=given.hdfs_user)
            return
        try:
            self._client = hdfs.Config().get_client()
        except hdfs.HdfsError as error:
            raise ValueError(
                f'name its server: --hdfs_host and --hdfs_port, or {hdfs.Config().path}: {error}'
            ) from error

    def _path(self, path: str) -> str:
        """`/a/b` of `hdfs://a/b`; with Beam's --hdfs_full_urls, of `hdfs://server/a/b`."""
        rest = path.removeprefix('hdfs://')
        if self._full_urls:
            rest = rest.partition('/')[2]
        return '/' + rest.strip('/')

    def probe(self, path: str) -> None:
        self._client.status('/')

    @contextlib.contextmanager
    def open(self, path: str) -> Iterator[IO[bytes]]:
        try:
            with self._client.read(self._path(path)) as file:
                yield file
        except self._error as error:
            if error.exception == 'FileNotFoundException':
                raise FileNotFoundError(path) from error
            raise

    def put(self, source: IO[bytes], path: str) -> None:
        directory, name = posixpath.split(self._path(path))
        hidden = posixpath.join(directory, f'.{name}.{uuid.uuid4().hex}{_HIDDEN_SUFFIX}')
        try:
            self._client.write(hidden, data=iter(functools.partial(source.read, BUFFER_BYTES), b''))
            self._rename(hidden, posixpath.join(directory, name))
        except BaseException:
            with contextlib.suppress(Exception):
                self._client.delete(hidden)
            raise

    def _rename(self, source: str, target: str) -> None:
        for attempt in range(_ATTEMPTS):
            self._client.delete(target)
            try:
                self._client.rename(source, target)
                return
            except self._error:  # another writer was faster: the last to finish wins
                if attempt == _ATTEMPTS - 1:
                    raise

    def exists(self, path: str) -> bool:
        status = self._client.status(self._path(path), strict=False)
        return status is not None and status['type'] == 'FILE'

    def num_bytes(self, path: str) -> int:
        status = self._client.status(self._path(path), strict=False)
        if status is None:
            raise FileNotFoundError(path)
        return status['length']

    def delete(self, path: str) -> None:
        self._client.delete(self._path(path))

    def copy(self, source: str, target: str) -> None:
        with self.open(source) as file:
            self.put(file, target)

    def list(self, prefix: str) -> Iterator[tuple[str, Entry]]:
        root = self._path(prefix)
        if self._client.status(root, strict=False) is None:
            return
        for (directory, _), _, files in self._client.walk(root, status=True, ignore_missing=True):
            for name, status in files:
                age = time.time() - status['modificationTime'] / 1e3
                if name.endswith(_HIDDEN_SUFFIX) and age < _ABANDONED_SECONDS:
                    continue
                path = prefix + posixpath.relpath(posixpath.join(directory, name), root)
                yield path, Entry(status['length'], status['modificationTime'] * 1_000_000, path)
