"""A bucket on an emulator of Google Cloud Storage: a real HTTP endpoint on loopback."""

import contextlib
import dataclasses
import json
import logging
import os
import pathlib
import socket
import tempfile
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any
from unittest import mock

from tests import optional

BUCKET = 'seg-pipeline-test'
NEEDED = optional.GCS.mark


@dataclasses.dataclass(frozen=True)
class Bucket:
    """An empty bucket.

    Attributes:
        url: its address, `gs://...`.
        variables: of the environment, by which every command finds it.
        client: Google's own view of it, to look from outside.
        flags: the Beam options that lead to it; it needs none.
    """

    url: str
    variables: dict[str, str]
    client: Any
    flags: tuple[str, ...] = ()

    def put(self, name: str, data: bytes) -> None:
        """Makes an object."""
        self.client.blob(name).upload_from_string(data)

    def get(self, name: str) -> bytes:
        """The bytes of an object."""
        data: bytes = self.client.blob(name).download_as_bytes()
        return data

    def remove(self, name: str) -> None:
        """Removes an object."""
        self.client.blob(name).delete()

    def names(self, prefix: str = '') -> list[str]:
        """The names of all objects that begin with a prefix."""
        return [blob.name for blob in self.client.list_blobs(prefix=prefix)]

    def clear(self) -> None:
        """Removes all objects."""
        for name in self.names():
            self.remove(name)

    def environment(self, directory: str) -> dict[str, str]:
        """Variables with which a command finds it without flags; nothing goes to `directory`."""
        del directory
        return self.variables


@contextlib.contextmanager
def serve() -> Iterator[Bucket]:
    """Runs the server while the block runs; the commands that are started in it find it by the environment."""
    from gcp_storage_emulator import server as emulator
    from gcp_storage_emulator.handlers import objects
    from google.auth import credentials
    from google.cloud import storage as gcs

    logging.getLogger('gcp_storage_emulator').setLevel(logging.ERROR)  # a line for each answer
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    server = emulator.create_server('127.0.0.1', port, in_memory=True, default_bucket=BUCKET)
    conditional = _keeping_conditions(objects._multipart_upload)
    handlers = [('/token', {'POST': _give_token}), *emulator.HANDLERS]
    with (
        contextlib.ExitStack() as stack,
        _account(f'http://127.0.0.1:{port}/token') as account,
        mock.patch.object(objects, '_multipart_upload', conditional),
        mock.patch.object(emulator, 'HANDLERS', handlers),
    ):
        variables = {
            'STORAGE_EMULATOR_HOST': f'http://127.0.0.1:{port}',
            'GOOGLE_APPLICATION_CREDENTIALS': account,
            'NO_GCE_CHECK': 'true',
        }
        stack.enter_context(mock.patch.dict(os.environ, variables))
        server.start()
        try:
            client = gcs.Client(project='project', credentials=credentials.AnonymousCredentials())
            yield Bucket(f'gs://{BUCKET}', variables, client.bucket(BUCKET))
        finally:
            server.stop()


@contextlib.contextmanager
def _account(token_uri: str) -> Iterator[str]:
    """The file of a service account: without one, Beam asks for credentials for half a minute, and says so."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    account = {
        'type': 'service_account',
        'project_id': 'project',
        'client_email': 'test@project.example',
        'private_key': key.decode(),
        'private_key_id': '1',
        'token_uri': token_uri,
    }
    with tempfile.TemporaryDirectory() as directory:
        path = pathlib.Path(directory, 'account.json')
        path.write_text(json.dumps(account))
        yield str(path)


def _give_token(request: Any, response: Any, storage: Any) -> None:
    """Answers the request for a token, which the emulator then does not look at."""
    del storage
    assert request.data is not None
    response.json({'access_token': 'token', 'expires_in': 3600, 'token_type': 'Bearer'})


def _keeping_conditions(upload: Any) -> Any:
    """Refuses to write over an object where the request says so; the emulator ignores that, Google's server does not.

    The emulator answers one request after the other, so that nothing comes between the look and the upload.
    """
    from gcp_storage_emulator.exceptions import NotFound

    def conditional(request: Any, response: Any, storage: Any) -> Any:
        if request.query.get('ifGenerationMatch') == ['0']:
            with contextlib.suppress(NotFound):
                storage.get_file_obj(request.params['bucket_name'], request.data['meta']['name'])
                response.status = HTTPStatus.PRECONDITION_FAILED
                return response.json({})
        return upload(request, response, storage)

    return conditional
