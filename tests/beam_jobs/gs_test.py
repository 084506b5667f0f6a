"""From a bucket of Google Cloud Storage to another place in it, against an emulator of its API on loopback.

Skipped where the packages are missing, which are no part of the lock: Beam's extra `gcp` is sixty packages.
"""

import hashlib
import pathlib
import socket
import subprocess
import sys

import pytest
import requests

from seg_pipeline import storage
from seg_pipeline.dataset import manifest
from tests import fake_data, optional

optional.GCS.skip_module()
from gcp_storage_emulator import server as emulator  # noqa: E402
from google.auth import credentials  # noqa: E402
from google.cloud import storage as gcs  # noqa: E402


@pytest.fixture
def bucket(monkeypatch):
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    server = emulator.create_server('127.0.0.1', port, in_memory=True, default_bucket='bucket')
    server.start()
    monkeypatch.setenv('STORAGE_EMULATOR_HOST', f'http://127.0.0.1:{port}')
    monkeypatch.setenv('NO_GCE_CHECK', 'true')
    client = gcs.Client(project='project', credentials=credentials.AnonymousCredentials())
    yield client.bucket('bucket')
    server.stop()


def _prepare(root):
    command = [
        *(sys.executable, '-m', 'beam_jobs.prepare_dataset', f'--images={root}/in/images', f'--masks={root}/in/masks'),
        *(f'--labels={root}/in/labels.csv', f'--output_dir={root}/out', '--image_size=16,24', '--direct_num_workers=1'),
    ]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1]


def _but_the_command(digests):
    return {name: digest for name, digest in digests.items() if name not in fake_data.FILES_WITH_THE_COMMAND}


def test_a_bucket_holds_the_bytes_that_this_disk_holds(bucket, tmp_path):
    fake_data.write_pairs(tmp_path / 'in', num_pairs=6)
    for path in (tmp_path / 'in').rglob('*.*'):
        bucket.blob(path.relative_to(tmp_path).as_posix()).upload_from_filename(str(path))
    dataset_dir = _prepare('gs://bucket')
    assert dataset_dir == 'gs://bucket/out/clothing_parsing/16x24/1.0.0'
    prefix = dataset_dir.removeprefix('gs://bucket/') + '/'
    there = {
        blob.name.removeprefix(prefix): hashlib.sha256(blob.download_as_bytes()).hexdigest()
        for blob in bucket.list_blobs(prefix='out/')
    }
    place = pathlib.Path(_prepare(tmp_path))
    here = {
        path.relative_to(place).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in place.rglob('*')
        if path.is_file()
    }
    assert _but_the_command(there) == _but_the_command(here)
    assert manifest.FILE_NAME in there
    verify = [sys.executable, '-m', 'seg_pipeline.verify', dataset_dir]
    assert subprocess.run(verify, capture_output=True, check=False).returncode == 0


def test_of_two_writers_one_creates_the_object(bucket, monkeypatch):
    """The emulator ignores conditions, so this one is kept in front of it, as Google's server keeps it."""
    send, asked = requests.Session.send, []

    def conditional(session, request, **options):
        if 'ifGenerationMatch=0' not in request.url:
            return send(session, request, **options)
        asked.append(request.url)
        if not bucket.blob('x').exists():
            return send(session, request, **options)
        refused = requests.Response()
        refused.status_code, refused.request, refused.url, refused._content = 412, request, request.url, b'{}'
        return refused

    monkeypatch.setattr(requests.Session, 'send', conditional)
    assert storage.create('gs://bucket/x', b'1')
    assert not storage.create('gs://bucket/x', b'2')
    assert bucket.blob('x').download_as_bytes() == b'1'
    assert len(asked) == 2
