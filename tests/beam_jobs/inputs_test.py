"""--source=clothing_parsing, its archive served from loopback; and what is said of inputs that do not go together."""

import functools
import hashlib
import http.server
import io
import os
import pathlib
import subprocess
import sys
import threading
import zipfile

import cv2
import pytest
import scipy.io
from absl import flags
from absl.testing import flagsaver

from beam_jobs import inputs, prepare_dataset
from seg_pipeline import errors
from seg_pipeline.clothing_parsing import source
from seg_pipeline.dataset import integrity, manifest
from tests import fake_data


def _published(num_pairs=5):
    """Photos and masks as they were published: path -> bytes."""
    files = {}
    for number in range(1, num_pairs + 1):
        image, mask = fake_data.draw_pair(number, (30, 20), 59, seed=3)
        buffer = io.BytesIO()
        scipy.io.savemat(buffer, {'groundtruth': mask})
        files[f'photos/{number:04d}.jpg'] = cv2.imencode('.jpg', image[..., ::-1])[1].tobytes()
        files[f'annotations/pixel-level/{number:04d}.mat'] = buffer.getvalue()
    return files


@pytest.fixture
def requests(tmp_path, monkeypatch):
    """Serves the archive, makes it the published one, and counts the requests."""
    files = _published()
    folder = tmp_path / 'served'
    folder.mkdir()
    with zipfile.ZipFile(folder / 'archive.zip', 'w') as archive:
        for name, data in files.items():
            archive.writestr(f'root/{name}', data)
    seen = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            seen.append(self.path)

    for name in ('http_proxy', 'HTTP_PROXY', 'all_proxy', 'ALL_PROXY'):
        monkeypatch.delenv(name, raising=False)
    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), functools.partial(Handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, kwargs={'poll_interval': 0.01}, daemon=True)
    thread.start()
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    fetch = functools.partial(source.fetch, url=f'http://127.0.0.1:{server.server_port}/archive.zip', files=digests)
    monkeypatch.setattr(source, 'fetch', fetch)
    yield seen
    server.shutdown()
    thread.join()
    server.server_close()


def _main(*arguments):
    with flagsaver.flagsaver():
        own = ['--image_size=16,16', '--direct_num_workers=1', *arguments]
        prepare_dataset.main(flags.FLAGS(['prepare_dataset', *own], known_only=True))


def test_a_published_data_set_is_downloaded_once_and_prepared(requests, tmp_path, capsys):
    out = tmp_path / 'out'
    _main('--source=clothing_parsing', f'--output_dir={out}')
    dataset_dir = capsys.readouterr().out.splitlines()[-1]
    built = manifest.read(dataset_dir)
    assert sum(built.num_records(split) for split in built.split_names) == 5
    assert built.label_map.num_classes == 59
    assert 'skirt' in built.label_map.names
    assert list(integrity.problems(dataset_dir)) == []
    assert (out / 'downloads').is_dir()
    nine = pathlib.Path(source.__file__).with_name('nine_groups.csv')
    _main('--source=clothing_parsing', f'--output_dir={out}', '--dataset_version=2.0.0', f'--remap={nine}')
    assert manifest.read(capsys.readouterr().out.splitlines()[-1]).label_map.num_classes == 9
    assert requests == ['/archive.zip']


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['--source=clothing_parsing', '--masks=x'], 'has its own images, masks and labels: leave out --masks'),
        (['--images=x', '--labels=y'], '--masks is missing: give --images, --masks and --labels, or --source='),
        ([], '--images is missing'),
    ],
)
def test_inputs_are_named_once(tmp_path, arguments, message):
    with pytest.raises(errors.UserError) as caught:
        _main(*arguments, f'--output_dir={tmp_path / "out"}')
    assert message in str(caught.value)
    assert '\n' not in str(caught.value)
    assert not (tmp_path / 'out').exists()


def test_a_long_download_is_reported(monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr(inputs.time, 'monotonic', lambda: now[0])
    report = inputs._Report()
    for second, done in ((1.0, 1_000_000), (2.5, 7_000_000), (3.0, 8_000_000)):
        now[0] = second
        report(done, 9_000_000)
    now[0] = 9.0
    report(9_000_000, None)
    assert capsys.readouterr().err.splitlines() == ['downloaded 7 of 9 MB', 'downloaded 9 MB']


@pytest.mark.parametrize('kind', ['pipe', '/dev/zero'])
@pytest.mark.parametrize(
    'flag', ['--labels={table}', '--labels={source}/labels.csv --remap={table}', '--split_files=train:{table}']
)
def test_a_table_that_has_no_end_is_refused(tmp_path, kind, flag):
    """A pipe waits for a writer, and a device gives bytes without end; in a process of its own, which can be ended."""
    fake_data.write_pairs(tmp_path / 'source', num_pairs=2)
    table = tmp_path / 'table.csv'
    if kind == 'pipe':
        os.mkfifo(table)
    else:
        table.symlink_to(kind)
    source = tmp_path / 'source'
    more = flag.format(table=table, source=source).split()
    more += [] if '--labels' in flag else [f'--labels={source}/labels.csv']
    folders = (f'--images={source}/images', f'--masks={source}/masks', f'--output_dir={tmp_path}/out')
    command = [sys.executable, '-m', 'beam_jobs.prepare_dataset', *folders, *more]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert (ended.returncode, len(ended.stderr.splitlines())) == (2, 1), ended.stderr
    assert ended.stderr.startswith('error: ')
    assert f'{table}: ' in ended.stderr
    assert 'not a regular file' in ended.stderr
    assert not (tmp_path / 'out').exists()
