"""The local file system as a store."""

import contextlib
import errno
import os
import shutil
import stat
from collections.abc import Callable, Collection, Iterator
from typing import IO

from seg_pipeline.storage import atomic
from seg_pipeline.storage.store import Entry
from seg_pipeline.storage.store_errors import FileTooLargeError


class LocalStore:
    """Files by their path. Errors are those of the operating system, which name the file."""

    has_directories = True

    def probe(self, path: str) -> None:
        pass

    def open(self, path: str) -> IO[bytes]:
        _regular(path)
        return open(path, 'rb')

    def read_at_most(self, path: str, limit: int) -> bytes:
        status = _regular(path)
        if status.st_size > limit:
            raise FileTooLargeError(path, status.st_size)
        with open(path, 'rb') as file:
            # `read` takes memory for all that it is asked for, and a limit may be far above the file.
            data = file.read(min(limit, status.st_size) + 1)
            if len(data) > status.st_size:  # it has grown since `stat`
                data += file.read(limit + 1 - len(data))
        if len(data) > limit:
            raise FileTooLargeError(path, len(data))
        return data

    def replacing(self, path: str) -> contextlib.AbstractContextManager[IO[bytes]]:
        return atomic.replacing(path)

    def create(self, path: str, data: bytes) -> bool:
        return atomic.create(path, data)

    @contextlib.contextmanager
    def local_copy(self, path: str) -> Iterator[str]:
        _regular(path)
        yield path

    def exists(self, path: str) -> bool:
        return os.path.exists(path)

    def existing(self, directory: str, paths: Collection[str]) -> set[str]:
        return {path for path in paths if os.path.exists(path)}

    def num_bytes(self, path: str) -> int:
        return os.stat(path).st_size

    def delete(self, path: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)

    def copy(self, source: str, target: str) -> None:
        with self.open(source) as file, self.replacing(target) as copy:
            shutil.copyfileobj(file, copy)

    def names(self, root: str, *, hidden: bool) -> Iterator[str]:
        if not os.path.isdir(root):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), root)
        # Each directory to be listed comes with the real paths of the directories that contain it, because a link to
        # one of these would make the tree endless. It is not enough to list each real path once: two links to one
        # directory are two sets of names, and which of the two came first would depend on the order of the listing.
        pending = [('', frozenset((os.path.realpath(root),)))]
        while pending:
            directory, ancestors = pending.pop()
            with os.scandir(os.path.join(root, directory)) as entries:
                for entry in entries:
                    if entry.name.startswith('.') and not hidden:
                        continue
                    name = f'{directory}/{entry.name}' if directory else entry.name
                    if not _is_directory(entry):
                        yield name
                    elif (real := os.path.realpath(entry.path)) not in ancestors:
                        pending.append((name, ancestors | {real}))

    def statuses(self, root: str) -> Callable[[str], Entry | None]:
        def status(name: str) -> Entry | None:
            try:
                found = os.stat(f'{root}/{name}')
            except OSError:
                return None
            if not stat.S_ISREG(found.st_mode):  # a pipe or a device
                return None
            return Entry(found.st_size, found.st_mtime_ns, (found.st_dev, found.st_ino))

        return status


def _regular(path: str) -> os.stat_result:
    """The status of a file, or of what a link leads to. Raises `OSError` if it is a directory, a pipe or a device."""
    # Asked before the file is opened: opening a pipe waits for a writer, which may never come, and a device may have no
    # end.
    if '\0' in path:  # of which `os.stat` makes a ValueError
        raise OSError(errno.EINVAL, 'a path with a null character', path)
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, 'not a regular file', path)
    return status


def _is_directory(entry: os.DirEntry[str]) -> bool:
    """Whether an entry of a directory is a directory, or a link to one."""
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself: it is listed, and reading it raises
        return False
