"""Google Cloud Storage, by Beam's file system for it."""

import contextlib
import glob
import shutil
from collections.abc import Iterator
from typing import IO, Any

from seg_pipeline.storage.store import BUFFER_BYTES, Entry, RemoteStore


class GcsStore(RemoteStore):
    """Google Cloud Storage. But for `create`, it uses Beam's general interface alone: the tests run it on S3 as well.

    `put` relies on the library's upload: what is written appears when the file is closed, and not at all if the block
    raises. Beam's writer for S3 does not keep the second half of that, see `S3Store.put`.
    """

    def __init__(self, options: Any) -> None:
        from apache_beam.io.filesystem import CompressionTypes
        from apache_beam.io.filesystems import FileSystems

        self._options = options  # Beam's file systems already have them
        self._files = FileSystems
        self._raw = {'compression_type': CompressionTypes.UNCOMPRESSED}  # else Beam would unpack a user's .gz

    def probe(self, path: str) -> None:
        bucket = '/'.join(path.split('/')[:3])
        self._files.match([f'{bucket}/**'], limits=[1])

    def open(self, path: str) -> IO[bytes]:
        with _missing_files(path):
            file: IO[bytes] = self._files.open(path, **self._raw)
        return file

    def put(self, source: IO[bytes], path: str) -> None:
        with self._files.create(path, **self._raw) as target:
            shutil.copyfileobj(source, target, BUFFER_BYTES)

    def create(self, path: str, data: bytes) -> bool:
        # Beam's general interface has no conditions. Generation 0 is that of an object that does not exist.
        from apache_beam.io.gcp import gcsio
        from google.api_core import exceptions

        bucket, name = gcsio.parse_gcs_path(path)
        try:
            gcsio.GcsIO(pipeline_options=self._options).client.bucket(bucket).blob(name).upload_from_string(
                data, if_generation_match=0
            )
        except exceptions.PreconditionFailed:
            return False
        return True

    def exists(self, path: str) -> bool:
        return bool(self._files.exists(path))

    def num_bytes(self, path: str) -> int:
        with _missing_files(path):
            return int(self._files.get_filesystem(path).size(path))

    def delete(self, path: str) -> None:
        # Beam's file system for GCS, and not that for S3, takes the path for a pattern and deletes all that match it.
        self._files.delete([glob.escape(path) if path.startswith('gs://') else path])

    def copy(self, source: str, target: str) -> None:
        self._files.copy([source], [target])

    def list(self, prefix: str) -> Iterator[tuple[str, Entry]]:
        (found,) = self._files.match([f'{glob.escape(prefix)}**'])  # a name may hold [ or *
        for file in found.metadata_list:
            yield file.path, Entry(file.size_in_bytes, int(file.last_updated_in_seconds * 1e9), file.path)


@contextlib.contextmanager
def _missing_files(path: str) -> Iterator[None]:
    """Turns a 404 into a `FileNotFoundError`; Beam raises it as it is, or as a detail of a `BeamIOError`."""
    try:
        yield
    except Exception as error:
        details = getattr(error, 'exception_details', None) or {}
        if any(getattr(cause, 'code', None) == 404 for cause in (error, *details.values())):
            raise FileNotFoundError(path) from error
        raise
