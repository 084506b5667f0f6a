"""What identifies the contents of a file: its size and SHA-256."""

import dataclasses
import hashlib

from seg_pipeline.plurals import counted
from seg_pipeline.storage import files

_BLOCK_BYTES = 1 << 20


@dataclasses.dataclass(frozen=True)
class FileDigest:
    """What identifies the contents of a file.

    Attributes:
        num_bytes: its size.
        sha256: in lower-case hexadecimal.
    """

    num_bytes: int
    sha256: str


def digest(path: str) -> FileDigest:
    """Reads a file of any store, in blocks of 1 MiB, and returns its size and SHA-256.

    Raises:
        OSError: if it cannot be read.
    """
    result = hashlib.sha256()
    num_bytes = 0
    with files.local_copy(path) as local, open(local, 'rb') as file:
        while block := file.read(_BLOCK_BYTES):
            result.update(block)
            num_bytes += len(block)
    return FileDigest(num_bytes, result.hexdigest())


def problem(path: str, expected: FileDigest) -> str | None:
    """Compares a file with what the manifest says of it.

    Returns:
        None if they agree; else one line that names the file and has both values, or why it cannot be read.
    """
    try:
        found = digest(path)
    except OSError as error:
        return f'{path}: {error.strerror or error}'
    if found.num_bytes != expected.num_bytes:
        return f'{path}: has {counted(found.num_bytes, "byte")}, the manifest says {expected.num_bytes}'
    if found.sha256 != expected.sha256:
        return f'{path}: its SHA-256 is {found.sha256}, the manifest says {expected.sha256}'
    return None
