"""S3, by the boto3 client inside Beam's file system for it."""

import errno
import time
from collections.abc import Iterator
from typing import IO, Any

from seg_pipeline.storage.store import BUFFER_BYTES, Entry, RemoteStore

_ATTEMPTS = 20
_CONFLICT_SECONDS = 0.5


class S3Store(RemoteStore):
    """S3 by Beam's options for it, but not by Beam's file system.

    `S3FileSystem` makes a client for each operation, which takes 0.1 s. It cannot write an empty object, completes an
    upload that was broken off, and lists a missing bucket as an empty one. So only its reader and its requests for a
    single object are used; uploads and listings are boto3's own.
    """

    def __init__(self, options: Any) -> None:
        from apache_beam.io.aws import s3io

        self._s3 = s3io.S3IO(options=options)
        self._client = self._s3.client.client  # boto3's own
        self._parse = s3io.parse_s3_path

    def probe(self, path: str) -> None:
        self._client.head_bucket(Bucket=path.split('/')[2])

    def open(self, path: str) -> IO[bytes]:
        file: IO[bytes] = self._s3.open(path, 'rb', read_buffer_size=BUFFER_BYTES)
        return file

    def put(self, source: IO[bytes], path: str) -> None:
        # Not by Beam's writer: leaving its `with` block completes the upload even if an exception ends the block, so
        # that the beginning of a file would stand for the file. This one aborts the upload, of several parts too.
        self._client.upload_fileobj(source, *self._parse(path))

    def create(self, path: str, data: bytes) -> bool:
        created = self._create(path, data)
        # Some servers ignore a condition that they do not know: then the same request succeeds twice.
        if created and self._create(path, data):
            self.delete(path)
            raise OSError(errno.ENOTSUP, 'the server ignores conditional writes (If-None-Match)', path)
        return created

    def _create(self, path: str, data: bytes) -> bool:
        bucket, key = self._parse(path)
        for _ in range(_ATTEMPTS):
            try:
                self._client.put_object(Bucket=bucket, Key=key, Body=data, IfNoneMatch='*')
            except self._client.exceptions.ClientError as error:
                status = error.response.get('ResponseMetadata', {}).get('HTTPStatusCode')
                if status == 412:
                    return False
                if status == 501:
                    raise OSError(
                        errno.ENOTSUP, 'the server has no conditional writes (If-None-Match)', path
                    ) from error
                if status != 409:
                    raise
                time.sleep(_CONFLICT_SECONDS)  # another request for the same name is under way: its end decides
            else:
                return True
        raise OSError(errno.EIO, 'other commands write it at the same time', path)

    def exists(self, path: str) -> bool:
        return bool(self._s3.exists(path))

    def num_bytes(self, path: str) -> int:
        try:
            return int(self._s3.size(path))
        except Exception as error:
            if getattr(error, 'code', None) == 404:
                raise FileNotFoundError(path) from error
            raise

    def delete(self, path: str) -> None:
        self._s3.delete(path)

    def copy(self, source: str, target: str) -> None:
        self._s3.copy(source, target)

    def list(self, prefix: str) -> Iterator[tuple[str, Entry]]:
        # Not by Beam's listing, which is empty for a missing bucket and logs a line each time. A page has at most 1000
        # objects.
        bucket, key = self._parse(prefix, object_optional=True)
        for page in self._client.get_paginator('list_objects_v2').paginate(Bucket=bucket, Prefix=key):
            for found in page.get('Contents', ()):
                path = f's3://{bucket}/{found["Key"]}'
                yield path, Entry(found['Size'], int(found['LastModified'].timestamp() * 1e9), path)
