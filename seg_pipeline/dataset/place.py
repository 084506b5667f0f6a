"""The place of a data set: whether one is there or can be made there, and what is there instead, for messages."""

import os
import stat

from seg_pipeline import errors, storage

MANIFEST_FILE = 'manifest.json'
RECORDS_FILE = 'records.jsonl'  # in every data set, and of a name that nothing else has
CLAIM_FILE = '.claim.json'  # in an object store, while a command publishes there


def is_taken(dataset_dir: str) -> bool:
    """Whether there is something where a data set goes; on an object store, which has no directories, a manifest."""
    # A directory is taken as soon as it holds anything at all: nothing of anyone else is written over. An empty one is
    # replaced by the rename of the finished data set.
    if storage.has_directories(dataset_dir):
        return os.path.lexists(dataset_dir) and not _is_empty(dataset_dir)
    return _has(dataset_dir, MANIFEST_FILE)


def check(dataset_dir: str) -> None:
    """Makes sure that a data set is there, or that nothing is in the way of one.

    On an object store, files of anyone else may be below the address.

    Raises:
        UserError: if there is something else, or a data set without its manifest.
    """
    if storage.has_directories(dataset_dir):
        is_good = not is_taken(dataset_dir) or _has(dataset_dir, MANIFEST_FILE)
    else:
        is_good = not _is_lost(dataset_dir)
    if not is_good:
        remedy = 'remove it, move it away, or give another --dataset_version or --output_dir'
        raise errors.UserError(f'{dataset_dir}: the data set goes there, but {_describe(dataset_dir, remedy)}')


def explain(dataset_dir: str) -> str:
    """What is in the place of a data set that has no manifest, and what to do, for a command that reads one."""
    if storage.has_directories(dataset_dir):
        if _is_empty(dataset_dir):
            return 'the directory is empty; remove it, or let prepare_dataset make one there'
    elif _has(dataset_dir, CLAIM_FILE):
        return (
            'it is not complete: a command publishes it, or was killed while it did; wait for its end, or run the same '
            'command again to finish it'
        )
    if _is_lost(dataset_dir):
        return _describe(dataset_dir, 'remove the rest and prepare the data set again')
    return _describe(dataset_dir, 'give the directory that prepare_dataset printed last')


def _is_lost(dataset_dir: str) -> bool:
    """Whether there is a data set without its manifest."""
    # In this order: in an object store, a command that publishes meanwhile writes a claim before any of these, and
    # removes it when the manifest is there.
    ends = (CLAIM_FILE, MANIFEST_FILE)
    return _has(dataset_dir, RECORDS_FILE) and not any(_has(dataset_dir, name) for name in ends)


def _describe(dataset_dir: str, remedy: str) -> str:
    """What is there, and what to do: two clauses."""
    if _is_lost(dataset_dir):
        missing = f'{RECORDS_FILE} is there and {MANIFEST_FILE} is not: a data set whose manifest is missing'
        return f'{missing}; put {MANIFEST_FILE} back from a copy, or {remedy}'
    if storage.has_directories(dataset_dir):
        return f'{_describe_local(dataset_dir)}; {remedy}'
    return f'there is no {MANIFEST_FILE}; {remedy}'


def _describe_local(path: str) -> str:
    it = f'it is a symbolic link to {os.readlink(path)}, which' if os.path.islink(path) else 'it'
    try:
        status = os.stat(path)
        names = sorted(os.listdir(path)) if stat.S_ISDIR(status.st_mode) else []
    except FileNotFoundError:
        return f'{it} does not exist'
    except OSError as error:
        return f'{it} cannot be read: {error.strerror}'
    if not stat.S_ISDIR(status.st_mode):
        return f'{it} is ' + ('a file' if stat.S_ISREG(status.st_mode) else 'no directory')
    if MANIFEST_FILE in names:
        return f'{it} has a {MANIFEST_FILE} that is no file'
    return f'{it} ' + (f'holds {names[0]} and no {MANIFEST_FILE}' if names else 'is an empty directory')


def _is_empty(path: str) -> bool:
    """Whether it is an empty directory of this disk, and no link to one."""
    try:
        with os.scandir(path) as entries:
            return next(entries, None) is None and not os.path.islink(path)
    except OSError:  # no directory, or one that cannot be read: something is there
        return False


def _has(dataset_dir: str, name: str) -> bool:
    path = os.path.join(dataset_dir, name)
    return os.path.isfile(path) if storage.has_directories(dataset_dir) else storage.exists(path)
