"""Files by a local path or an address of S3, Google Cloud Storage or HDFS, behind one protocol.

The functions below find the store of a path. A file is written complete or not at all, on the local file system by
`atomic`; `checksums` has what identifies its contents. A new store is a `RemoteStore` and a line in `files._KINDS`.
"""

from seg_pipeline.storage.files import (
    check,
    configure,
    copy,
    create,
    existing,
    exists,
    has_directories,
    iterate,
    local_copy,
    names,
    num_bytes,
    of,
    read_at_most,
    read_bytes,
    read_head,
    read_range,
    remove,
    replacing,
    statuses,
    write,
    writing,
)
from seg_pipeline.storage.store import Entry, RemoteStore, Store
from seg_pipeline.storage.store_errors import FileTooLargeError

__all__ = [
    'Entry',
    'FileTooLargeError',
    'RemoteStore',
    'Store',
    'check',
    'configure',
    'copy',
    'create',
    'existing',
    'exists',
    'has_directories',
    'iterate',
    'local_copy',
    'names',
    'num_bytes',
    'of',
    'read_at_most',
    'read_bytes',
    'read_head',
    'read_range',
    'remove',
    'replacing',
    'statuses',
    'write',
    'writing',
]
