"""A data set in a bucket, trained on through its copy in the user's cache; the bucket is moto's, on loopback."""

import os
import pathlib
import subprocess
import sys

import pytest

from seg_pipeline import errors
from seg_pipeline.dataset import manifest
from tests import fake_data, s3_server
from trainer import config


@pytest.fixture(scope='module')
def local(tmp_path_factory):
    return pathlib.Path(fake_data.make_dataset(tmp_path_factory.mktemp('data')))


@pytest.fixture(scope='module')
def bucket():
    """One for all tests: Beam's client of S3 keeps the address that it was made with."""
    with s3_server.serve() as running, pytest.MonkeyPatch.context() as monkeypatch:
        for name, value in running.environment('').items():
            monkeypatch.setenv(name, value)
        yield running


@pytest.fixture
def address(bucket, local, tmp_path, monkeypatch):
    bucket.clear()
    for path in local.rglob('*'):
        if path.is_file():
            bucket.put(f'data/{path.relative_to(local)}', path.read_bytes())
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    return f'{bucket.url}/data'


def _files(directory):
    return {path.relative_to(directory): path.read_bytes() for path in directory.rglob('*') if path.is_file()}


def test_the_copy_is_the_data_set_and_is_made_once(address, bucket, local, tmp_path):
    source = config.open_source(address)
    split = source.split('train')
    split.check_shards()
    copy = pathlib.Path(split.dataset_dir)
    assert copy.is_relative_to(tmp_path / 'cache' / 'seg_pipeline')
    assert _files(copy) == _files(local)
    assert source.data == config.open_source(str(local)).data
    assert source.note == f'note: {address} was fetched to {copy}'

    altered, missing = sorted(copy.glob('*.tfrecord-*'))[:2]
    altered.write_bytes(altered.read_bytes()[:-1] + b'x')
    missing.unlink()
    kept = copy / 'records.jsonl'
    bucket.remove('data/records.jsonl')  # which is here already, and is not asked for
    before = kept.stat().st_mtime_ns
    assert config.open_source(address).split('train').dataset_dir == str(copy)
    assert _files(copy) == _files(local)
    assert kept.stat().st_mtime_ns == before


def test_a_file_of_the_store_that_its_manifest_does_not_know(address, bucket, tmp_path):
    name = next(name for name in bucket.names('data/') if '.tfrecord-' in name)
    bucket.put(name, bucket.get(name)[:-1] + b'x')
    with pytest.raises(errors.UserError, match=rf'{name}: its SHA-256 is .*; prepare the data set again$'):
        config.open_source(address)
    assert not list((tmp_path / 'cache').rglob(manifest.FILE_NAME))
    assert not list((tmp_path / 'cache').rglob(pathlib.PurePath(name).name))


def test_no_data_set_there(address, bucket):
    with pytest.raises(errors.UserError, match=r'^s3://seg-pipeline-test/other: no data set'):
        config.open_source(f'{bucket.url}/other')


@pytest.mark.slow
def test_the_commands(address, local, tmp_path):
    flags = ('--encoder=tiny', '--encoder_weights=none', '--batch_size=4', '--epochs=1', '--frozen_epochs=0')
    of_run = (f'--data_dir={address}', f'--model_dir={tmp_path / "run"}')
    for command in (('trainer.train', *flags), ('trainer.evaluate',)):
        done = subprocess.run(
            [sys.executable, '-m', *command, *of_run], capture_output=True, text=True, check=False, env=os.environ
        )
        assert done.returncode == 0, done.stderr
        assert f'note: {address} was fetched to ' in done.stderr
    same = subprocess.run(  # the same data set: the run goes on with it
        [sys.executable, '-m', 'trainer.train', *flags, f'--data_dir={local}', of_run[1]],
        capture_output=True,
        text=True,
        check=False,
    )
    assert same.returncode == 0, same.stderr
