"""HDFS, by HdfsCLI, the client inside Beam's file system for it."""

import contextlib
import functools
import io
import logging
import posixpath
import time
import uuid
from collections.abc import Iterator
from typing import IO, Any

from seg_pipeline.storage.store import BUFFER_BYTES, Entry, RemoteStore

_DEFAULT_PORT = 9870  # of a name node's web interface since Hadoop 3
_HIDDEN_SUFFIX = '.uploading'
_ABANDONED_SECONDS = 24 * 3600
_ATTEMPTS = 10


class HdfsStore(RemoteStore):
    """HDFS by HdfsCLI and Beam's options; without `--hdfs_host`, by HdfsCLI's configuration file.

    Not by Beam's file system, which raises for a missing directory instead of listing nothing, and does not overwrite.

    Other clients see a file of HDFS while it is being written. So a file is written under a hidden name and renamed
    when it is complete. `list` leaves hidden names out, because a running command would find the uploads of another
    one among its files. An upload that was killed stays, and HDFS has no locks by which to tell; so a hidden
    file that has not changed for a day, longer than any upload takes, is listed, and whatever removes unknown files
    removes it.
    """

    def __init__(self, options: Any) -> None:
        import hdfs
        from apache_beam.options.pipeline_options import HadoopFileSystemOptions

        logging.getLogger('hdfs').setLevel(logging.WARNING)  # else it writes a line for each request
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
        with contextlib.ExitStack() as stack:
            try:
                file = stack.enter_context(self._client.read(self._path(path)))
            except self._error as error:
                if error.exception == 'FileNotFoundException':
                    raise FileNotFoundError(path) from error
                raise
            yield file  # outside the `try`: the block may use this client for another file

    def put(self, source: IO[bytes], path: str) -> None:
        with self._hidden(source, path) as hidden:
            self._rename(hidden, self._path(path))

    def create(self, path: str, data: bytes) -> bool:
        with self._hidden(io.BytesIO(data), path) as hidden:
            # Without the option to replace, the name node renames only if there is no such file.
            done = bool(self._client._rename(hidden, destination=self._path(path)).json()['boolean'])
            if not done:
                self._client.delete(hidden)
            return done

    @contextlib.contextmanager
    def _hidden(self, source: IO[bytes], path: str) -> Iterator[str]:
        """Uploads under a hidden name, for the block to rename; what is left of it after an error is removed."""
        directory, name = posixpath.split(self._path(path))
        hidden = posixpath.join(directory, f'.{name}.{uuid.uuid4().hex}{_HIDDEN_SUFFIX}')
        try:
            self._client.write(hidden, data=iter(functools.partial(source.read, BUFFER_BYTES), b''))
            yield hidden
        except BaseException:
            with contextlib.suppress(Exception):  # the first error is the one to report
                self._client.delete(hidden)
            raise

    def _rename(self, source: str, target: str) -> None:
        """Renames a file and replaces what has the name, in one step of the name node.

        HdfsCLI's own `rename` knows no option to replace. To delete the target first would leave a moment without a
        file, and if this process ends in it, there is none from then on.
        """
        for _ in range(_ATTEMPTS):
            answer = self._client._rename(source, destination=target, renameoptions='OVERWRITE')
            if not answer.content or answer.json()['boolean']:
                return
            # An HttpFS gateway ignores the option and answers "false" if the target exists. There, delete it after all;
            # and try again, because another writer may have put its own file there since. The last to finish wins.
            self._client.delete(target)
        raise self._error(f'{target}: cannot be replaced: other commands write it at the same time')

    def exists(self, path: str) -> bool:
        status = self._client.status(self._path(path), strict=False)
        return status is not None and status['type'] == 'FILE'

    def num_bytes(self, path: str) -> int:
        status = self._client.status(self._path(path), strict=False)
        if status is None:
            raise FileNotFoundError(path)
        return int(status['length'])

    def delete(self, path: str) -> None:
        self._client.delete(self._path(path))

    def copy(self, source: str, target: str) -> None:
        with self.open(source) as file:
            self.put(file, target)

    def list(self, prefix: str) -> Iterator[tuple[str, Entry]]:
        root = self._path(prefix)
        if self._client.status(root, strict=False) is None:
            return  # `walk` raises for a missing root
        for (directory, _), _, files in self._client.walk(root, status=True, ignore_missing=True):
            for name, status in files:
                age = time.time() - status['modificationTime'] / 1e3
                if name.endswith(_HIDDEN_SUFFIX) and age < _ABANDONED_SECONDS:
                    continue
                path = prefix + posixpath.relpath(posixpath.join(directory, name), root)
                yield path, Entry(status['length'], status['modificationTime'] * 1_000_000, path)
