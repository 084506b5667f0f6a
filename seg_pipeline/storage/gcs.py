"""Google Cloud Storage, by Beam's file system for it."""

import shutil
from collections.abc import Iterator
from typing import IO, Any

from seg_pipeline.storage.store import BUFFER_BYTES, Entry, RemoteStore


class GcsStore(RemoteStore):
    """Google Cloud Storage by Beam's file system. Nothing in it is Google's own: the tests run it against S3 too."""

    def __init__(self, options: Any) -> None:
        from apache_beam.io.filesystem import CompressionTypes
        from apache_beam.io.filesystems import FileSystems

        del options  # Beam has them
        self._files = FileSystems
        self._raw = {'compression_type': CompressionTypes.UNCOMPRESSED}  # a .gz of the user's stays one

    def probe(self, path: str) -> None:
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
