"""Functions on files by a local path or an address (`s3://`, `gs://`, `hdfs://`).

An object store has whole objects and no directories: an object appears when its upload ends, cannot be renamed, and its
name implies nothing about other names. So no function here needs a directory to exist, and whatever is written appears
complete or not at all. The library of a store is imported when an address of it is first used.

Endpoints and credentials come from the environment, or from Beam's options (`--s3_endpoint_url`, `--hdfs_host`, ...).
Beam hands its options to its workers; `configure` sets them in the process of a command. If a store refuses, every
function raises `OSError` with the address as its `filename`; `FileNotFoundError` if there is no such file.
"""

import contextlib
import importlib
import importlib.util
import logging
import os
import re
import threading
from collections.abc import Callable, Collection, Iterator
from typing import IO, Any, NamedTuple

from seg_pipeline import errors
from seg_pipeline.storage.local import LocalStore
from seg_pipeline.storage.store import Entry, Store
from seg_pipeline.storage.store_errors import os_errors

_ADDRESS = re.compile(r'([a-z][a-z0-9]*)://')
_LOCAL = LocalStore()


class _Kind(NamedTuple):
    """How to get a remote store.

    Attributes:
        module: where the class is; imported when an address of the store is first used.
        class_name: a `RemoteStore` whose constructor takes Beam's options.
        needs: a module whose absence shows that an extra is not installed; empty if no extra is needed.
        extra: the extra of this package that installs it.
    """

    module: str
    class_name: str
    needs: str = ''
    extra: str = ''


_KINDS = {
    's3': _Kind('seg_pipeline.storage.s3', 'S3Store', needs='boto3', extra='aws'),
    'gs': _Kind('seg_pipeline.storage.gcs', 'GcsStore', needs='google.cloud.storage', extra='gcp'),
    'hdfs': _Kind('seg_pipeline.storage.hdfs', 'HdfsStore', needs='hdfs', extra='hdfs'),
}
_quiet = threading.RLock()  # of two threads at once, one would restore what the other one had set
_made = threading.local()  # stores by their kind: the clients in them may not be shared by threads


def has_directories(path: str) -> bool:
    """Whether a path is local, so that its directory can be locked and renamed; an address has no directories."""
    return _ADDRESS.match(path) is None


def _kind(path: str) -> _Kind | None:
    """The kind of the store that a path belongs to; None for a local path.

    Raises:
        UserError: if its scheme is unknown.
    """
    found = _ADDRESS.match(path)
    if found is None:
        return None
    if found[1] not in _KINDS:
        raise errors.UserError(f'{path}: unknown scheme {found[1]}; known are {", ".join(_KINDS)}, and paths')
    return _KINDS[found[1]]


def of(path: str) -> Store:
    """The store that a path or an address belongs to, with the options that Beam's file systems have in this process.

    Raises:
        OSError: if its client cannot be made.
        UserError: if its scheme is unknown.
    """
    kind = _kind(path)
    if kind is None:
        return _LOCAL
    with os_errors(path):
        with _quiet_log():
            from apache_beam.io.filesystems import FileSystems
            from apache_beam.options.pipeline_options import PipelineOptions

        # Beam has no public way to ask for its options. In a worker they are those of the pipeline.
        options = FileSystems._pipeline_options
        # Making a client takes up to 0.3 s, so it is kept as long as the options stay the same object. After a fork it
        # must not be: parent and child would read each other's answers from the connections that they share.
        valid_for = (options, os.getpid())
        if getattr(_made, 'valid_for', None) != valid_for:
            _made.valid_for, _made.stores = valid_for, {}
        if kind not in _made.stores:
            with _quiet_log():
                make = getattr(importlib.import_module(kind.module), kind.class_name)
                _made.stores[kind] = make(options or PipelineOptions([]))
            _leave_out_listings()
        store: Store = _made.stores[kind]
        return store


@contextlib.contextmanager
def _quiet_log() -> Iterator[None]:
    """Shows no line that is logged meanwhile: importing Beam tells of extras, and installs a handler to show it."""
    with _quiet:
        silence, disabled = logging.NullHandler(), logging.root.manager.disable
        logging.getLogger().addHandler(silence)
        logging.disable(logging.CRITICAL)
        try:
            yield
        finally:
            logging.disable(disabled)
            logging.getLogger().removeHandler(silence)


@contextlib.contextmanager
def _store(path: str) -> Iterator[Store]:
    """The store of a path, for calls that end inside the block: what a remote one raises becomes an `OSError`."""
    store = of(path)
    if store is _LOCAL:  # the operating system's own errors name the file and say enough
        yield store
        return
    with os_errors(path):
        yield store


def check(path: str) -> None:
    """Makes sure that an address can be used, because Beam would try for minutes before it gives up.

    A local path always passes.

    Raises:
        UserError: if its scheme is unknown, a package is missing, or the store refuses a first request.
    """
    kind = _kind(path)
    if kind is None:
        return
    try:
        present = not kind.needs or importlib.util.find_spec(kind.needs) is not None
    except ModuleNotFoundError:  # not even the package around it
        present = False
    if not present:
        raise errors.UserError(f"{path}: needs an extra: python -m pip install 'seg-pipeline[{kind.extra}]'")
    try:
        with _store(path) as store:
            store.probe(path)
    except OSError as error:  # also a server that does not answer: its address may be mistyped
        raise errors.UserError(f'{path}: cannot be used: {error.strerror}') from error


def configure(options: Any) -> None:
    """Sets the options that stores and Beam's file systems use in this process, before a pipeline does."""
    from apache_beam.io.filesystems import FileSystems

    FileSystems.set_options(options)
    _leave_out_listings()


def _leave_out_listings() -> None:
    """Else some of Beam's file systems log a line for each listing."""
    logging.getLogger('apache_beam.io').setLevel(logging.WARNING)


@contextlib.contextmanager
def writing(path: str) -> Iterator[None]:
    """Turns an `OSError` of the block into one line for the user.

    Args:
        path: what is being written, for errors that name no file.

    Raises:
        UserError: for an `OSError` in the block; it names the error's own file if it has one.
        OutsideError: likewise, if the error is no mistake of the user: no space, a network that is down.
    """
    try:
        yield
    except OSError as error:
        kind = errors.OutsideError if errors.is_outside(error) else errors.UserError
        raise kind(f'{error.filename or path}: cannot be written: {error.strerror or error}') from error


def read_bytes(path: str) -> bytes:
    """Reads all of a file."""
    with _store(path) as store, store.open(path) as file:
        return file.read()


def read_head(path: str, num_bytes: int) -> bytes:
    """Reads the first bytes of a file, fewer if it has fewer."""
    with _store(path) as store, store.open(path) as file:
        return file.read(num_bytes)


def read_range(path: str, start: int, end: int) -> bytes:
    """Reads the bytes `start` to `end` - 1 of a file, or as many of them as it has."""
    with _store(path) as store, store.open(path) as file:
        if not file.seekable():
            return file.read()[start:end]
        file.seek(start)
        return file.read(end - start)


def read_at_most(path: str, limit: int) -> bytes:
    """Reads all of a regular file, and never more than `limit` + 1 bytes of it.

    Raises:
        FileTooLargeError: if it has more than `limit` bytes.
        OSError: if it is a pipe or a device, or cannot be read.
    """
    with _store(path) as store:
        return store.read_at_most(path, limit)


def replacing(path: str) -> contextlib.AbstractContextManager[IO[bytes]]:
    """A local file for the block to write; its contents appear under `path`, all at once, when the block ends.

    If the block raises, `path` stays as it was. A missing directory is made.

    Raises:
        OSError: if the file cannot be written or uploaded.
    """
    return of(path).replacing(path)  # not inside `_store`: what the block raises is no error of the store


def write(path: str, data: bytes) -> None:
    """Writes a small file through `replacing`."""
    with replacing(path) as file:
        file.write(data)


def create(path: str, data: bytes) -> bool:
    """Writes a small file, unless there is one of that name; of several writers at once, one does.

    Returns:
        Whether it was written.

    Raises:
        OSError: if it cannot be written; with the number ENOTSUP if the store has no conditional writes.
    """
    with _store(path) as store:
        return store.create(path, data)


def local_copy(path: str) -> contextlib.AbstractContextManager[str]:
    """A local path with the contents of a file: its own, or that of a copy that is deleted when the block ends."""
    return of(path).local_copy(path)  # not inside `_store`: what the block raises is no error of the store


def exists(path: str) -> bool:
    """Whether there is a file of that name; or, for a local path, a directory."""
    with _store(path) as store:
        return store.exists(path)


def existing(paths: Collection[str]) -> set[str]:
    """Those of `paths`, which are all in one directory, that exist. A remote store is asked once for all of them."""
    directory = next(iter(paths), '').rpartition('/')[0]
    with _store(directory) as store:
        return store.existing(directory, paths)


def remove(path: str) -> None:
    """Removes a file. It is no error if there is none."""
    with _store(path) as store:
        store.delete(path)


def num_bytes(path: str) -> int:
    """The size of a file, in bytes."""
    with _store(path) as store:
        return store.num_bytes(path)


def names(root: str, *, hidden: bool = True) -> list[str]:
    """All files below a root, relative to it, with `/` between the parts, sorted.

    Links to directories are followed, except one that leads back to a directory that contains it.

    Args:
        root: a directory, or an address.
        hidden: whether to include files and directories whose names begin with a dot.

    Raises:
        FileNotFoundError: if there is no such directory, or nothing at the address.
        OSError: if it cannot be listed.
    """
    with _store(root) as store:
        return sorted(store.names(root, hidden=hidden))


def iterate(root: str, *, hidden: bool = True) -> Iterator[str]:
    """The names of `names` in any order, without holding them.

    Raises:
        FileNotFoundError, OSError: as `names` does, but by the iteration.
    """
    with _store(root) as store:
        yield from store.names(root, hidden=hidden)


def statuses(root: str) -> Callable[[str], Entry | None]:
    """Looks up files below a root. A remote store is asked once, now, for all of them.

    Returns:
        A function from a path relative to the root to the file's entry; to None if there is no such file, or it is a
        pipe or a device.
    """
    with _store(root) as store:
        return store.statuses(root)


def copy(source: str, target: str) -> None:
    """Copies a file within one store, without a download where the store can."""
    with _store(source) as store:
        store.copy(source, target)
