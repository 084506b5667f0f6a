"""The names by which TFDS finds records again: of a data set, of its version and of its splits."""

import re

# A shard's file name holds the names of data set and split: together with the rest of it they fit into 255 bytes.
_DATASET = re.compile(r'[a-z][a-z0-9_]{0,99}')
# As TFDS reads a version. `\d` would be the digits of every script, and 01 is the number 1, under another name.
_NUMBER = '(?:0|[1-9][0-9]{0,8})'
_VERSION = re.compile(rf'{_NUMBER}\.{_NUMBER}\.{_NUMBER}')
# What TFDS takes for a split in `split='NAME[:10]+...'` and in the name of a shard, and file systems in that name.
_SPLIT = re.compile(r'[A-Za-z_][A-Za-z0-9_]{0,63}')
_RESERVED = ('all',)  # TFDS: all splits together


def dataset_problem(name: str) -> str | None:
    """Why TFDS has no data set of that name; None if it may."""
    return None if _DATASET.fullmatch(name) else 'TFDS wants lower case letters, digits and _, at most 100'


def version_problem(version: str) -> str | None:
    """Why TFDS has no such version; None if it may."""
    return None if _VERSION.fullmatch(version) else 'wanted MAJOR.MINOR.PATCH, as 1.0.0, without leading zeros'


def split_problem(name: str) -> str | None:
    """Why TFDS has no split of that name; None if it may."""
    if not _SPLIT.fullmatch(name):
        return 'wanted letters A to Z, digits and _, at most 64'
    return 'TFDS means all splits by that; take another name' if name in _RESERVED else None
