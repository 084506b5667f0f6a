"""GcsStore on an emulator of Google's API; `store_test` runs it on S3 as well.

Skipped where the packages are missing, which are no part of the lock: Beam's extra `gcp` is sixty packages.
"""

import socket

import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from seg_pipeline import errors, storage
from tests import optional

optional.GCS.skip_module()
from gcp_storage_emulator import server as emulator  # noqa: E402


@pytest.fixture(scope='module')
def url():
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    server = emulator.create_server('127.0.0.1', port, in_memory=True, default_bucket='bucket')
    server.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('STORAGE_EMULATOR_HOST', f'http://127.0.0.1:{port}')
        # Beam looks for credentials for half a minute before it goes on without.
        patch.setattr('apache_beam.internal.gcp.auth.get_service_credentials', lambda _: None)
        storage.configure(PipelineOptions(['--project=project']))
        yield 'gs://bucket'
    storage.configure(None)
    server.stop()


def test_a_missing_object_is_told_from_other_errors(url):
    for read in (storage.read_bytes, storage.num_bytes):
        with pytest.raises(FileNotFoundError) as caught:
            read(f'{url}/missing')
        assert caught.value.filename == f'{url}/missing'
    storage.remove(f'{url}/missing')


def test_an_upload_that_breaks_off_leaves_the_object_as_it_was(url, broken_file):
    storage.write(f'{url}/old', b'old')
    for name in ('old', 'new'):
        broken_file.seek(0)
        with pytest.raises((OSError, KeyboardInterrupt)):
            storage.of(url).put(broken_file, f'{url}/{name}')
    assert storage.names(url) == ['old']
    assert storage.read_bytes(f'{url}/old') == b'old'
    storage.remove(f'{url}/old')


def test_an_empty_object(url):
    storage.write(f'{url}/empty', b'')
    assert storage.read_bytes(f'{url}/empty') == b''
    storage.remove(f'{url}/empty')


def test_a_name_is_no_pattern(url):
    names = ['x', 'x*', 'x[1]', 'xy']
    for name in names:
        storage.write(f'{url}/{name}', b'')
    for name in ('x*', 'x[1]'):
        storage.remove(f'{url}/{name}')
    assert storage.names(url) == ['x', 'xy']
    for name in ('x', 'xy'):
        storage.remove(f'{url}/{name}')


def test_a_missing_bucket_is_told_before_the_work(url):
    storage.check(f'{url}/nothing')
    with pytest.raises(errors.UserError, match=r'gs://no-such-bucket/x: cannot be used: '):
        storage.check('gs://no-such-bucket/x')
