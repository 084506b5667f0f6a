"""Where the pairs come from: folders that the user names, or a published data set that is downloaded."""

import dataclasses
import os
import sys
import time

from seg_pipeline import errors, storage
from seg_pipeline.building.config import SourceFolders

SOURCES = ('clothing_parsing',)
_REPORT_SECONDS = 2.0


@dataclasses.dataclass(frozen=True)
class Inputs:
    """The folders of the images and masks, and the path of the label table."""

    folders: SourceFolders
    labels: str


def resolve(images: str | None, masks: str | None, labels: str | None, source: str | None, download_dir: str) -> Inputs:
    """Makes sure that the inputs are named once, and downloads a published data set.

    Args:
        images, masks, labels: what the flags of these names say.
        source: one of `SOURCES`, instead of them.
        download_dir: where a download is kept, and found again.

    Raises:
        UserError: if one is missing, both are given, or the download fails.
    """
    given = {'--images': images, '--masks': masks, '--labels': labels}
    if source:
        if named := [flag for flag, value in given.items() if value]:
            raise errors.UserError(f'--source={source} has its own images, masks and labels: leave out {named[0]}')
        return _download(download_dir)
    if missing := [flag for flag, value in given.items() if not value]:
        raise errors.UserError(
            f'{missing[0]} is missing: give --images, --masks and --labels, or --source={SOURCES[0]}. See --help'
        )
    return Inputs(SourceFolders(images or '', masks or ''), labels or '')


def download_dir(output_dir: str) -> str:
    """Where a download is kept: with the output, or in the user's cache if the output is not on this disk."""
    if not storage.has_directories(output_dir):
        return os.path.expanduser('~/.cache/seg_pipeline')
    return os.path.join(output_dir, 'downloads')


def _download(directory: str) -> Inputs:
    # Imported here: it registers the builder with TFDS, which takes a second.
    from seg_pipeline.clothing_parsing import source

    found = source.fetch(directory, report=_Report())
    return Inputs(SourceFolders(found.images, found.masks), found.labels)


class _Report:
    """Prints on stderr, every few seconds, how much of a file is downloaded."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def __call__(self, done: int, total: int | None) -> None:
        now = time.monotonic()
        if now - self._last >= _REPORT_SECONDS:
            self._last = now
            of = f' of {total / 1e6:.0f}' if total else ''
            print(f'downloaded {done / 1e6:.0f}{of} MB', file=sys.stderr)
