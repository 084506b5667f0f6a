"""A cluster whose hosts share no disk: the pairs come from an object store, and the data set goes there."""

import sys

import pytest

from tests import optional
from tests.engines import job
from tools.engines import flink, hosts, processes, worker_pool

optional.CLUSTERS.skip_module()

_PORT = 5555
_FLAGS = ('--image_size=64,64', '--near_duplicates=group', '--stratify=rare', '--num_shards=train:4,validation:2')
_FILL = """
import pathlib, sys, boto3
client = boto3.client('s3')
client.create_bucket(Bucket='bucket')
root = pathlib.Path(sys.argv[1])
for path in root.glob('*/*'):
    client.put_object(Bucket='bucket', Key=str(path.relative_to(root)), Body=path.read_bytes())
"""
_FETCH = """
import pathlib, sys, boto3
client = boto3.client('s3')
for page in client.get_paginator('list_objects_v2').paginate(Bucket='bucket', Prefix='out/'):
    for entry in page['Contents']:
        path = pathlib.Path(sys.argv[1], entry['Key'])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(client.get_object(Bucket='bucket', Key=entry['Key'])['Body'].read())
"""


@pytest.fixture
def source(tmp_path):
    return job.write_source(tmp_path / 'pairs', 60, (120, 100), *_FLAGS)


def test_pairs_from_a_bucket_to_a_bucket(source, tmp_path):
    expected = job.digests(job.directory_of(job.run(source.command(tmp_path / 'expected'))))
    with hosts.network(3) as network:
        manager = network[0]
        environment = {
            'AWS_ENDPOINT_URL': f'http://{manager.address}:{_PORT}',
            'AWS_ACCESS_KEY_ID': 'key',
            'AWS_SECRET_ACCESS_KEY': 'secret',
            'AWS_DEFAULT_REGION': 'us-east-1',
        }
        server = [sys.executable, '-m', 'moto.server', '--host', manager.address, '--port', str(_PORT)]
        up = worker_pool.listens(manager, _PORT)
        with (
            processes.running(manager.command(server), tmp_path / 's3.log', up),
            flink.cluster(network, tmp_path, environment) as cluster,
        ):
            _run_there(manager, _FILL, source.directory, environment)
            in_bucket = job.Source('s3://bucket', source.flags, labels=f'{source.directory}/labels.csv')
            command = manager.command(in_bucket.command('s3://bucket/out', *cluster.arguments))
            done = job.run(command, environment)
            assert done.returncode == 0, done.stderr[-3000:]
            _run_there(manager, _FETCH, tmp_path / 'fetched', environment)
    assert done.stdout.splitlines()[-1] == 's3://bucket/out/clothing_parsing/64x64/1.0.0'
    fetched = tmp_path / 'fetched' / 'out'
    assert job.digests(next(fetched.glob('*/64x64/1.0.0'))) == expected
    assert [path for path in fetched.rglob('*') if '.work' in path.parts] == []


def _run_there(host, program, argument, environment):
    done = job.run(host.command([sys.executable, '-c', program, str(argument)]), environment)
    assert done.returncode == 0, done.stderr
