"""How often a store is asked: a bounded number of requests for each file, and one client for all of them."""

import os
import pathlib
from collections import Counter

import boto3.session
import botocore.client
import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from seg_pipeline import storage
from seg_pipeline.card import gallery
from seg_pipeline.dataset import integrity, manifest, record_index
from tests import fake_data, s3_server


@pytest.fixture
def dataset(tmp_path, monkeypatch):
    """The addresses of a data set in a bucket and on this disk, and what is asked of the bucket."""
    directory = fake_data.make_dataset(tmp_path, num_pairs=20, num_shards='train:3,validation:1')
    with s3_server.serve() as bucket:
        for path in pathlib.Path(directory).rglob('*.*'):
            bucket.put(f'x/{path.relative_to(directory).as_posix()}', path.read_bytes())
        asked, clients = Counter(), []
        call, make = botocore.client.BaseClient._make_api_call, boto3.session.Session.client

        def counted(client, operation, arguments):
            asked[operation, arguments.get('Key', '').removeprefix('x/')] += 1
            return call(client, operation, arguments)

        monkeypatch.setattr(botocore.client.BaseClient, '_make_api_call', counted)
        monkeypatch.setattr(boto3.session.Session, 'client', lambda *a, **k: clients.append(a) or make(*a, **k))
        storage.configure(PipelineOptions(list(bucket.flags)))
        yield f'{bucket.url}/x', directory, asked, clients
        storage.configure(None)


def test_verify(dataset):
    address, _, asked, clients = dataset
    assert list(integrity.problems(address)) == []
    assert len(clients) == 1
    gets = {name: number for (operation, name), number in asked.items() if operation == 'GetObject'}
    assert max(gets.values()) <= 2
    assert sum(asked.values()) <= 5 * len(gets)


def test_the_gallery_fetches_each_shard_once(dataset):
    address, directory, asked, clients = dataset
    present = manifest.read(directory)
    index = list(record_index.of(directory))
    paths = {shard.name: os.path.join(address, shard.name) for shard in present.shards}
    local = {shard.name: os.path.join(directory, shard.name) for shard in present.shards}
    pictures = gallery.choose(paths, index, [])
    assert len(pictures) == 20
    assert [picture.image for picture in pictures] == [picture.image for picture in gallery.choose(local, index, [])]
    fetched = {name: number for (operation, name), number in asked.items() if operation == 'GetObject'}
    assert fetched == dict.fromkeys(paths, 1)
    asked.clear()
    groups = [index[k::5] for k in range(5)]
    assert len(gallery.of_duplicates(paths, index, groups)) == 20
    assert {name: number for (operation, name), number in asked.items() if operation == 'GetObject'} == fetched
    assert len(clients) == 1
