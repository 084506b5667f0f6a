"""A bucket on moto's S3 server: a real HTTP endpoint on loopback."""

import contextlib
import dataclasses
import logging
from collections.abc import Iterator
from typing import Any

import boto3
from moto.server import ThreadedMotoServer

BUCKET = 'seg-pipeline-test'


@dataclasses.dataclass(frozen=True)
class Bucket:
    """An empty bucket.

    Attributes:
        url: its address, `s3://...`.
        flags: the Beam options that lead to it.
        client: boto3's own client, to look from outside.
    """

    url: str
    flags: tuple[str, ...]
    client: Any

    def put(self, name: str, data: bytes) -> None:
        """Makes an object."""
        self.client.put_object(Bucket=BUCKET, Key=name, Body=data)

    def get(self, name: str) -> bytes:
        """The bytes of an object."""
        return self.client.get_object(Bucket=BUCKET, Key=name)['Body'].read()

    def remove(self, name: str) -> None:
        """Removes an object."""
        self.client.delete_object(Bucket=BUCKET, Key=name)

    def names(self, prefix: str = '') -> list[str]:
        """The names of all objects that begin with a prefix."""
        pages = self.client.get_paginator('list_objects_v2').paginate(Bucket=BUCKET, Prefix=prefix)
        return [entry['Key'] for page in pages for entry in page.get('Contents', ())]

    def clear(self) -> None:
        """Removes all objects."""
        for name in self.names():
            self.remove(name)

    def environment(self, directory: str) -> dict[str, str]:
        """Variables with which a command finds it without flags; nothing goes to `directory`."""
        del directory
        return {
            'AWS_ENDPOINT_URL': self.flags[0].partition('=')[2],
            'AWS_ACCESS_KEY_ID': 'key',
            'AWS_SECRET_ACCESS_KEY': 'secret',
            'AWS_DEFAULT_REGION': 'us-east-1',
        }


@contextlib.contextmanager
def serve() -> Iterator[Bucket]:
    """Runs the server while the block runs."""
    logging.getLogger('werkzeug').setLevel(logging.WARNING)  # a line for each request
    server = ThreadedMotoServer(ip_address='127.0.0.1', port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        endpoint = f'http://{host}:{port}'
        client = boto3.client(
            's3',
            endpoint_url=endpoint,
            aws_access_key_id='key',
            aws_secret_access_key='secret',
            region_name='us-east-1',
        )
        client.create_bucket(Bucket=BUCKET)
        flags = (
            f'--s3_endpoint_url={endpoint}',
            '--s3_access_key_id=key',
            '--s3_secret_access_key=secret',
            '--s3_region_name=us-east-1',
        )
        running = Bucket(f's3://{BUCKET}', flags, client)
        yield running
        # The server's memory is that of this process: the next one would find what this one leaves.
        running.clear()
        client.delete_bucket(Bucket=BUCKET)
    finally:
        server.stop()
