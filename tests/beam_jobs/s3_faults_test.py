"""prepare_dataset from S3 to S3 where something goes wrong: as on this disk, it is named, and nothing is left."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest
from absl import flags
from absl.testing import flagsaver

from beam_jobs import prepare_dataset
from seg_pipeline import errors, storage
from seg_pipeline.imaging import masks
from seg_pipeline.storage import attempts
from tests import deadly_bmp, fake_data, s3_server

_PLACE = 'out/clothing_parsing/16x24'
_DATASET = f'{_PLACE}/1.0.0'


@pytest.fixture(scope='module')
def server():
    with s3_server.serve() as running:
        yield running


@pytest.fixture
def bucket(server, tmp_path):
    """With eight pairs."""
    server.clear()
    fake_data.write_pairs(tmp_path / 'in', num_pairs=8)
    for path in (tmp_path / 'in').rglob('*.*'):
        server.put(path.relative_to(tmp_path).as_posix(), path.read_bytes())
    yield server
    storage.configure(None)


def _arguments(bucket, *more):
    inputs = [f'--{what}={bucket.url}/in/{what}' for what in ('images', 'masks')]
    labels = f'--labels={bucket.url}/in/labels.csv'
    return [*inputs, labels, f'--output_dir={bucket.url}/out', '--image_size=16,24', *bucket.flags, *more]


def _main(bucket, *more):
    with flagsaver.flagsaver():
        argv = ['prepare_dataset', *_arguments(bucket, '--direct_num_workers=1', *more)]
        return prepare_dataset.main(flags.FLAGS(argv, known_only=True))


def _start(bucket, *more, variables):
    command = [sys.executable, '-m', 'beam_jobs.prepare_dataset', *_arguments(bucket, '--direct_num_workers=2', *more)]
    pipes = {'stdout': subprocess.PIPE, 'stderr': subprocess.PIPE, 'text': True}
    return subprocess.Popen(command, env={**os.environ, **variables}, **pipes)


def _add_deadly(bucket):
    bucket.put('in/images/img_0099.bmp', deadly_bmp.bmp())
    bucket.put('in/masks/seg_0099.png', deadly_bmp.png())


def _notes(bucket):
    return [name for name in bucket.names(f'{_PLACE}/.work/') if name.endswith(attempts.SUFFIX)]


def _get(bucket, note):
    with contextlib.suppress(bucket.client.exceptions.NoSuchKey):  # of an attempt that has ended meanwhile
        return bucket.get(note)
    return b''


def test_a_deadly_pair_is_named_at_the_second_run_and_rejected(bucket, tmp_path):
    _add_deadly(bucket)
    variables, flags = deadly_bmp.environment(tmp_path, how='kill'), ('--num_shards=train:2,validation:1',)
    process = _start(bucket, *flags, '--on_error=reject', variables=variables)
    _, error = process.communicate()
    assert process.returncode == 1
    where = r'one of the \d pairs of \S+-of-0000\d'  # a note there names all pairs of a shard
    assert re.search(rf'^error: a worker process was killed by signal 9 .*, while at {where}: the same', error, re.M)
    process = _start(bucket, *flags, '--on_error=reject', variables=variables)
    _, error = process.communicate()
    assert process.returncode == 0, error
    assert re.search(f'^warning: a process of an earlier run ended while it was at {where}: ', error, re.M)
    assert 'rejected decoder_failed: image img_0099.bmp, mask seg_0099.png: ' in error
    (rejected,) = bucket.get(f'{_DATASET}/rejected.jsonl').splitlines()
    assert json.loads(rejected)['key'] == '0099'
    assert len(bucket.get(f'{_DATASET}/records.jsonl').splitlines()) == 8
    assert sorted(bucket.names('out/')) == sorted(bucket.names(f'{_DATASET}/'))  # nothing is left beside it


def _stop_at_the_deadly(bucket, process, number, seconds=0.0):
    deadline = time.monotonic() + 60
    while not any(b'0099' in _get(bucket, note) for note in _notes(bucket)):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(seconds)
    process.send_signal(number)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert 'finished shards are kept' in error.splitlines()[-1]


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_who_stops_the_command_leaves_no_trace_of_what_was_at_work(bucket, tmp_path, number):
    _add_deadly(bucket)
    process = _start(bucket, variables=deadly_bmp.environment(tmp_path, how='hang'))
    _stop_at_the_deadly(bucket, process, number)
    deadline = time.monotonic() + 30  # a worker ends a moment after the command
    while _notes(bucket):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    # Only finished shards and what is known of them: whoever runs the command again suspects no pair.
    assert all(re.search(r'/\.work/[0-9a-f]{64}\.[a-z.]+$', name) for name in bucket.names('out/'))


def test_who_stops_a_command_that_hangs_has_the_pair_suspected(bucket, tmp_path):
    _add_deadly(bucket)
    process = _start(bucket, variables=deadly_bmp.environment(tmp_path, how='hang', limits=(3600.0, 6.0, 1.0)))
    _stop_at_the_deadly(bucket, process, signal.SIGINT, seconds=3)
    assert any(b'0099' in bucket.get(note) for note in _notes(bucket))


def test_what_was_deleted_of_a_data_set_is_named_with_the_remedy(bucket):
    _main(bucket)
    for name in ('dataset_info.json', 'report/index.html', 'features.json', 'records.jsonl'):
        path = f'{_DATASET}/{name}'
        good = bucket.get(path)
        bucket.remove(path)
        with pytest.raises(errors.UserError) as caught:
            _main(bucket)
        remedy = f'remove {bucket.url}/{_DATASET} and run the command again'  # nothing is repaired in a store
        assert str(caught.value).startswith(f'{bucket.url}/{path}: No such file or directory; ')
        assert str(caught.value).endswith(remedy)
        bucket.put(path, good)
    assert _main(bucket) == 0


def test_a_wrong_reader_is_found(bucket, monkeypatch):
    real = masks.decode

    def decode(data, path, *arguments):
        ids = real(data, path, *arguments)
        return 3 - ids if 'seg_0003' in path else ids

    monkeypatch.setattr(masks, 'decode', decode)
    path = f'{bucket.url}/in/masks/seg_0003.png'
    with pytest.raises(errors.OutsideError, match=rf"^pair '0003': record \d+ of .*, made from {path}: the file has"):
        _main(bucket)
    assert bucket.names(f'{_DATASET}/') == []
