"""Files here and elsewhere: one protocol for this disk, S3, Google Cloud Storage and HDFS.

The functions below take a path or an address and find its store. A file is written as a whole or not at all (on this
disk by `atomic`) and proven by its size and SHA-256 (`checksums`). To add a store, see CONTRIBUTING.md.
"""

from seg_pipeline.storage.files import (
    check,
    configure,
    copy,
    existing,
    exists,
    has_directories,
    local_copy,
    names,
    num_bytes,
    of,
    read_at_most,
    read_bytes,
    read_head,
    remove,
    replacing,
    statuses,
    write,
    writing,
)
from seg_pipeline.storage.store import Entry, FileTooLargeError, RemoteStore, Store

__all__ = [
    'Entry',
    'FileTooLargeError',
    'RemoteStore',
    'Store',
    'check',
    'configure',
    'copy',
    'existing',
    'exists',
    'has_directories',
    'local_copy',
    'names',
    'num_bytes',
    'of',
    'read_at_most',
    'read_bytes',
    'read_head',
    'remove',
    'replacing',
    'statuses',
    'write',
    'writing',
]
