"""prepare_dataset from a store to a store, looked at from outside.

Servers on loopback for S3 and, where Google's client is installed, for its storage; HDFS where one runs.
"""

import hashlib
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time

import pytest
from absl import flags
from absl.testing import flagsaver
from apache_beam.options.pipeline_options import PipelineOptions

from beam_jobs import prepare_dataset
from seg_pipeline import errors, storage
from seg_pipeline.building import object_commit
from seg_pipeline.dataset import integrity, manifest
from tests import fake_data, gcs_server, hdfs_server, s3_server

_PLACE = 'out/clothing_parsing/16x24'
_SHARDS = '--num_shards=train:3,validation:2'


_SERVERS = {'s3': s3_server.serve, 'gs': gcs_server.serve, 'hdfs': hdfs_server.connect}


@pytest.fixture(
    scope='module',
    params=['s3', pytest.param('gs', marks=gcs_server.NEEDED), pytest.param('hdfs', marks=hdfs_server.NEEDED)],
)
def server(request):
    with _SERVERS[request.param]() as running:
        yield running


@pytest.fixture
def bucket(server):
    server.clear()
    yield server
    storage.configure(None)


def _fill(bucket, tmp_path, **options):
    """The same pairs on this disk and in the bucket."""
    fake_data.write_pairs(tmp_path / 'in', **options)
    for path in (tmp_path / 'in').rglob('*.*'):
        bucket.put(path.relative_to(tmp_path).as_posix(), path.read_bytes())
    bucket.put('in/images/.hidden.png', b'not looked at')


def _arguments(root, *more):
    return [
        f'--images={root}/in/images',
        f'--masks={root}/in/masks/',
        f'--labels={root}/in/labels.csv',
        f'--output_dir={root}/out',
        '--image_size=16,24',
        *more,
    ]


def _main(root, *more):
    with flagsaver.flagsaver():
        argv = ['prepare_dataset', *_arguments(root, '--direct_num_workers=1', *more)]
        prepare_dataset.main(flags.FLAGS(argv, known_only=True))


def _start(root, *more, **options):
    command = [sys.executable, '-m', 'beam_jobs.prepare_dataset', *_arguments(root, *more)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def _in_bucket(bucket, name='1.0.0'):
    prefix = f'{_PLACE}/{name}/'
    return {found.removeprefix(prefix): hashlib.sha256(bucket.get(found)).hexdigest() for found in bucket.names(prefix)}


def _on_disk(root):
    place = pathlib.Path(root) / _PLACE / '1.0.0'
    return {
        path.relative_to(place).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in place.rglob('*')
        if path.is_file()
    }


def _but_the_command(digests):
    """Provenance and card hold the command, and the manifest the digests of the two."""
    return {name: digest for name, digest in digests.items() if name not in fake_data.FILES_WITH_THE_COMMAND}


def test_the_command_with_workers_makes_the_bytes_that_it_makes_on_this_disk(bucket, tmp_path):
    _fill(bucket, tmp_path, num_pairs=10)
    process = _start(bucket.url, *bucket.flags, _SHARDS, '--direct_num_workers=2')
    output, error = process.communicate()
    assert process.returncode == 0, error
    assert all('pairs/s' in line for line in error.splitlines()), error  # progress, and nothing of Beam's own
    dataset_dir = output.splitlines()[-1]
    assert dataset_dir == f'{bucket.url}/{_PLACE}/1.0.0'
    _main(tmp_path, _SHARDS)
    assert _but_the_command(_in_bucket(bucket)) == _but_the_command(_on_disk(tmp_path))
    assert sorted(bucket.names('out/')) == sorted(bucket.names(f'{_PLACE}/1.0.0/'))  # nothing is left beside it
    storage.configure(PipelineOptions(list(bucket.flags)))
    assert list(integrity.problems(dataset_dir)) == []
    there, here = manifest.read(dataset_dir), manifest.read(str(tmp_path / _PLACE / '1.0.0'))
    assert (there.fingerprint, there.shards) == (here.fingerprint, here.shards)
    assert 'secret' not in bucket.get(f'{_PLACE}/1.0.0/{manifest.CARD_FILE}').decode()


def test_damage_in_the_bucket_is_found_by_the_command_that_has_its_credentials_in_the_environment(bucket, tmp_path):
    _fill(bucket, tmp_path, num_pairs=6)
    _main(bucket.url, *bucket.flags)
    name = next(name for name in bucket.names(f'{_PLACE}/1.0.0/') if '-train.' in name)
    data = bytearray(bucket.get(name))
    data[100] ^= 1
    bucket.put(name, bytes(data))
    bucket.put(f'{_PLACE}/1.0.0/stranger', b'')
    found = subprocess.run(
        [sys.executable, '-m', 'seg_pipeline.verify', f'{bucket.url}/{_PLACE}/1.0.0'],
        env={**os.environ, **bucket.environment(str(tmp_path))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (found.returncode, found.stderr) == (1, '')  # nothing of Beam's own
    lines = found.stdout.splitlines()
    assert f'{bucket.url}/{name}: its SHA-256 is ' in lines[0]
    assert 'record 0 at byte 0: checksum of the data' in lines[1]
    assert lines[2].endswith('stranger: is not in the manifest')


def test_again_changed_and_mistaken(bucket, tmp_path, capsys):
    _fill(bucket, tmp_path, num_pairs=6)
    _main(bucket.url, *bucket.flags)
    before = _in_bucket(bucket)
    _main(bucket.url, *bucket.flags)
    assert 'nothing to do' in capsys.readouterr().out
    with pytest.raises(errors.UserError, match='options: seed is 0 there and 1 here'):
        _main(bucket.url, *bucket.flags, '--seed=1')
    bucket.put('in/images/img_0003.png', bucket.get('in/images/img_0002.png'))
    with pytest.raises(errors.UserError, match=rf'{bucket.url}/in/images/img_0003.png has SHA-256'):
        _main(bucket.url, *bucket.flags)
    assert _in_bucket(bucket) == before
    with pytest.raises(errors.UserError, match='/nowhere: no such directory'):
        _main(bucket.url, *bucket.flags, f'--images={bucket.url}/nowhere')
    if bucket.url.startswith('s3://'):  # an HDFS has no buckets
        with pytest.raises(errors.UserError, match=r's3://no-such-bucket/out: cannot be used: .*Not Found'):
            _main(bucket.url, *bucket.flags, '--output_dir=s3://no-such-bucket/out')


def test_bad_pairs_are_rejected_with_their_address(bucket, tmp_path, capsys):
    _fill(bucket, tmp_path, num_pairs=6)
    bucket.put('in/images/img_0002.png', bucket.get('in/images/img_0002.png')[:-30])
    bucket.put('in/masks/seg_0003.png', b'')
    with pytest.raises(errors.UserError, match='2 rejected, listed above; nothing was published'):
        _main(bucket.url, *bucket.flags)
    error = capsys.readouterr().err
    assert 'rejected damaged: image img_0002.png: ' in error
    assert 'rejected empty_file: mask seg_0003.png: 0 bytes' in error
    assert f'{bucket.url}/in/images' in error
    assert _in_bucket(bucket) == {}
    _main(bucket.url, *bucket.flags, '--on_error=reject')
    rejected = bucket.get(f'{_PLACE}/1.0.0/{manifest.REJECTED_FILE}').splitlines()
    assert [json.loads(line)['key'] for line in rejected] == ['0002', '0003']


def test_killed_between_shards_and_started_again(bucket, tmp_path):
    _fill(bucket, tmp_path, num_pairs=30, size=(300, 200))
    shards = '--num_shards=train:12,validation:3'
    process = _start(bucket.url, *bucket.flags, shards, '--direct_num_workers=1', start_new_session=True)
    deadline = time.monotonic() + 60
    while not (made := [name for name in bucket.names(f'{_PLACE}/.work/') if name.endswith('.json')]):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    time.sleep(1)  # what it had sent still arrives
    made = [name for name in bucket.names(f'{_PLACE}/.work/') if name.endswith('.json')]
    assert 1 <= len(made) < 15
    _nothing_is_there(bucket)
    process = _start(bucket.url, *bucket.flags, shards, '--direct_num_workers=1')
    _, error = process.communicate()
    assert process.returncode == 0, error
    assert f'continuing: {len(made)} of 15 shards are already made' in error
    _main(tmp_path, shards)
    assert _but_the_command(_in_bucket(bucket)) == _but_the_command(_on_disk(tmp_path))


def _nothing_is_there(bucket, *, is_claimed=False):
    storage.configure(PipelineOptions(list(bucket.flags)))
    what = 'it is not complete: a command publishes it, or was killed while it did; wait for its end, or run the same'
    what = what if is_claimed else r'there is no manifest\.json; give the directory that prepare_dataset printed last'
    with pytest.raises(errors.UserError, match=f'/1\\.0\\.0: no data set: {what}'):
        manifest.read(f'{bucket.url}/{_PLACE}/1.0.0')


class _KilledError(Exception):
    pass


@pytest.mark.parametrize(
    ('then', 'after'), [('the same', 0), ('the same', 6), ('another', 2), ('--clean', 0), ('--clean', 6)]
)
def test_ended_inside_the_commit_and_started_again(bucket, tmp_path, monkeypatch, capsys, then, after):
    """Until the last two uploads nobody finds a data set; what is left is finished, respected or removed."""
    _fill(bucket, tmp_path, num_pairs=6)
    bucket.put(f'{_PLACE}/1.0.0/notes/mine.txt', b'not of any command')
    upload, count = object_commit._upload, [0]

    def some(path, address):
        if count[0] == after:
            raise _KilledError
        count[0] += 1
        upload(path, address)

    monkeypatch.setattr(object_commit, '_upload', some)
    with pytest.raises(Exception, match='_KilledError'):
        _main(bucket.url, *bucket.flags, _SHARDS)
    monkeypatch.setattr(object_commit, '_upload', upload)
    _nothing_is_there(bucket, is_claimed=True)
    left = _in_bucket(bucket)
    assert len(left) == 1 + 1 + 4 + after  # the note, the claim, the shards, and what was uploaded
    assert 'dataset_info.json' not in left
    more = ['--num_shards=train:2,validation:1']
    if then == 'the same':
        more = [_SHARDS]
    elif then == 'another':
        with pytest.raises(errors.UserError) as caught:
            _main(bucket.url, *bucket.flags, *more)
        assert re.search(
            rf'1\.0\.0: another command publishes another data set \(fingerprint [0-9a-f]{{12}}, begun .* on '
            rf'{re.escape(socket.gethostname())} by process {os.getpid()}\), this one has [0-9a-f]{{12}}; .*--clean',
            str(caught.value),
        )
        assert '\n' not in str(caught.value)
        assert _in_bucket(bucket) == left
        return
    else:
        more.append('--clean')
    _main(bucket.url, *bucket.flags, *more)
    if then == '--clean':
        assert '1.0.0: an unfinished data set (fingerprint ' in capsys.readouterr().out
    _main(tmp_path, more[0])
    found = _but_the_command(_in_bucket(bucket))
    assert found.pop('notes/mine.txt') == hashlib.sha256(b'not of any command').hexdigest()
    assert found == _but_the_command(_on_disk(tmp_path))
    storage.configure(PipelineOptions(list(bucket.flags)))
    problems = list(integrity.problems(f'{bucket.url}/{_PLACE}/1.0.0'))
    assert [problem.partition('1.0.0/')[2] for problem in problems] == ['notes/mine.txt: is not in the manifest']


def test_killed_behind_the_manifest(bucket, tmp_path):
    """The claim that is left is removed by whoever looks next."""
    _fill(bucket, tmp_path, num_pairs=6)
    _main(bucket.url, *bucket.flags)
    before = _in_bucket(bucket)
    claim = object_commit.Claim.of(manifest.read(f'{bucket.url}/{_PLACE}/1.0.0'))
    for more in ((), ('--clean',)):
        bucket.put(f'{_PLACE}/1.0.0/{object_commit.CLAIM_FILE}', claim.to_bytes())
        _main(bucket.url, *bucket.flags, *more)
        assert _in_bucket(bucket) == before


def test_a_file_of_the_user_is_not_written_over(bucket, tmp_path):
    _fill(bucket, tmp_path, num_pairs=6)
    bucket.put(f'{_PLACE}/1.0.0/features.json', b'mine')
    with pytest.raises(errors.UserError, match=r'1\.0\.0: holds 1 file that .*, such as features\.json; remove them'):
        _main(bucket.url, *bucket.flags)
    assert {name: bucket.get(f'{_PLACE}/1.0.0/{name}') for name in _in_bucket(bucket)} == {'features.json': b'mine'}
    bucket.put(f'{_PLACE}/1.0.0/{object_commit.CLAIM_FILE}', b'no claim')
    with pytest.raises(errors.UserError, match=r'\.claim\.json: is no claim of this version: '):
        _main(bucket.url, *bucket.flags, '--clean')


def test_a_file_of_the_user_beside_a_finished_data_set_is_named_and_left_alone(bucket, tmp_path, capsys):
    _fill(bucket, tmp_path, num_pairs=6)
    for name in ('a.txt', 'notes/mine.txt'):
        bucket.put(f'{_PLACE}/1.0.0/{name}', b'mine')
    _main(bucket.url, *bucket.flags)
    before, _ = _in_bucket(bucket), capsys.readouterr()
    _main(bucket.url, *bucket.flags)
    output = capsys.readouterr()
    assert 'nothing to do' in output.out
    path = f'{bucket.url}/{_PLACE}/1.0.0/a.txt'
    assert output.err == f'warning: {path}: is not in the manifest, and 1 more such: left alone\n'
    assert _in_bucket(bucket) == before
    assert 'notes/mine.txt' in before


def test_a_data_set_without_its_manifest(bucket, tmp_path):
    """Found before the pairs are decoded, and not taken for what a command leaves that was killed."""
    _fill(bucket, tmp_path, num_pairs=6)
    _main(bucket.url, *bucket.flags)
    bucket.remove(f'{_PLACE}/1.0.0/{manifest.FILE_NAME}')
    before = _in_bucket(bucket)
    why = r'records\.jsonl is there and manifest\.json is not: .*; put manifest\.json back from a copy, or remove '
    for more in ((), ('--clean',)):
        with pytest.raises(errors.UserError, match=rf'/1\.0\.0: the data set goes there, but {why}it, .*--dataset_ver'):
            _main(bucket.url, *bucket.flags, *more)
    assert bucket.names(f'{_PLACE}/.work/') == []
    with pytest.raises(errors.UserError, match=rf'/1\.0\.0: no data set: {why}the rest and prepare'):
        list(integrity.problems(f'{bucket.url}/{_PLACE}/1.0.0'))
    assert _in_bucket(bucket) == before


@pytest.mark.parametrize('name', ['../1.0.1/x', '/x', 'a//b', ''])
def test_a_claim_that_names_files_of_others_is_refused(bucket, tmp_path, name):
    _fill(bucket, tmp_path, num_pairs=6)
    bucket.put(f'{_PLACE}/1.0.1/x', b'mine')
    fields = {'manifest_sha256': '', 'fingerprint': '', 'names': [name], 'host': '', 'pid': 1, 'time': ''}
    bucket.put(f'{_PLACE}/1.0.0/{object_commit.CLAIM_FILE}', json.dumps(fields).encode())
    with pytest.raises(errors.UserError, match='names a file outside of the data set'):
        _main(bucket.url, *bucket.flags, '--clean')
    assert bucket.get(f'{_PLACE}/1.0.1/x') == b'mine'


def test_given_up_while_it_is_at_work(bucket, tmp_path, monkeypatch):
    """The other command removed its files: it says so, and publishes nothing that lacks them."""
    _fill(bucket, tmp_path, num_pairs=6)
    dataset_dir = f'{bucket.url}/{_PLACE}/1.0.0'
    place = object_commit._place_shards

    def given_up(address, shards):
        place(address, shards)
        object_commit.abandon(dataset_dir, object_commit.tidy(dataset_dir))

    monkeypatch.setattr(object_commit, '_place_shards', given_up)
    with pytest.raises(errors.UserError, match='--clean of another command removed what this one wrote; run it again'):
        _main(bucket.url, *bucket.flags)
    _nothing_is_there(bucket)
    assert _in_bucket(bucket) == {}
    monkeypatch.setattr(object_commit, '_place_shards', place)
    _main(bucket.url, *bucket.flags)
    assert list(integrity.problems(dataset_dir)) == []


@pytest.mark.parametrize('moment', ['_take', '_place_shards', '_finish'])
def test_another_command_comes_at_a_moment_of_the_commit(bucket, tmp_path, monkeypatch, moment):
    """Inside of one command's commit the whole of another runs, with other options."""
    _fill(bucket, tmp_path, num_pairs=6)
    original, said = getattr(object_commit, moment), []

    def between(*arguments):
        monkeypatch.setattr(object_commit, moment, original)
        process = _start(bucket.url, *bucket.flags, '--seed=1', '--direct_num_workers=1')
        said.append((process.communicate()[1], process.returncode))
        return original(*arguments)

    monkeypatch.setattr(object_commit, moment, between)
    if moment == '_take':  # the other one was there first
        with pytest.raises(errors.UserError, match='another command has published a data set of fingerprint'):
            _main(bucket.url, *bucket.flags, _SHARDS)
        assert said[0][1] == 0, said
    else:
        _main(bucket.url, *bucket.flags, _SHARDS)
        assert said[0][1] == 2, said
        assert 'another command publishes another data set' in said[0][0]
        assert 'Traceback' not in said[0][0]
    storage.configure(PipelineOptions(list(bucket.flags)))
    dataset_dir = f'{bucket.url}/{_PLACE}/1.0.0'
    assert list(integrity.problems(dataset_dir)) == []
    assert len(manifest.read(dataset_dir).shards) == (2 if moment == '_take' else 4)


def test_two_commands_with_other_options_at_once(bucket, tmp_path):
    """One wins, whichever it is; the other says so."""
    _fill(bucket, tmp_path, num_pairs=6)
    bucket.put(f'{_PLACE}/1.0.0/notes.txt', b'mine')
    options = [(_SHARDS,), ('--num_shards=train:2,validation:1', '--seed=1')]
    running = [_start(bucket.url, *bucket.flags, *more, '--direct_num_workers=1') for more in options]
    ends = [(process.communicate(), process.returncode) for process in running]
    assert sorted(code for _, code in ends) == [0, 2], ends
    storage.configure(PipelineOptions(list(bucket.flags)))
    dataset_dir = f'{bucket.url}/{_PLACE}/1.0.0'
    problems = list(integrity.problems(dataset_dir))
    assert problems == [f'{dataset_dir}/notes.txt: is not in the manifest']
    for (output, error), code in ends:
        if code == 0:
            assert output.splitlines()[-1] == dataset_dir
        else:
            assert re.search(r'error: .*another command (publishes|has published)|error: .*holds a data set', error), (
                error
            )


def test_two_commands_at_once(bucket, tmp_path):
    _fill(bucket, tmp_path, num_pairs=6)
    running = [_start(bucket.url, *bucket.flags, _SHARDS, '--direct_num_workers=1') for _ in range(2)]
    for process in running:
        output, error = process.communicate()
        assert process.returncode == 0, error
    storage.configure(PipelineOptions(list(bucket.flags)))
    assert list(integrity.problems(output.splitlines()[-1])) == []
    assert bucket.names(f'{_PLACE}/.work/') == []


def test_the_last_two_files_are_those_that_readers_look_for(bucket, tmp_path, monkeypatch):
    _fill(bucket, tmp_path, num_pairs=6)
    uploaded = []
    upload, create = object_commit._upload, storage.create

    monkeypatch.setattr(
        object_commit,
        '_upload',
        lambda path, address: (uploaded.append(os.path.basename(address)), upload(path, address)),
    )
    monkeypatch.setattr(
        storage, 'create', lambda path, data: (uploaded.append(os.path.basename(path)), create(path, data))[1]
    )
    _main(bucket.url, *bucket.flags)
    assert uploaded[0] == '.claim.json'
    assert uploaded[-2:] == ['dataset_info.json', 'manifest.json']


def test_work_of_other_options_is_reported_and_cleaned(bucket, tmp_path, capsys):
    _fill(bucket, tmp_path, num_pairs=6)
    bucket.put(f'{_PLACE}/.work/{"0" * 64}.tfrecord', b'left by another')
    _main(bucket.url, *bucket.flags)
    assert '1 file of other commands, 0.0 MB; --clean removes them' in capsys.readouterr().out
    _main(bucket.url, *bucket.flags, '--clean', '--dataset_version=1.0.1')
    assert bucket.names(f'{_PLACE}/.work/') == []


def test_options_that_look_into_the_pairs_work_elsewhere_too(bucket, tmp_path):
    _fill(bucket, tmp_path, num_pairs=6)
    more = ('--near_duplicates=group', '--stratify=rare', '--file_format=array_record', '--schema=model_garden')
    _main(bucket.url, *bucket.flags, *more)
    _main(tmp_path, *more)
    assert _but_the_command(_in_bucket(bucket)) == _but_the_command(_on_disk(tmp_path))
    assert bucket.names(f'{_PLACE}/.work/') == []
    storage.configure(PipelineOptions(list(bucket.flags)))
    assert list(integrity.problems(f'{bucket.url}/{_PLACE}/1.0.0')) == []
    _main(bucket.url, *bucket.flags, '--dry_run')
    assert manifest.CARD_FILE in _in_bucket(bucket, 'dry_run')
