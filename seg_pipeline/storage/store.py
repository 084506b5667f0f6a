"""What is needed of a place where files are kept: the protocol, and what all stores of other machines share."""

import abc
import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Collection, Hashable, Iterator
from typing import IO, NamedTuple, Protocol

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


class FileTooLargeError(OSError):
    """A file has more bytes than the caller is ready to read; nothing of it, or no more than that, was read."""

    def __init__(self, path: str, num_bytes: int) -> None:
        super().__init__(f'{path}: {num_bytes} bytes')
        self.filename = path
        self.num_bytes = num_bytes


class Store(Protocol):
    """Files by their path or address. Any exception may be raised; `FileNotFoundError` says that there is no such file.

    Attributes:
        has_directories: whether a directory can be locked and renamed. Where it cannot, a data set appears by its last
            file, see `building.object_commit`.
    """

    has_directories: bool

    def probe(self, path: str) -> None:
        """Raises any exception if the store, the bucket or the credentials are not there; asks once."""

    def open(self, path: str) -> contextlib.AbstractContextManager[IO[bytes]]:
        """A file to read."""

    def read_at_most(self, path: str, limit: int) -> bytes:
        """All bytes of a file. Raises `FileTooLargeError` if it has more than `limit`, `OSError` if it is a pipe."""

    def replacing(self, path: str) -> contextlib.AbstractContextManager[IO[bytes]]:
        """A file on this disk whose contents appear under `path`, all at once, when the block ends without an error."""

    def local_copy(self, path: str) -> contextlib.AbstractContextManager[str]:
        """A path on this disk with the file's contents, good for the block."""

    def exists(self, path: str) -> bool:
        """Whether there is a file of that name."""

    def existing(self, directory: str, paths: Collection[str]) -> set[str]:
        """Those of some files of one directory that are there."""

    def num_bytes(self, path: str) -> int:
        """Its size."""

    def delete(self, path: str) -> None:
        """Removes it if it is there."""

    def copy(self, source: str, target: str) -> None:
        """Copies a file within the store."""

    def names(self, root: str, *, hidden: bool) -> Iterator[str]:
        """All files below a root, relative to it, in any order; hidden ones only if they are wanted."""

    def statuses(self, root: str) -> Callable[[str], Entry | None]:
        """Looks up files below a root by their relative path; None for what is no file."""


@contextlib.contextmanager
def os_errors(path: str) -> Iterator[None]:
    """Turns whatever the library of a remote store raises into an `OSError` that names the address."""
    try:
        yield
    except FileTooLargeError:
        raise
    except FileNotFoundError as error:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path) from error
    except Exception as error:
        raise OSError(errno.EIO, ' '.join(str(error).split()), path) from error


class RemoteStore(abc.ABC):
    """A store on other machines: each of its operations is made of these few, and every file passes through this disk.

    By way of this disk, because a stream that breaks off in the middle would leave its beginning in some stores, and
    because the readers and writers of records want a file that they can seek in.
    """

    has_directories = False

    @abc.abstractmethod
    def probe(self, path: str) -> None: ...

    @abc.abstractmethod
    def open(self, path: str) -> contextlib.AbstractContextManager[IO[bytes]]: ...

    @abc.abstractmethod
    def put(self, source: IO[bytes], path: str) -> None:
        """Writes a file from the contents of another; it appears, or takes another's place, when all is written."""

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
        """All files below an address that ends with `/`, which need not be there."""

    def read_at_most(self, path: str, limit: int) -> bytes:
        # The size is not asked for beforehand: that would be a second request for every file.
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
            with open(file.name, 'rb') as source, os_errors(path):
                self.put(source, path)

    @contextlib.contextmanager
    def local_copy(self, path: str) -> Iterator[str]:
        with tempfile.TemporaryDirectory(prefix='copy-') as directory:
            target = os.path.join(directory, path.rpartition('/')[2])
            with self.open(path) as source, open(target, 'wb') as file:
                shutil.copyfileobj(source, file, BUFFER_BYTES)
            yield target

    def existing(self, directory: str, paths: Collection[str]) -> set[str]:
        return {f'{directory}/{name}' for name in self.entries(directory)}.intersection(paths)

    def names(self, root: str, *, hidden: bool) -> Iterator[str]:
        found = self.entries(root)
        if not found:  # a store without directories: what holds nothing is not there
            raise FileNotFoundError(root)
        for name in found:
            if hidden or not any(part.startswith('.') for part in name.split('/')):
                yield name

    def statuses(self, root: str) -> Callable[[str], Entry | None]:
        return self.entries(root).get  # one listing for all files, instead of a request for each

    def entries(self, root: str) -> dict[str, Entry]:
        """Everything below an address, by its path relative to it."""
        prefix = root.rstrip('/') + '/'
        return {path.removeprefix(prefix): entry for path, entry in self.list(prefix)}
