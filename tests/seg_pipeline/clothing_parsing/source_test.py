"""The download of the published data, from a server on loopback that serves a copy of the archive."""

import contextlib
import hashlib
import http.server
import pathlib
import threading
import zipfile
from collections.abc import Iterator

import cv2
import numpy as np
import pytest
import scipy.io

from seg_pipeline import errors
from seg_pipeline.clothing_parsing import source
from seg_pipeline.imaging import formats, masks
from seg_pipeline.labels import label_map
from seg_pipeline.planning import pairing
from tests import optional

# The real photos are no part of the repository; they may lie beside it.
_FILES = {'photos/0001.jpg': b'a photo', 'annotations/pixel-level/0001.mat': b'a mask'}
_DIGESTS = {path: hashlib.sha256(data).hexdigest() for path, data in _FILES.items()}


class _Server(http.server.ThreadingHTTPServer):
    """Serves one body; breaks off the first `cuts` answers half-way."""

    body = b''
    status = 200
    cuts = 0
    requests = 0


class _Handler(http.server.BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        self.server.requests += 1
        self.send_response(self.server.status)
        self.send_header('Content-Length', str(len(self.server.body)))
        self.end_headers()
        cut = self.server.requests <= self.server.cuts
        self.wfile.write(self.server.body[: len(self.server.body) // 2] if cut else self.server.body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[_Server]:
    monkeypatch.setattr(source.time, 'sleep', lambda _: None)
    for name in ('http_proxy', 'HTTP_PROXY', 'all_proxy', 'ALL_PROXY'):
        monkeypatch.delenv(name, raising=False)
    with _Server(('127.0.0.1', 0), _Handler) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={'poll_interval': 0.01}, daemon=True)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def _url(server: _Server) -> str:
    return f'http://127.0.0.1:{server.server_address[1]}/archive.zip'


def _write_archive(path: pathlib.Path, files: dict[str, bytes]) -> bytes:
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr(f'clothing-co-parsing-{source.COMMIT}/README.md', b'not wanted')
        for name, data in files.items():
            archive.writestr(f'clothing-co-parsing-{source.COMMIT}/{name}', data)
    return path.read_bytes()


@contextlib.contextmanager
def _nothing_new(directory: pathlib.Path) -> Iterator[None]:
    """Asserts that a failure leaves no file behind."""
    before = sorted(directory.rglob('*'))
    yield
    assert sorted(directory.rglob('*')) == before


def test_fetch_unpacks_what_was_published_and_nothing_else(server: _Server, tmp_path: pathlib.Path) -> None:
    server.body = _write_archive(tmp_path / 'archive.zip', _FILES)
    found = source.fetch(tmp_path / 'data', _url(server), _DIGESTS)
    root = pathlib.Path(found.images).parent
    written = {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob('*') if path.is_file()}
    assert written == _FILES
    assert [path.name for path in (tmp_path / 'data').iterdir()] == [root.name]
    assert pathlib.Path(found.masks) == root / 'annotations/pixel-level'


def test_fetch_downloads_once_and_again_when_a_file_was_changed(server: _Server, tmp_path: pathlib.Path) -> None:
    server.body = _write_archive(tmp_path / 'archive.zip', _FILES)
    found = source.fetch(tmp_path / 'data', _url(server), _DIGESTS)
    assert source.fetch(tmp_path / 'data', _url(server), _DIGESTS) == found
    assert server.requests == 1
    (pathlib.Path(found.images) / '0001.jpg').write_bytes(b'b photo')
    source.fetch(tmp_path / 'data', _url(server), _DIGESTS)
    assert server.requests == 2
    assert (pathlib.Path(found.images) / '0001.jpg').read_bytes() == b'a photo'


def test_a_broken_connection_is_tried_again(server: _Server, tmp_path: pathlib.Path) -> None:
    server.body = _write_archive(tmp_path / 'archive.zip', _FILES)
    server.cuts = 2
    reports: list[tuple[int, int | None]] = []
    source.fetch(tmp_path / 'data', _url(server), _DIGESTS, lambda done, total: reports.append((done, total)))
    assert server.requests == 3
    assert reports[-1] == (len(server.body), len(server.body))


def test_a_connection_that_breaks_every_time_is_a_user_error(server: _Server, tmp_path: pathlib.Path) -> None:
    server.body = _write_archive(tmp_path / 'archive.zip', _FILES)
    server.cuts = 99
    (tmp_path / 'data').mkdir()
    with _nothing_new(tmp_path / 'data'), pytest.raises(errors.OutsideError, match=r'127\.0\.0\.1'):
        source.fetch(tmp_path / 'data', _url(server), _DIGESTS)
    assert server.requests == 4


def test_a_missing_archive_is_not_asked_for_again(server: _Server, tmp_path: pathlib.Path) -> None:
    server.status = 404
    (tmp_path / 'data').mkdir()
    with _nothing_new(tmp_path / 'data'), pytest.raises(errors.UserError, match='404'):
        source.fetch(tmp_path / 'data', _url(server), _DIGESTS)
    assert server.requests == 1


def test_a_file_with_another_digest_is_named_with_both(server: _Server, tmp_path: pathlib.Path) -> None:
    server.body = _write_archive(tmp_path / 'archive.zip', {**_FILES, 'photos/0001.jpg': b'another'})
    (tmp_path / 'data').mkdir()
    found = hashlib.sha256(b'another').hexdigest()
    with (
        _nothing_new(tmp_path / 'data'),
        pytest.raises(errors.UserError, match=f'0001.jpg.*{found}.*{_DIGESTS["photos/0001.jpg"]}'),
    ):
        source.fetch(tmp_path / 'data', _url(server), _DIGESTS)


def test_a_file_that_the_archive_lacks_is_named(server: _Server, tmp_path: pathlib.Path) -> None:
    server.body = _write_archive(tmp_path / 'archive.zip', {'photos/0001.jpg': b'a photo'})
    with pytest.raises(errors.UserError, match=r'lacks annotations/pixel-level/0001\.mat'):
        source.fetch(tmp_path / 'data', _url(server), _DIGESTS)


@pytest.mark.parametrize('damage', ['cut', 'flipped', 'html'])
def test_a_damaged_archive_is_a_user_error(damage: str, server: _Server, tmp_path: pathlib.Path) -> None:
    whole = _write_archive(tmp_path / 'archive.zip', _FILES)
    flipped = whole.replace(b'a photo', b'a phot0')
    server.body = {'cut': whole[:-30], 'flipped': flipped, 'html': b'<html>sign in</html>'}[damage]
    (tmp_path / 'data').mkdir()
    with _nothing_new(tmp_path / 'data'), pytest.raises(errors.UserError, match='zip'):
        source.fetch(tmp_path / 'data', _url(server), _DIGESTS)


def test_names_in_an_archive_cannot_lead_out_of_the_target(tmp_path: pathlib.Path) -> None:
    _write_archive(tmp_path / 'archive.zip', {**_FILES, '../../evil': b'x'})
    source.unpack(tmp_path / 'archive.zip', tmp_path / 'a' / 'b', _DIGESTS)
    assert not list(tmp_path.rglob('evil'))


def test_the_table_of_digests_has_every_pair() -> None:
    files = source.published_files()
    assert len(files) == 2000
    assert all(len(digest) == 64 for digest in files.values())
    assert {path.rpartition('/')[0] for path in files} == {'photos', 'annotations/pixel-level'}


@pytest.mark.parametrize(
    ('images_dir', 'masks_dir'),
    [
        ('png_images/IMAGES', 'png_masks/MASKS'),
        ('jpeg_images/IMAGES', 'png_masks/MASKS'),
        ('photos', 'annotations/pixel-level'),
    ],
)
def test_find_knows_the_layouts(images_dir: str, masks_dir: str, tmp_path: pathlib.Path) -> None:
    assert source.find(tmp_path) is None
    (tmp_path / images_dir).mkdir(parents=True)
    assert source.find(tmp_path) is None
    (tmp_path / masks_dir).mkdir(parents=True)
    packaged = source.Source(str(tmp_path / images_dir), str(tmp_path / masks_dir), source.LABELS_FILE)
    assert source.find(tmp_path) == packaged
    (tmp_path / 'labels.csv').write_text('i,label_list\n0,null\n')
    assert source.find(tmp_path) == source.Source(packaged.images, packaged.masks, str(tmp_path / 'labels.csv'))


@optional.PUBLISHED.mark
def test_the_published_archive_goes_through_file_by_file(server: _Server, tmp_path: pathlib.Path) -> None:
    copy = {
        f'photos/{path.stem.removeprefix("img_")}.jpg': path for path in (optional.PUBLISHED_DIR / 'images').iterdir()
    }
    copy |= {
        f'annotations/pixel-level/{p.name}': p
        for p in (optional.PUBLISHED_DIR / 'original/annotations/pixel-level').iterdir()
    }
    with zipfile.ZipFile(tmp_path / 'archive.zip', 'w') as archive:
        for name, path in sorted(copy.items()):
            archive.write(path, f'clothing-co-parsing-{source.COMMIT}/{name}')
    server.body = (tmp_path / 'archive.zip').read_bytes()
    found = source.fetch(tmp_path / 'data', _url(server))
    pairs = pairing.match_pairs(
        pairing.list_files(found.images), pairing.list_files(found.masks, formats.MASK_SUFFIXES)
    )
    assert len(pairs.pairs) == 1000
    assert not pairs.rejects
    for pair in pairs.pairs[::250]:
        mask = masks.read(f'{found.masks}/{pair.mask}')
        expected = cv2.imread(str(optional.PUBLISHED_DIR / 'masks' / f'seg_{pair.key}.png'), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(mask, expected)


@optional.PUBLISHED.mark
def test_the_label_table_is_the_published_one() -> None:
    published = scipy.io.loadmat(optional.PUBLISHED_DIR / 'original' / 'label_list.mat')['label_list']
    names = tuple(str(cell[0]) for cell in published.ravel())
    assert label_map.read(source.LABELS_FILE).names == names
