"""A directory of a real HDFS, where one is running.

Its name node's web address comes in `HDFS_NAMENODE` (`127.0.0.1:9870`). Needs the extra `hdfs` as well.
"""

import contextlib
import dataclasses
import os
import posixpath
from collections.abc import Iterator
from typing import Any

from tests import optional

ROOT = f'/seg-pipeline-test-{os.getpid()}'  # tests run in several processes at once
_NAMENODE = os.environ.get('HDFS_NAMENODE')
NEEDED = optional.HDFS.mark


@dataclasses.dataclass(frozen=True)
class Directory:
    """An empty directory, with what `s3_server.Bucket` has.

    Attributes:
        url: its address, `hdfs://...`.
        flags: the Beam options that lead to it.
        client: HdfsCLI's own client, to look from outside.
    """

    url: str
    flags: tuple[str, ...]
    client: Any

    def put(self, name: str, data: bytes) -> None:
        """Makes a file."""
        self.client.write(f'{ROOT}/{name}', data=data, overwrite=True)

    def get(self, name: str) -> bytes:
        """The bytes of a file."""
        with self.client.read(f'{ROOT}/{name}') as file:
            return file.read()

    def remove(self, name: str) -> None:
        """Removes a file."""
        self.client.delete(f'{ROOT}/{name}')

    def names(self, prefix: str = '') -> list[str]:
        """The names of all files that begin with a prefix."""
        walked = self.client.walk(ROOT, ignore_missing=True)
        names = [posixpath.relpath(f'{root}/{name}', ROOT) for root, _, files in walked for name in files]
        return sorted(name for name in names if name.startswith(prefix))

    def clear(self) -> None:
        """Removes everything."""
        self.client.delete(ROOT, recursive=True)
        self.client.makedirs(ROOT)

    def environment(self, directory: str) -> dict[str, str]:
        """Variables with which a command finds it without flags; a configuration file goes to `directory`."""
        path = os.path.join(directory, 'hdfscli.cfg')
        with open(path, 'w') as file:
            file.write(f'[global]\ndefault.alias = test\n[test.alias]\nurl = http://{_NAMENODE}\nuser = root\n')
        return {'HDFSCLI_CONFIG': path}


@contextlib.contextmanager
def connect() -> Iterator[Directory]:
    """Looks for the server, and leaves nothing behind."""
    import hdfs

    assert _NAMENODE
    host, port = _NAMENODE.split(':')
    flags = (f'--hdfs_host={host}', f'--hdfs_port={port}', '--hdfs_user=root')
    running = Directory(f'hdfs:/{ROOT}', flags, hdfs.InsecureClient(f'http://{_NAMENODE}', user='root'))
    running.clear()
    yield running
    running.client.delete(ROOT, recursive=True)
