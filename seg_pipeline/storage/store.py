"""The protocol that every store follows, and the base class of the stores on other machines."""

import abc
import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Collection, Hashable, Iterator
from typing import IO, NamedTuple, Protocol

from seg_pipeline.storage.store_errors import FileTooLargeError, os_errors

BUFFER_BYTES = 1 << 20


class Entry(NamedTuple):
    """What is known of a file without reading it.

    Attributes:
        num_bytes: its size.
        modified_ns: the time of its last change, in nanoseconds.
        identity: equal for all names of one file (hard and symbolic links).
    """

    num_bytes: int
    modified_ns: int
    identity: Hashable


class Store(Protocol):
    """Files by their path or address.

    A method may raise whatever the store's library raises: `files` turns it into an `OSError`. `FileNotFoundError`
    alone has a meaning of its own: there is no such file.

    Attributes:
        has_directories: whether directories can be locked and renamed. Where they cannot, a data set is committed by
            writing its manifest last, see `building.object_commit`.
    """

    has_directories: bool

    def probe(self, path: str) -> None:
        """Raises any exception if the server, the bucket or the permission to use it is missing; one request."""

    def open(self, path: str) -> contextlib.AbstractContextManager[IO[bytes]]:
        """A file, opened for reading. It raises here, not at the first read, if there is no such file."""

    def read_at_most(self, path: str, limit: int) -> bytes:
        """All bytes of a file.

        Raises:
            FileTooLargeError: if there are more than `limit`.
            OSError: if it is a pipe, a device or a directory.
        """

    def replacing(self, path: str) -> contextlib.AbstractContextManager[IO[bytes]]:
        """A local file for the caller to write. Its contents appear under `path`, all at once, when the block ends.

        If the block raises, `path` stays as it was.
        """

    def create(self, path: str, data: bytes) -> bool:
        """Writes a small file, unless there is one of that name; whether it did. Of several writers at once, one does.

        Raises an `OSError` with the number ENOTSUP if the store has no such condition.
        """

    def local_copy(self, path: str) -> contextlib.AbstractContextManager[str]:
        """A local path with the file's contents, valid inside the block."""

    def exists(self, path: str) -> bool:
        """Whether there is a file of that name; where there are directories, or a directory."""

    def existing(self, directory: str, paths: Collection[str]) -> set[str]:
        """Those of `paths`, files below `directory`, that exist."""

    def num_bytes(self, path: str) -> int:
        """The size of a file."""

    def delete(self, path: str) -> None:
        """Deletes a file. It is no error if there is none."""

    def copy(self, source: str, target: str) -> None:
        """Copies a file within the store; `target` appears all at once."""

    def names(self, root: str, *, hidden: bool) -> Iterator[str]:
        """All files below a root, relative to it, in any order; without those whose path has a part like `.this`,
        unless `hidden`. Raises `FileNotFoundError` if there is no such root.
        """

    def statuses(self, root: str) -> Callable[[str], Entry | None]:
        """A function from a path relative to `root` to the file's entry; to None if it is no regular file."""


class RemoteStore(abc.ABC):
    """A store on other machines. A subclass implements the abstract methods; the others are made of these.

    Every file passes through a temporary file on the local disk, for two reasons. A stream that breaks off in the
    middle would leave an incomplete object in some stores, while a local file is complete before its upload starts. And
    the readers and writers of records need a file that they can seek in.
    """

    has_directories = False

    @abc.abstractmethod
    def probe(self, path: str) -> None: ...

    @abc.abstractmethod
    def open(self, path: str) -> contextlib.AbstractContextManager[IO[bytes]]: ...

    @abc.abstractmethod
    def put(self, source: IO[bytes], path: str) -> None:
        """Uploads a local file. It appears, or replaces another, only when all of it has arrived.

        If `source.read` or the upload raises anything, `KeyboardInterrupt` included, `path` stays as it was.
        """

    @abc.abstractmethod
    def exists(self, path: str) -> bool: ...

    @abc.abstractmethod
    def num_bytes(self, path: str) -> int: ...

    @abc.abstractmethod
    def delete(self, path: str) -> None: ...

    @abc.abstractmethod
    def copy(self, source: str, target: str) -> None: ...

    @abc.abstractmethod
    def list(self, prefix: str) -> Iterator[tuple[str, Entry]]:
        """The address and entry of every file below an address that ends with `/`; nothing if there are none."""

    def read_at_most(self, path: str, limit: int) -> bytes:
        # Not by the size: asking for it would be a second request for every file, and the file could change in between.
        with self.open(path) as file:
            data = file.read(limit + 1)
        if len(data) > limit:
            raise FileTooLargeError(path, len(data))
        return data

    @contextlib.contextmanager
    def replacing(self, path: str) -> Iterator[IO[bytes]]:
        with tempfile.NamedTemporaryFile(prefix='upload-') as file:
            yield file
            file.flush()
            # Opened again, because the caller's file is open for writing and stands at its end.
            with open(file.name, 'rb') as source, os_errors(path):
                self.put(source, path)

    @abc.abstractmethod
    def create(self, path: str, data: bytes) -> bool: ...

    @contextlib.contextmanager
    def local_copy(self, path: str) -> Iterator[str]:
        with tempfile.TemporaryDirectory(prefix='copy-') as directory:
            target = os.path.join(directory, path.rpartition('/')[2])  # some readers look at the suffix
            with os_errors(path), self.open(path) as source, open(target, 'wb') as file:
                shutil.copyfileobj(source, file, BUFFER_BYTES)
            yield target

    def existing(self, directory: str, paths: Collection[str]) -> set[str]:
        return {f'{directory}/{name}' for name in self.entries(directory)}.intersection(paths)

    def names(self, root: str, *, hidden: bool) -> Iterator[str]:
        is_empty = True
        for name, _ in self._below(root):
            is_empty = False
            if hidden or not any(part.startswith('.') for part in name.split('/')):
                yield name
        if is_empty:  # without directories, a root below which there is nothing cannot be told from a missing one
            raise FileNotFoundError(root)

    def statuses(self, root: str) -> Callable[[str], Entry | None]:
        return self.entries(root).get  # one listing for all files instead of a request for each

    def entries(self, root: str) -> dict[str, Entry]:
        """The entry of every file below an address, by its path relative to it."""
        return dict(self._below(root))

    def _below(self, root: str) -> Iterator[tuple[str, Entry]]:
        prefix = root.rstrip('/') + '/'
        return ((path.removeprefix(prefix), entry) for path, entry in self.list(prefix))
