"""Where the photos and masks come from: the published archive, or a directory that the user already has.

The archive is that of one commit of the public repository, and every file taken out of it has to have the SHA-256 that
was published with the data. GitHub makes such archives anew now and then, so the archive itself has no lasting digest.
"""

import contextlib
import dataclasses
import hashlib
import http.client
import os
import pathlib
import shutil
import time
import urllib.error
import urllib.request
import uuid
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import IO

from seg_pipeline import errors, storage

REPOSITORY = 'https://github.com/bearpaw/clothing-co-parsing'
COMMIT = 'fe34fb77721a9973fbae92c05f7f12b664d10110'
ARCHIVE_URL = f'{REPOSITORY}/archive/{COMMIT}.zip'
ARCHIVE_NAME = f'clothing-co-parsing-{COMMIT}.zip'
# 1004 annotations were published; the set that is in use, and that scores refer to, is the first 1000.
NUM_PAIRS = 1000

_PACKAGE = pathlib.Path(__file__).parent
LABELS_FILE = str(_PACKAGE / 'labels.csv')
NINE_GROUPS_FILE = str(_PACKAGE / 'nine_groups.csv')  # a remapping of them
_DIGESTS_FILE = _PACKAGE / 'published.sha256'
_PHOTOS, _ANNOTATIONS = 'photos', 'annotations/pixel-level'
# The directories that users have, the most faithful first: the published archive, the PNG layout, its JPEG twin.
_LAYOUTS = (
    (_PHOTOS, _ANNOTATIONS),
    ('png_images/IMAGES', 'png_masks/MASKS'),
    ('jpeg_images/IMAGES', 'png_masks/MASKS'),
    # JPEG masks are refused when they are read, with the reason; here they only have to be found.
    ('jpeg_images/IMAGES', 'jpeg_masks/MASKS'),
)
_TIMEOUT_SECONDS = 60
_ATTEMPTS = 4
_BLOCK_BYTES = 1 << 20

# Receives the bytes downloaded so far and the size of the file where the server tells it.
Report = Callable[[int, int | None], None]


@dataclasses.dataclass(frozen=True)
class Source:
    """Folders that prepare_dataset can take.

    Attributes:
        images: folder of the photos.
        masks: folder of the masks.
        labels: the label table.
    """

    images: str
    masks: str
    labels: str


def find(directory: str | os.PathLike[str]) -> Source | None:
    """Recognises the layout of a directory.

    Args:
        directory: holds `photos` and `annotations/pixel-level`, or `png_images/IMAGES` and `png_masks/MASKS`, or
            `jpeg_images/IMAGES` and `png_masks/MASKS`.

    Returns:
        The folders, with the directory's own labels.csv where it has one; None if there is no such layout.
    """
    root = pathlib.Path(directory)
    labels = root / 'labels.csv'
    for images, masks in _LAYOUTS:
        if (root / images).is_dir() and (root / masks).is_dir():
            table = str(labels) if labels.is_file() else LABELS_FILE
            return Source(str(root / images), str(root / masks), table)
    return None


def published_files(num_pairs: int = NUM_PAIRS) -> dict[str, str]:
    """The published files of the first pairs: SHA-256, in hex, of each path (`photos/0001.jpg`)."""
    wanted = {f'{_PHOTOS}/{k:04d}.jpg' for k in range(1, num_pairs + 1)}
    wanted |= {f'{_ANNOTATIONS}/{k:04d}.mat' for k in range(1, num_pairs + 1)}
    lines = (line.split() for line in _DIGESTS_FILE.read_text().splitlines())
    return {path: digest for digest, path in lines if path in wanted}


def fetch(
    directory: str | os.PathLike[str],
    url: str = ARCHIVE_URL,
    files: Mapping[str, str] | None = None,
    report: Report | None = None,
) -> Source:
    """Downloads the published photos and annotations, unless they are there already; checks every file.

    Args:
        directory: where they are kept, in a directory named after the commit; created if need be.
        url: a zip archive of the repository.
        files: SHA-256 of each path to take; by default those of the first 1000 pairs.
        report: is told how far the download is.

    Returns:
        The folders of the photos and of the MATLAB annotations.

    Raises:
        OutsideError: if the server or the network fails.
        UserError: if the archive cannot be had, lacks a file or holds another; what was there before stays.
    """
    files = published_files() if files is None else files
    target = pathlib.Path(directory) / pathlib.Path(ARCHIVE_NAME).stem
    if _first_problem(target, files) is None:
        return _source(target)
    archive = pathlib.Path(directory) / ARCHIVE_NAME
    with storage.writing(str(directory)):
        archive.parent.mkdir(parents=True, exist_ok=True)
        with _unique(archive) as part:
            download(url, part, report)
            unpack(part, target, files)
    return _source(target)


def download(url: str, path: str | os.PathLike[str], report: Report | None = None) -> None:
    """Downloads a file, trying again when the connection breaks.

    Raises:
        OutsideError: with the address and the reason, if that fails 4 times.
        UserError: likewise, if the server says that it has no such file.
        OSError: if the file cannot be written.
    """
    for attempt in range(_ATTEMPTS):
        try:
            with urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS) as response, open(path, 'wb') as file:
                _copy(response, file, report)
            return
        except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
            # 4xx: asking again gives the same answer.
            final = isinstance(error, urllib.error.HTTPError) and 400 <= error.code < 500
            if final or attempt == _ATTEMPTS - 1:
                kind = errors.UserError if final else errors.OutsideError
                raise kind(
                    f'{url}: cannot be downloaded: {error}; get {REPOSITORY} at commit {COMMIT[:12]} by other means '
                    'and give its directory'
                ) from error
            time.sleep(2**attempt)


def _copy(response: http.client.HTTPResponse, file: IO[bytes], report: Report | None) -> None:
    size = response.headers.get('Content-Length')
    total = int(size) if size else None
    done = 0
    while block := response.read(_BLOCK_BYTES):
        file.write(block)
        done += len(block)
        if report:
            report(done, total)
    if total is not None and done != total:
        raise http.client.IncompleteRead(b'', total - done)


def unpack(
    archive: str | os.PathLike[str], target: str | os.PathLike[str], files: Mapping[str, str] | None = None
) -> Source:
    """Takes the photos and annotations out of an archive. `target` appears when every file was checked, or not at all.

    Args:
        archive: a zip file whose files lie in one directory, as GitHub makes them.
        target: the directory to make; one that is there is replaced.
        files: SHA-256 of each path to take; by default those of the first 1000 pairs.

    Raises:
        UserError: if it is no zip archive, lacks a file, or holds one with another digest.
        OSError: if the files cannot be written.
    """
    files = published_files() if files is None else files
    target = pathlib.Path(target)
    with _unique(target) as part:
        try:
            with zipfile.ZipFile(archive) as opened:
                _extract(opened, part, files)
        except (zipfile.BadZipFile, EOFError, zlib.error) as error:
            raise errors.UserError(
                f'{archive}: is not an intact zip archive: {error}; delete it and try again'
            ) from error
        shutil.rmtree(target, ignore_errors=True)
        os.rename(part, target)
    return _source(target)


def _extract(archive: zipfile.ZipFile, target: pathlib.Path, files: Mapping[str, str]) -> None:
    # Only paths of our own table are ever written, so no name in an archive can lead out of the target.
    members = {name.partition('/')[2]: name for name in archive.namelist()}
    for path, expected in files.items():
        if path not in members:
            raise errors.UserError(f'{archive.filename}: lacks {path}; it is not the archive of commit {COMMIT[:12]}')
        data = archive.read(members[path])
        found = hashlib.sha256(data).hexdigest()
        if found != expected:
            raise errors.UserError(f'{archive.filename}: {path} has the SHA-256 {found}, published was {expected}')
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        (target / path).write_bytes(data)


def _first_problem(directory: pathlib.Path, files: Mapping[str, str]) -> str | None:
    """The first path that is missing or differs from its digest."""
    for path, expected in files.items():
        try:
            data = (directory / path).read_bytes()
        except OSError:
            return path
        if hashlib.sha256(data).hexdigest() != expected:
            return path
    return None


def _source(directory: pathlib.Path) -> Source:
    return Source(str(directory / _PHOTOS), str(directory / _ANNOTATIONS), LABELS_FILE)


@contextlib.contextmanager
def _unique(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """A unique name beside `path`; what the block leaves under it is removed."""
    temporary = path.with_name(f'{path.name}.{uuid.uuid4().hex}.tmp')
    try:
        yield temporary
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink(missing_ok=True)
