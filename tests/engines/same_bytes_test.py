"""prepare_dataset on every engine: the same bytes as on Beam's own runner."""

import pathlib

import pytest

from tests import fake_data, optional
from tests.engines import job
from tools.engines import flink, hosts, prism, spark

optional.CLUSTERS.skip_module()

ENGINES = {'prism': prism, 'flink': flink, 'spark': spark}
_NAMES = [pytest.param('prism', marks=optional.GO.mark), 'flink', 'spark']
_RUNBOOK = (pathlib.Path(__file__).parents[2] / 'docs' / 'scaling.md').read_text()
_FLAGS = ('--image_size=64,64', '--near_duplicates=group', '--stratify=rare', '--num_shards=train:4,validation:2')


@pytest.fixture(scope='module')
def source(tmp_path_factory):
    return job.write_source(tmp_path_factory.mktemp('source') / 'pairs', 60, (120, 100), *_FLAGS)


@pytest.fixture(scope='module')
def expected(source, tmp_path_factory):
    done = job.run(source.command(tmp_path_factory.mktemp('expected')))
    return job.digests(job.directory_of(done))


@pytest.fixture(scope='module')
def large(tmp_path_factory):
    """Pairs in shards that are so large that they are made in parts, of other sizes on a cluster than here."""
    directory = tmp_path_factory.mktemp('large')
    fake_data.write_pairs(directory / 'pairs', 700, (20, 24))
    source = job.Source(directory / 'pairs', ('--image_size=16,16', '--num_shards=train:1,validation:1'))
    done = job.run(source.command(directory / 'expected'))
    return source, job.digests(job.directory_of(done))


@pytest.mark.parametrize('name', _NAMES)
def test_within_the_process_that_the_command_starts(name, source, expected, tmp_path):
    arguments, environment = ENGINES[name].local()
    done = job.run(source.command(tmp_path / 'out', *arguments), environment)
    assert job.digests(job.directory_of(done)) == expected
    assert 'INFO' not in done.stderr


@pytest.mark.parametrize('name', _NAMES)
def test_on_a_cluster(name, source, expected, large, tmp_path):
    with hosts.network(3) as network, ENGINES[name].cluster(network, tmp_path) as cluster:
        command = cluster.manager.command(source.command(tmp_path / 'out', *cluster.arguments))
        done = job.run(command, cluster.environment)
        assert job.digests(job.directory_of(done)) == expected
        for argument in cluster.arguments:  # the runbook names what was run here
            assert argument.partition('=')[0] in _RUNBOOK
        assert 'INFO' not in done.stderr
        source, expected = large
        command = cluster.manager.command(source.command(tmp_path / 'parts', *cluster.arguments))
        done = job.run(command, cluster.environment)
        assert job.digests(job.directory_of(done)) == expected
        assert all(process.poll() is None for process in (*cluster.workers, *cluster.pools))
