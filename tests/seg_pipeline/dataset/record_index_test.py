import dataclasses
import json

import pytest

from seg_pipeline import errors
from seg_pipeline.dataset import manifest, record_index
from seg_pipeline.dataset.record_index import RecordEntry

_ENTRY = RecordEntry('0001', 'train', 's-0', 0, 'ä/1.png', '1.png', 'aa', 'bb', 48, 40, 'hash', None, '0000', 3)


def _write(tmp_path, *lines):
    (tmp_path / manifest.RECORDS_FILE).write_bytes(b''.join(lines))
    return str(tmp_path)


def test_entries_come_back_and_the_file_can_be_iterated_again(tmp_path):
    entries = [dataclasses.replace(_ENTRY, index=n, shard=f's-{n // 2}') for n in range(5)]
    index = record_index.of(_write(tmp_path, *(entry.to_line() for entry in entries)))
    assert list(index) == list(index) == entries
    grouped = [(shard, [entry.index for entry in members]) for shard, members in record_index.by_shard(index)]
    assert grouped == [('s-0', [0, 1]), ('s-1', [2, 3]), ('s-2', [4])]


def test_lines_of_earlier_versions_have_no_duplicates(tmp_path):
    value = {name: v for name, v in dataclasses.asdict(_ENTRY).items() if name not in ('duplicate_of', 'distance')}
    (entry,) = record_index.of(_write(tmp_path, json.dumps(value).encode() + b'\n'))
    assert entry == dataclasses.replace(_ENTRY, duplicate_of=None, distance=None)


@pytest.mark.parametrize(
    'line',
    [
        b'{',
        b'[]\n',
        b'null\n',
        _ENTRY.to_line().replace(b'"index": 0', b'"index": "0"'),
        _ENTRY.to_line().replace(b'"key": "0001"', b'"key": null'),
        _ENTRY.to_line().replace(b'"split_reason"', b'"other"'),
        _ENTRY.to_line().replace(b'"shard": "s-0", ', b''),
        b'\xff\xfe\n',
    ],
)
def test_a_damaged_line_is_named_or_left_out(tmp_path, line):
    directory = _write(tmp_path, _ENTRY.to_line(), line)
    with pytest.raises(errors.UserError, match=r'records.jsonl: damaged: '):
        list(record_index.of(directory))
    path = str(tmp_path / manifest.RECORDS_FILE)
    assert list(record_index.RecordIndex(path, lambda _: None)) == [_ENTRY]


def test_a_missing_index_and_missing_rejects_are_damage(tmp_path):
    with pytest.raises(errors.UserError, match=r'records.jsonl: damaged: .*No such file'):
        list(record_index.of(str(tmp_path)))
    with pytest.raises(errors.UserError, match=r'rejected.jsonl: damaged: .*No such file'):
        record_index.read_rejects(str(tmp_path))
    (tmp_path / manifest.REJECTED_FILE).write_text('{"key": "x"}\n')
    with pytest.raises(errors.UserError, match=r'rejected.jsonl: damaged: '):
        record_index.read_rejects(str(tmp_path))
