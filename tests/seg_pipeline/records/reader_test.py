import hashlib
import io
import pathlib
import pickle
import struct
import tempfile

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from seg_pipeline import records
from seg_pipeline.dataset import manifest
from seg_pipeline.records import array_record, example_proto, tfrecord
from tests import fake_data


@given(st.lists(st.binary(max_size=400), max_size=5))
def test_tensorflow_reads_the_file(payloads):
    file = io.BytesIO()
    writer = tfrecord.FrameWriter(file)
    for payload in payloads:
        writer.write(payload)
    assert writer.sha256 == hashlib.sha256(file.getvalue()).hexdigest()
    assert (writer.num_records, writer.num_bytes) == (len(payloads), len(file.getvalue()))
    assert writer.payload_bytes == sum(map(len, payloads))
    with tempfile.NamedTemporaryFile() as target:
        target.write(file.getvalue())
        target.flush()
        assert [record.numpy() for record in tf.data.TFRecordDataset(target.name)] == payloads


def test_a_file_of_tensorflow_is_read(tmp_path):
    path = str(tmp_path / 'x.tfrecord')
    payloads = [b'', b'a' * 1000, bytes(range(256))]
    with tf.io.TFRecordWriter(path) as writer:
        for payload in payloads:
            writer.write(payload)
    found = list(records.read_payloads(path))
    assert [payload.data for payload in found] == payloads
    assert [payload.offset for payload in found] == [0, 16, 1032]
    assert [payload.index for payload in found] == [0, 1, 2]


def test_every_flipped_byte_is_found(tmp_path):
    path = tmp_path / 'x.tfrecord'
    intact = tfrecord.frame(b'first') + tfrecord.frame(b'second')
    for position in range(len(intact)):
        path.write_bytes(intact[:position] + bytes([intact[position] ^ 0x10]) + intact[position + 1 :])
        with pytest.raises(records.DamagedRecordError) as caught:
            list(records.read_payloads(str(path)))
        first_is_damaged = position < len(tfrecord.frame(b'first'))
        assert (caught.value.index, caught.value.offset) == ((0, 0) if first_is_damaged else (1, 21))
        assert str(path) in str(caught.value)


def test_every_cut_but_those_between_records_is_found(tmp_path):
    path = tmp_path / 'x.tfrecord'
    intact = tfrecord.frame(b'first') + tfrecord.frame(b'second')
    for length in range(len(intact)):
        path.write_bytes(intact[:length])
        if length in (0, 21):
            assert len(list(records.read_payloads(str(path)))) == length // 21
        else:
            with pytest.raises(records.DamagedRecordError, match='the file ends'):
                list(records.read_payloads(str(path)))


def test_a_length_beyond_the_file_does_not_allocate(tmp_path):
    path = tmp_path / 'x.tfrecord'
    length = struct.pack('<Q', 2**40)
    path.write_bytes(length + struct.pack('<I', tfrecord.masked_crc(length)) + b'x')
    with pytest.raises(records.DamagedRecordError, match='the file ends'):
        list(records.read_payloads(str(path)))


def test_read_yields_the_pair(tmp_path):
    dataset_dir = fake_data.make_dataset(tmp_path, num_pairs=4, splits='whole:1', image_size=(48, 40))
    found = {record.file_name: record for record in fake_data.read_split(dataset_dir, 'whole')}
    for number in range(1, 5):
        image, mask = fake_data.draw_pair(number, (48, 40), 4, seed=0)
        record = found[f'img_{number:04d}.png']
        np.testing.assert_array_equal(record.image, image)
        np.testing.assert_array_equal(record.mask, mask)
        assert record.original_size == (48, 40)


def test_random_access(tmp_path):
    dataset_dir = fake_data.make_dataset(tmp_path, num_pairs=5, splits='whole:1')
    (path,) = tmp_path.glob('clothing_parsing/*/*/*.tfrecord-*')
    assert str(path).startswith(dataset_dir)
    in_order = list(records.read(str(path)))
    offsets = records.offsets(str(path))
    for index in (3, 0, 4):
        record = records.read_at(str(path), index, offsets[index])
        assert record.file_name == in_order[index].file_name
        np.testing.assert_array_equal(record.image, in_order[index].image)


def test_some_records_of_a_shard(tmp_path):
    fake_data.make_dataset(tmp_path, num_pairs=6, splits='whole:1')
    (path,) = tmp_path.glob('clothing_parsing/*/*/*.tfrecord-*')
    in_order = list(records.read(str(path)))
    for wanted in ((4, 0, 2), (5,), (), (1, 1)):
        found = list(records.read_some(str(path), wanted))
        assert [record.index for record in found] == sorted(set(wanted))
        for record in found:
            assert (record.file_name, record.offset) == (
                in_order[record.index].file_name,
                in_order[record.index].offset,
            )
            np.testing.assert_array_equal(record.mask, in_order[record.index].mask)
    with pytest.raises(records.DamagedRecordError, match='the file ends before record 8'):
        list(records.read_some(str(path), [8]))


_FEATURES = ('image', 'segmentation_mask', 'file_name', 'original_height', 'original_width')


@pytest.mark.parametrize('file_format', ['tfrecord', 'array_record'])
@pytest.mark.parametrize(
    'read',
    [
        lambda path: next(records.read(path)),
        lambda path: list(records.read_some(path, [0])),
        lambda path: records.read_at(path, 0, records.offsets(path)[0]),
        lambda path: records.RecordSequence(path)[-1],
    ],
)
@pytest.mark.parametrize('features', [{'other': 1}, dict.fromkeys(_FEATURES, 1), dict.fromkeys(_FEATURES, b'1')])
def test_a_record_of_something_else_is_named(tmp_path, file_format, read, features):
    path = str(tmp_path / f'x.{file_format}')
    payload = example_proto.serialize(features)
    if file_format == 'tfrecord':
        pathlib.Path(path).write_bytes(tfrecord.frame(payload))
    else:
        writer = array_record.ChunkWriter(path)
        writer.write(payload)
        writer.close()
    with pytest.raises(records.DamagedRecordError, match=f'x.{file_format}: record 0'):
        read(path)


def test_a_shard_is_a_sequence(tmp_path):
    dataset_dir = fake_data.make_dataset(tmp_path, num_pairs=6, image_size=(8, 8), splits='train:1')
    (path,) = manifest.read(dataset_dir).shard_paths(dataset_dir, 'train')
    expected = [record.file_name for record in records.read(path)]
    shard = pickle.loads(pickle.dumps(records.RecordSequence(path)))
    assert len(shard) == 6
    assert [record.file_name for record in shard] == expected
    assert [record.file_name for record in shard[-2::-2]] == expected[-2::-2]
    assert (shard[-1].index, shard[-1].file_name) == (5, expected[5])
    with pytest.raises(IndexError):
        shard[6]
    data = bytearray(pathlib.Path(path).read_bytes())
    data[shard[2].offset + 40] ^= 1
    pathlib.Path(path).write_bytes(data)
    damaged = records.RecordSequence(path)
    assert damaged[3].file_name == expected[3]  # a damaged record does not affect others
    with pytest.raises(records.DamagedRecordError, match='record 2 at byte'):
        damaged[2]
