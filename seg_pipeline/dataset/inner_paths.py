"""Paths that a file of a data set gives: none leaves the folder that it is relative to, whoever wrote it."""

import os

from seg_pipeline import storage


def check_source(name: str, what: str) -> None:
    """Checks the path of an image or a mask, relative to the folder of all of them.

    Raises:
        ValueError: if it is empty, absolute, has a part `..`, or a NUL byte.
    """
    if not name or name.startswith('/') or '\0' in name or '..' in name.split('/'):
        raise ValueError(f'{what} {name!r} is no path inside of a folder')


def check_file(name: str, what: str) -> None:
    """Checks the path of a file of a data set, relative to it: one spelling for each file, and one line of text.

    Raises:
        ValueError: as `check_source`, or if it has an empty part, a part `.`, or is not printable.
    """
    check_source(name, what)
    if not name.isprintable() or not {'', '.'}.isdisjoint(name.split('/')):
        raise ValueError(f'{what} {name!r} is no path of a file in a data set')


def link(dataset_dir: str, name: str) -> str | None:
    """The first symbolic link on the way from a data set on this disk to one of its files; None if there is none.

    A link may lead anywhere, so that neither its target is part of the data set nor may a repair write through it. The
    data set's own directory may be a link: it is what the user named.
    """
    if not storage.has_directories(dataset_dir):
        return None
    path = dataset_dir
    for part in name.split('/'):
        path = os.path.join(path, part)
        if os.path.islink(path):
            return path
    return None
