"""Files elsewhere than on this disk: `s3://`, `gs://` and `hdfs://` addresses.

An object store has whole objects and no directories: an object appears when its writing ends, there is no rename, and
a name says nothing about other names. So nothing here takes a directory, and what is written is written whole or not at
all. Functions that also take paths on this disk say so. Beam is imported where an address is met, never before.

Where credentials and endpoints are not in the environment, Beam's options bring them (`--s3_endpoint_url`,
`--hdfs_host`, ...); they reach the workers by themselves, and this process by `configure`. Every function raises
`OSError`, with the address as its `filename`, when the store refuses.
"""

import contextlib
import errno
import importlib.util
import logging
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Callable, Collection, Iterator
from typing import IO, Any

from seg_pipeline import errors, stores
from seg_pipeline.stores import Entry

_ADDRESS = re.compile(r'([a-z][a-z0-9]*)://')
# What each scheme needs: a module, and the extra that brings it.
_NEEDS = {'s3': ('boto3', 'aws'), 'gs': ('google.cloud.storage', 'gcp'), 'hdfs': ('hdfs', 'hdfs')}


def is_url(path: str) -> bool:
    """Whether a path is an address and not on this disk."""
    return _ADDRESS.match(path) is not None


def check(path: str) -> None:
    """Makes sure that an address can be used here, before Beam tries for minutes; a path of this disk always can.

    Raises:
        UserError: if its scheme is unknown, a package is missing, or the store lets nobody in.
    """
    found = _ADDRESS.match(path)
    if not found:
        return
    if found[1] not in _NEEDS:
        raise errors.UserError(f'{path}: unknown scheme {found[1]}; known are {", ".join(_NEEDS)}, and paths')
    module, extra = _NEEDS[found[1]]
    try:
        present = importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        present = False
    if not present:
        raise errors.UserError(f"{path}: needs an extra: python -m pip install 'seg-pipeline[{extra}]'")
    try:
        with _os_errors(path):
            stores.of(path).knock(path)
    except OSError as error:
        raise errors.UserError(f'{path}: cannot be used: {error.strerror}') from error


def configure(options: Any) -> None:
    """Gives Beam's options to the file systems of this process, before a pipeline does."""
    from apache_beam.io.filesystems import FileSystems

    FileSystems.set_options(options)
    logging.getLogger('apache_beam.io').setLevel(logging.WARNING)  # else some write a line for each listing


def read_bytes(path: str, most: int | None = None) -> bytes:
    """Reads a file, here or elsewhere: all of it, or its first bytes."""
    size = -1 if most is None else most
    if not is_url(path):
        with open(path, 'rb') as file:
            return file.read(size)
    with _os_errors(path), stores.of(path).open(path) as file:
        return file.read(size)


def exists(path: str) -> bool:
    """Whether there is a file of that name, here or elsewhere."""
    if not is_url(path):
        return os.path.exists(path)
    with _os_errors(path):
        return stores.of(path).exists(path)


def existing(paths: Collection[str]) -> set[str]:
    """Those of some files of one directory that are there, here or elsewhere."""
    first = next(iter(paths), '')
    if not is_url(first):
        return {path for path in paths if os.path.exists(path)}
    root = first.rpartition('/')[0]
    return {f'{root}/{name}' for name in entries(root)}.intersection(paths)


def remove(path: str) -> None:
    """Removes a file, here or elsewhere, if it is there."""
    if not is_url(path):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        return
    with _os_errors(path):
        stores.of(path).delete(path)


def num_bytes(path: str) -> int:
    """The size of a file, here or elsewhere."""
    if not is_url(path):
        return os.stat(path).st_size
    with _os_errors(path):
        return stores.of(path).num_bytes(path)


def entries(root: str) -> dict[str, Entry]:
    """Everything below an address, by its path relative to it."""
    prefix = root.rstrip('/') + '/'
    with _os_errors(root):
        return {path.removeprefix(prefix): entry for path, entry in stores.of(root).list(prefix)}


def statuses(root: str) -> Callable[[str], Entry | None]:
    """Looks up files below a root, here or elsewhere: elsewhere, by one listing for all.

    Returns:
        A function from a path relative to the root to what is known of the file; None if there is no such file, or it
        is a pipe or device.
    """
    if is_url(root):
        return entries(root).get

    def status(path: str) -> Entry | None:
        try:
            found = os.stat(f'{root}/{path}')
        except OSError:
            return None
        if not stat.S_ISREG(found.st_mode):  # a pipe would wait for ever, a device has no end
            return None
        return Entry(found.st_size, found.st_mtime_ns, (found.st_dev, found.st_ino))

    return status


def copy(source: str, target: str) -> None:
    """Copies a file within one store, by the store itself where it can."""
    with _os_errors(source):
        stores.of(source).copy(source, target)


@contextlib.contextmanager
def local_copy(path: str) -> Iterator[str]:
    """A path on this disk with a file's contents: its own, or that of a copy that lives as long as the block."""
    if not is_url(path):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix='copy-') as directory:
        target = os.path.join(directory, path.rpartition('/')[2])
        with _os_errors(path), stores.of(path).open(path) as source, open(target, 'wb') as file:
            shutil.copyfileobj(source, file, stores.BUFFER_BYTES)
        yield target


@contextlib.contextmanager
def replacing(path: str) -> Iterator[IO[bytes]]:
    """A file on this disk whose contents become an object when the block ends without an exception.

    By way of this disk, because a stream to an object that breaks off in the middle would leave its beginning there.
    """
    with tempfile.NamedTemporaryFile(prefix='upload-') as file:
        yield file
        file.flush()
        with _os_errors(path), open(file.name, 'rb') as source:
            stores.of(path).put(source, path)


@contextlib.contextmanager
def _os_errors(path: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path) from error
    except Exception as error:  # what each store's library raises, Beam's own exceptions among it
        raise OSError(errno.EIO, ' '.join(str(error).split()), path) from error
