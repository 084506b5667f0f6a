"""From a bucket of Google Cloud Storage to another place in it, against an emulator of its API on loopback.

Skipped where the packages are missing, which are no part of the lock: Beam's extra `gcp` is sixty packages.
"""

import hashlib
import pathlib
import subprocess
import sys

import pytest

from seg_pipeline import storage
from seg_pipeline.dataset import manifest
from tests import fake_data, gcs_server

pytestmark = gcs_server.NEEDED


@pytest.fixture
def bucket():
    """Google's own view of an empty bucket."""
    with gcs_server.serve() as running:
        yield running.client


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
    dataset_dir = _prepare(f'gs://{bucket.name}')
    assert dataset_dir == f'gs://{bucket.name}/out/clothing_parsing/16x24/1.0.0'
    prefix = dataset_dir.removeprefix(f'gs://{bucket.name}/') + '/'
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


def test_of_two_writers_one_creates_the_object(bucket):
    assert storage.create(f'gs://{bucket.name}/x', b'1')
    assert not storage.create(f'gs://{bucket.name}/x', b'2')
    assert bucket.blob('x').download_as_bytes() == b'1'
