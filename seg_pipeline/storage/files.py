"""Files of any store, by a path on this disk or an address: `s3://`, `gs://`, `hdfs://`.

An object store has whole objects and no directories: an object appears when its writing ends, there is no rename, and
a name says nothing about other names. So nothing here takes a directory for granted, and what is written is written
as a whole or not at all. Beam is imported where an address is met, never before.

Where credentials and endpoints are not in the environment, Beam's options bring them (`--s3_endpoint_url`,
`--hdfs_host`, ...); they reach the workers by themselves, and this process by `configure`. Every function raises
`OSError`, with the address as its `filename`, when the store refuses.
"""

import contextlib
import importlib
import importlib.util
import logging
import re
import threading
from collections.abc import Callable, Collection, Iterator
from typing import IO, Any, NamedTuple

from seg_pipeline import errors
from seg_pipeline.storage.local import LocalStore
from seg_pipeline.storage.store import Entry, Store, os_errors

_ADDRESS = re.compile(r'([a-z][a-z0-9]*)://')
_LOCAL = LocalStore()


class _Kind(NamedTuple):
    """A remote store: what it needs, which extra brings that, and the class that is imported when it is met."""

    needs: str
    extra: str
    module: str
    class_name: str


_KINDS = {
    's3': _Kind('boto3', 'aws', 'seg_pipeline.storage.s3', 'S3Store'),
    'gs': _Kind('google.cloud.storage', 'gcp', 'seg_pipeline.storage.gcs', 'GcsStore'),
    'hdfs': _Kind('hdfs', 'hdfs', 'seg_pipeline.storage.hdfs', 'HdfsStore'),
}
_clients = threading.local()  # a client is good for one thread


def has_directories(path: str) -> bool:
    """Whether a path is on this disk, where directories can be locked and renamed; an address has none."""
    return _ADDRESS.match(path) is None


def of(path: str) -> Store:
    """The store that a path or an address leads to, by the options that Beam's file systems have in this process."""
    found = _ADDRESS.match(path)
    if found is None:
        return _LOCAL
    from apache_beam.io.filesystems import FileSystems
    from apache_beam.options.pipeline_options import PipelineOptions

    options = FileSystems._pipeline_options or PipelineOptions([])
    if getattr(_clients, 'options', None) is not options:
        _clients.options, _clients.stores = options, {}
    kind = _KINDS[found[1]]
    if kind not in _clients.stores:
        _clients.stores[kind] = getattr(importlib.import_module(kind.module), kind.class_name)(options)
    return _clients.stores[kind]


@contextlib.contextmanager
def _store(path: str) -> Iterator[Store]:
    """The store of a path; whatever the library of a remote one raises becomes an `OSError` that names the address."""
    if has_directories(path):
        yield _LOCAL
        return
    with os_errors(path):
        yield of(path)


def check(path: str) -> None:
    """Makes sure that an address can be used here, before Beam tries for minutes; a path of this disk always can.

    Raises:
        UserError: if its scheme is unknown, a package is missing, or the store lets nobody in.
    """
    found = _ADDRESS.match(path)
    if not found:
        return
    kind = _KINDS.get(found[1])
    if kind is None:
        raise errors.UserError(f'{path}: unknown scheme {found[1]}; known are {", ".join(_KINDS)}, and paths')
    try:
        present = importlib.util.find_spec(kind.needs) is not None
    except ModuleNotFoundError:
        present = False
    if not present:
        raise errors.UserError(f"{path}: needs an extra: python -m pip install 'seg-pipeline[{kind.extra}]'")
    try:
        with _store(path) as store:
            store.probe(path)
    except OSError as error:
        raise errors.UserError(f'{path}: cannot be used: {error.strerror}') from error


def configure(options: Any) -> None:
    """Gives Beam's options to the file systems of this process, before a pipeline does."""
    from apache_beam.io.filesystems import FileSystems

    FileSystems.set_options(options)
    logging.getLogger('apache_beam.io').setLevel(logging.WARNING)  # else some write a line for each listing


@contextlib.contextmanager
def writing(path: str) -> Iterator[None]:
    """Tells the user, on one line, that something below `path` cannot be written.

    Raises:
        UserError: for an `OSError` in the block.
    """
    try:
        yield
    except OSError as error:
        raise errors.UserError(f'{error.filename or path}: cannot be written: {error.strerror}') from error


def read_bytes(path: str) -> bytes:
    """Reads all of a file."""
    with _store(path) as store, store.open(path) as file:
        return file.read()


def read_head(path: str, num_bytes: int) -> bytes:
    """Reads the first bytes of a file, fewer if it has fewer."""
    with _store(path) as store, store.open(path) as file:
        return file.read(num_bytes)


def read_at_most(path: str, limit: int) -> bytes:
    """Reads all of a regular file. Raises `FileTooLargeError` if it has more than `limit` bytes."""
    with _store(path) as store:
        return store.read_at_most(path, limit)


@contextlib.contextmanager
def replacing(path: str) -> Iterator[IO[bytes]]:
    """A file on this disk whose contents appear under `path`, all at once, when the block ends without an exception."""
    with _store(path) as found:
        store = found
    with store.replacing(path) as file:  # what the block itself raises is no error of the store
        yield file


def write(path: str, data: bytes) -> None:
    """Writes a small file through `replacing`."""
    with replacing(path) as file:
        file.write(data)


@contextlib.contextmanager
def local_copy(path: str) -> Iterator[str]:
    """A path on this disk with a file's contents: its own, or that of a copy that lives as long as the block."""
    with contextlib.ExitStack() as stack:
        with _store(path) as store:  # what the block itself raises is no error of the store
            local = stack.enter_context(store.local_copy(path))
        yield local


def exists(path: str) -> bool:
    """Whether there is a file of that name."""
    with _store(path) as store:
        return store.exists(path)


def existing(paths: Collection[str]) -> set[str]:
    """Those of some files of one directory that are there."""
    directory = next(iter(paths), '').rpartition('/')[0]
    with _store(directory) as store:
        return store.existing(directory, paths)


def remove(path: str) -> None:
    """Removes a file if it is there."""
    with _store(path) as store:
        store.delete(path)


def num_bytes(path: str) -> int:
    """The size of a file."""
    with _store(path) as store:
        return store.num_bytes(path)


def names(root: str, *, hidden: bool = True) -> list[str]:
    """All files below a root, relative to it, with `/` between the parts, sorted.

    Links to directories are followed; a directory that is met again on its own path is not.

    Args:
        root: a directory, or the beginning of an address.
        hidden: with files and directories whose names begin with a dot.

    Raises:
        FileNotFoundError: if there is no such directory, or nothing at the address.
        OSError: if it cannot be listed.
    """
    with _store(root) as store:
        return sorted(store.names(root, hidden=hidden))


def statuses(root: str) -> Callable[[str], Entry | None]:
    """Looks up files below a root: elsewhere than on this disk, by one listing for all.

    Returns:
        A function from a path relative to the root to what is known of the file; None if there is no such file, or it
        is a pipe or device.
    """
    with _store(root) as store:
        return store.statuses(root)


def copy(source: str, target: str) -> None:
    """Copies a file within one store, by the store itself where it can."""
    with _store(source) as store:
        store.copy(source, target)
