import dataclasses
import hashlib
import json
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest

from seg_pipeline import errors, records
from seg_pipeline.dataset import integrity, manifest
from seg_pipeline.imaging import images
from seg_pipeline.records import example_proto, tfrecord
from seg_pipeline.storage import checksums
from tests import fake_data


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
    return fake_data.make_dataset(tmp_path_factory.mktemp('data'), num_pairs=6, image_size=(8, 8))


@pytest.fixture
def dataset_dir(whole, tmp_path):
    return pathlib.Path(shutil.copytree(whole, tmp_path / 'copy'))


def test_whole(whole):
    assert list(integrity.problems(whole)) == []


def test_a_damaged_record_is_named_with_index_offset_and_key(dataset_dir):
    shard = next(dataset_dir.glob('*train*'))
    payloads = list(records.read_payloads(str(shard)))
    lines = [json.loads(line) for line in (dataset_dir / manifest.RECORDS_FILE).read_text().splitlines()]
    key = next(line['key'] for line in lines if line['shard'] == shard.name and line['index'] == 2)
    data = bytearray(shard.read_bytes())
    data[payloads[2].offset + 40] ^= 1
    shard.write_bytes(data)
    found = '\n'.join(integrity.problems(str(dataset_dir)))
    assert f'record 2 at byte {payloads[2].offset}' in found
    assert f'(key {key!r})' in found


def test_every_damaged_record_is_named_until_a_length_is_damaged(dataset_dir):
    shard = next(dataset_dir.glob('*train*'))
    offsets = [payload.offset for payload in records.read_payloads(str(shard))]
    data = bytearray(shard.read_bytes())
    for index in (0, 1, 3):
        data[offsets[index] + 40] ^= 1
    shard.write_bytes(data)
    found = '\n'.join(integrity.problems(str(dataset_dir)))
    assert [f'record {index} at byte' in found for index in range(5)] == [True, True, False, True, False]
    data[offsets[2]] ^= 1
    shard.write_bytes(data)
    found = '\n'.join(integrity.problems(str(dataset_dir)))
    assert [f'record {index} at byte' in found for index in range(5)] == [True, True, True, False, False]


@pytest.mark.parametrize('field', ['"key"', '"image"', '"shard"', '"index"'])
def test_a_damaged_line_of_the_records_leaves_the_keys_of_the_others(dataset_dir, field):
    """And ends nothing: it is one file among others."""
    path = dataset_dir / manifest.RECORDS_FILE
    first, *others = path.read_text().splitlines()
    path.write_text('\n'.join([first.replace(field, field.upper()), *others]) + '\n')
    other = json.loads(others[0])
    shard = dataset_dir / other['shard']
    data = bytearray(shard.read_bytes())
    data[list(records.read_payloads(str(shard)))[other['index']].offset + 40] ^= 1
    shard.write_bytes(data)
    found = '\n'.join(integrity.problems(str(dataset_dir)))
    assert f'{manifest.RECORDS_FILE}: its SHA-256' in found
    assert f'(key {other["key"]!r})' in found


def test_contents_are_checked_beyond_the_checksums(dataset_dir):
    """A shard that was rewritten by somebody who also mended the manifest."""
    found = manifest.read(str(dataset_dir))
    shard = found.shards[0]
    path = dataset_dir / shard.name
    foreign = fake_data.make_dataset(dataset_dir / 'other', num_pairs=6, image_size=(8, 8), num_classes=7)
    data = (pathlib.Path(foreign) / shard.name).read_bytes()
    shutil.rmtree(dataset_dir / 'other')
    path.write_bytes(data)
    digest = checksums.digest(str(path))
    shards = (
        manifest.Shard(
            shard.name,
            shard.split,
            shard.num_records + 1,
            digest.num_bytes,
            digest.num_bytes - 16 * shard.num_records,
            hashlib.sha256(data).hexdigest(),
        ),
        *found.shards[1:],
    )
    (dataset_dir / manifest.FILE_NAME).write_bytes(dataclasses.replace(found, shards=shards).sealed().to_bytes())
    problems = '\n'.join(integrity.problems(str(dataset_dir)))
    assert 'is not in the label table of 4 classes' in problems
    assert f'holds {shard.num_records} records, the manifest says {shard.num_records + 1}' in problems


@pytest.mark.parametrize(
    ('feature', 'array', 'message'),
    [
        ('image', np.zeros((8, 9, 3), np.uint8), r'image (8, 9, 3) and mask (8, 8), wanted (8, 8)'),
        ('segmentation_mask', np.zeros((9, 8), np.uint8), r'image (8, 8, 3) and mask (9, 8), wanted (8, 8)'),
        ('segmentation_mask', np.full((8, 8), 4, np.uint8), 'id 4 is not in the label table of 4 classes'),
        ('segmentation_mask', np.full((8, 8), 255, np.uint8), None),  # ignored: the checks of the sources forbid it
    ],
)
def test_shapes_and_ids_of_a_record_are_checked(dataset_dir, feature, array, message):
    """The first record of a shard is made anew with one other feature, and the manifest mended."""
    found = manifest.read(str(dataset_dir))
    shard = found.shards[0]
    path = dataset_dir / shard.name
    features = [example_proto.parse(payload.data) for payload in records.read_payloads(str(path))]
    features[0][feature] = [images.encode_png(array)]
    with open(path, 'wb') as file:
        writer = tfrecord.FrameWriter(file)
        for found_features in features:
            writer.write(example_proto.serialize({name: value for name, (value,) in found_features.items()}))
    mended = dataclasses.replace(shard, num_bytes=writer.num_bytes, sha256=writer.sha256)
    mended = dataclasses.replace(mended, payload_bytes=min(mended.payload_bytes, mended.num_bytes))
    shards = (mended, *found.shards[1:])
    (dataset_dir / manifest.FILE_NAME).write_bytes(dataclasses.replace(found, shards=shards).sealed().to_bytes())
    problems = list(integrity.problems(str(dataset_dir)))
    if message is None:
        assert problems == []
    else:
        (problem,) = problems
        assert problem.startswith(f'{path}: record 0 at byte 0 (key ')
        assert problem.endswith(message)


def test_missing_and_additional_files(dataset_dir):
    (dataset_dir / 'notes.txt').write_text('x')
    (dataset_dir / manifest.STATISTICS_FILE).unlink()
    found = '\n'.join(integrity.problems(str(dataset_dir)))
    assert 'notes.txt: is not in the manifest' in found
    assert f'{manifest.STATISTICS_FILE}: No such file' in found


def test_exit_codes(dataset_dir, tmp_path):
    def run(*arguments):
        command = [sys.executable, '-m', 'seg_pipeline.verify', *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    assert run(str(dataset_dir)).returncode == 0
    shard = next(dataset_dir.glob('*train*'))
    shard.write_bytes(shard.read_bytes()[:-1])
    damaged = run(str(dataset_dir))
    assert damaged.returncode == 1
    assert shard.name in damaged.stdout
    for arguments in ([str(tmp_path)], []):
        none = run(*arguments)
        assert none.returncode == 2
        assert none.stderr.startswith('error: ')
        assert len(none.stderr.splitlines()) == 1


def _verify(*arguments):
    command = [sys.executable, '-m', 'seg_pipeline.verify', *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _forge(dataset_dir):
    """Changes one pixel of one mask, and then everything that tells of it."""
    found = manifest.read(str(dataset_dir))
    shard = found.shards[0]
    path = dataset_dir / shard.name
    features = [example_proto.parse(payload.data) for payload in records.read_payloads(str(path))]
    mask = images.decode_image(features[0]['segmentation_mask'][0], 'mask')[..., 0].copy()
    mask[0, 0] = (mask[0, 0] + 1) % 4
    features[0]['segmentation_mask'] = [images.encode_png(mask)]
    with open(path, 'wb') as file:
        writer = tfrecord.FrameWriter(file)
        for one in features:
            writer.write(example_proto.serialize({name: value for name, (value,) in one.items()}))
    forged = manifest.Shard(
        shard.name, shard.split, shard.num_records, writer.num_bytes, writer.payload_bytes, writer.sha256
    )
    index = dataset_dir / manifest.RECORDS_FILE
    first, *others = index.read_text().splitlines()
    line = json.dumps({**json.loads(first), 'mask_sha256': 'f' * 64}, sort_keys=True)
    index.write_text('\n'.join([line, *others]) + '\n')
    info = dataset_dir / 'dataset_info.json'
    info.write_text(info.read_text().replace(f'"{shard.payload_bytes}"', f'"{forged.payload_bytes}"'))
    files = {name: checksums.digest(str(dataset_dir / name)) for name in found.files}
    (dataset_dir / manifest.FILE_NAME).write_bytes(
        dataclasses.replace(found, shards=(forged, *found.shards[1:]), files=files).sealed().to_bytes()
    )


def test_a_data_set_that_was_forged_with_all_its_digests_is_found_by_its_fingerprint(dataset_dir):
    anchor = json.loads((dataset_dir / manifest.FILE_NAME).read_text())['fingerprint']
    for wanted in (anchor, anchor[:12], anchor[:33].upper()):
        intact = _verify(dataset_dir, f'--fingerprint={wanted}')
        assert (intact.returncode, intact.stdout.splitlines()[-2]) == (0, f'fingerprint {anchor}')
    _forge(dataset_dir)
    assert _verify(dataset_dir).returncode == 0
    other = json.loads((dataset_dir / manifest.FILE_NAME).read_text())['fingerprint']
    for wanted in (anchor, anchor[:12]):
        # Not repaired either: a repair makes what the manifest says.
        for arguments in ([], ['--repair', f'--images={dataset_dir}', f'--masks={dataset_dir}']):
            forged = _verify(dataset_dir, f'--fingerprint={wanted}', *arguments)
            assert (forged.returncode, forged.stderr) == (1, '')
            assert forged.stdout.splitlines()[0].startswith(
                f'{dataset_dir}: its fingerprint is {other}, wanted {wanted}: '
            )
            assert len(forged.stdout.splitlines()) == 2


@pytest.mark.parametrize('value', ['', 'abc', 'a' * 11, 'a' * 65, 'g' * 64, ' ' + 'a' * 12, 'a' * 12 + '\n', '١' * 12])
def test_what_is_no_fingerprint_is_a_mistake_of_the_user(dataset_dir, value):
    refused = _verify(dataset_dir, f'--fingerprint={value}')
    assert (refused.returncode, refused.stdout) == (2, '')
    assert refused.stderr.startswith('error: ')
    assert '--fingerprint=' in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


def test_not_a_data_set(tmp_path):
    with pytest.raises(errors.UserError, match='no data set'):
        list(integrity.problems(str(tmp_path)))
