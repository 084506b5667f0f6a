"""S3, by the client beneath Beam's file system."""

from collections.abc import Iterator
from typing import IO, Any

from seg_pipeline.storage.store import BUFFER_BYTES, Entry, RemoteStore


class S3Store(RemoteStore):
    """S3 by the client beneath Beam's file system, which would make a new one, 0.1 s of work, for each operation."""

    def __init__(self, options: Any) -> None:
        from apache_beam.io.aws import s3io

        self._s3 = s3io.S3IO(options=options)
        self._parse = s3io.parse_s3_path

    def probe(self, path: str) -> None:
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
