"""What the functions of `storage` need of each kind of store: whole files, written under their name when they end.

Google's is reached through Beam's file system. Those of S3 and HDFS are not: what they lack stands with each class.
"""

import contextlib
import functools
import logging
import posixpath
import shutil
import threading
import time
import uuid
from collections.abc import Hashable, Iterator
from typing import IO, Any, NamedTuple, Protocol

BUFFER_BYTES = 1 << 20
_HDFS_PORT = 9870  # of the name node's web interface, Hadoop's own default
_HIDDEN_SUFFIX = '.uploading'
_ABANDONED_SECONDS = 24 * 3600  # no upload to HDFS takes as long
_ATTEMPTS = 10


class Entry(NamedTuple):
    """Size of a file in bytes, the time of its last change in nanoseconds, and what all names of one file share."""

    num_bytes: int
    modified_ns: int
    identity: Hashable


class Store(Protocol):
    """Files by their address. Any exception may be raised; `FileNotFoundError` says that there is no such file."""

    def knock(self, path: str) -> None:
        """Raises any exception if the store, the bucket or the credentials are not there; asks once."""

    def open(self, path: str) -> contextlib.AbstractContextManager[IO[bytes]]:
        """A file to read."""

    def put(self, source: IO[bytes], path: str) -> None:
        """Writes a file from the contents of another; it appears, or takes another's place, when all is written."""

    def exists(self, path: str) -> bool:
        """Whether there is a file of that name."""

    def num_bytes(self, path: str) -> int:
        """Its size."""

    def delete(self, path: str) -> None:
        """Removes it if it is there."""

    def copy(self, source: str, target: str) -> None:
        """Copies a file."""

    def list(self, prefix: str) -> Iterator[tuple[str, Entry]]:
        """All files below an address that ends with `/`, which need not be there."""


_stores = threading.local()  # the clients are good for one thread each


def of(path: str) -> Store:
    """The store that an address leads to, by the options that Beam's file systems have in this process."""
    from apache_beam.io.filesystems import FileSystems
    from apache_beam.options.pipeline_options import PipelineOptions

    options = FileSystems._pipeline_options or PipelineOptions([])
    if getattr(_stores, 'options', None) is not options:
        _stores.options, _stores.made = options, {}
    kind = _KINDS.get(path.partition('://')[0], BeamStore)
    if kind not in _stores.made:
        _stores.made[kind] = kind(options)
    return _stores.made[kind]


class BeamStore:
    """An object store, by Beam's file system for it."""

    def __init__(self, options: Any) -> None:
        from apache_beam.io.filesystem import CompressionTypes
        from apache_beam.io.filesystems import FileSystems

        del options  # Beam has them
        self._files = FileSystems
        self._raw = {'compression_type': CompressionTypes.UNCOMPRESSED}  # a .gz of the user's stays one

    def knock(self, path: str) -> None:
        pass

    def open(self, path: str) -> IO[bytes]:
        return self._files.open(path, **self._raw)

    def put(self, source: IO[bytes], path: str) -> None:
        with self._files.create(path, **self._raw) as target:
            shutil.copyfileobj(source, target, BUFFER_BYTES)

    def exists(self, path: str) -> bool:
        return self._files.exists(path)

    def num_bytes(self, path: str) -> int:
        return self._files.get_filesystem(path).size(path)

    def delete(self, path: str) -> None:
        if self._files.exists(path):  # some stores take the absence for an error
            self._files.delete([path])

    def copy(self, source: str, target: str) -> None:
        self._files.copy([source], [target])

    def list(self, prefix: str) -> Iterator[tuple[str, Entry]]:
        (found,) = self._files.match([f'{prefix}**'])
        for file in found.metadata_list:
            yield file.path, Entry(file.size_in_bytes, int(file.last_updated_in_seconds * 1e9), file.path)


class S3Store:
    """S3 by the client beneath Beam's file system, which would make a new one, 0.1 s of work, for each operation."""

    def __init__(self, options: Any) -> None:
        from apache_beam.io.aws import s3io

        self._s3 = s3io.S3IO(options=options)
        self._parse = s3io.parse_s3_path

    def knock(self, path: str) -> None:
        self._s3.client.client.head_bucket(Bucket=path.split('/')[2])

    def open(self, path: str) -> IO[bytes]:
        return self._s3.open(path, 'rb', read_buffer_size=BUFFER_BYTES)

    def put(self, source: IO[bytes], path: str) -> None:
        # Not by Beam's writer: closing it ends the upload even after a failure, and it cannot write an empty object.
        self._s3.client.client.upload_fileobj(source, *self._parse(path))

    def exists(self, path: str) -> bool:
        return self._s3.exists(path)

    def num_bytes(self, path: str) -> int:
        return self._s3.size(path)

    def delete(self, path: str) -> None:
        self._s3.delete(path)

    def copy(self, source: str, target: str) -> None:
        self._s3.copy(source, target)

    def list(self, prefix: str) -> Iterator[tuple[str, Entry]]:
        # Not by Beam's listing, which takes a bucket that is not there for an empty one, and logs a line each time.
        bucket, key = self._parse(prefix, object_optional=True)
        for page in self._s3.client.client.get_paginator('list_objects_v2').paginate(Bucket=bucket, Prefix=key):
            for found in page.get('Contents', ()):
                path = f's3://{bucket}/{found["Key"]}'
                yield path, Entry(found['Size'], int(found['LastModified'].timestamp() * 1e9), path)


class HdfsStore:
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
            address = f'http://{given.hdfs_host}:{given.hdfs_port or _HDFS_PORT}'
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

    def knock(self, path: str) -> None:
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


_KINDS = {'s3': S3Store, 'hdfs': HdfsStore}
