import hashlib
import os

import pytest
from array_record.python import array_record_module

from seg_pipeline import errors, records
from seg_pipeline.records import array_record

_PAYLOADS = [hashlib.sha256(bytes([k])).digest() * (k + 1) for k in range(70)]


def _write(path, payloads=_PAYLOADS):
    writer = array_record.ChunkWriter(str(path))
    for payload in payloads:
        writer.write(payload)
    writer.close()
    return writer


@pytest.fixture
def path(tmp_path):
    result = tmp_path / 'x.array_record-00000-of-00001'
    _write(result)
    return result


def test_the_formats_own_reader_reads_them(path):
    reader = array_record_module.ArrayRecordReader(str(path))
    assert reader.num_records() == len(_PAYLOADS)
    assert reader.read_all() == _PAYLOADS
    assert reader.read([41]) == [_PAYLOADS[41]]


def test_counts_and_equal_bytes_for_equal_records(path, tmp_path):
    writer = _write(tmp_path / 'again')
    data = path.read_bytes()
    assert (tmp_path / 'again').read_bytes() == data
    assert (writer.num_records, writer.payload_bytes) == (70, sum(map(len, _PAYLOADS)))
    assert (writer.num_bytes, writer.sha256) == (len(data), hashlib.sha256(data).hexdigest())


def test_reading_all_and_one(path):
    assert [payload.data for payload in records.read_payloads(str(path))] == _PAYLOADS
    assert array_record.read_payload(str(path), 9) == records.Payload(9, None, _PAYLOADS[9])
    assert records.offsets(str(path)) == [None] * 70
    with pytest.raises(records.DamagedRecordError, match='record 70: the file has 70 records'):
        array_record.read_payload(str(path), 70)


def test_an_empty_one(tmp_path):
    _write(tmp_path / 'x.array_record', [])
    assert list(records.read_payloads(str(tmp_path / 'x.array_record'))) == []


def test_an_empty_record_is_damage(tmp_path):
    """It is what the package finds where one of its own blocks was copied over another."""
    path = str(tmp_path / 'x.array_record-00000-of-00001')
    _write(path, [_PAYLOADS[0], b'', _PAYLOADS[2]])
    with pytest.raises(records.DamagedRecordError, match='record 1: an empty record'):
        list(records.read_payloads(path))
    first, second, *_ = records.inspect(path)
    assert (first.data, type(second)) == (_PAYLOADS[0], records.DamagedRecordError)


def test_damage_is_named_at_its_record_and_the_others_can_be_read(path):
    data = bytearray(path.read_bytes())
    data[data.index(_PAYLOADS[50]) + 100] ^= 4
    path.write_bytes(data)
    intact = []
    with pytest.raises(records.DamagedRecordError, match='record 50: Corrupted') as caught:
        intact.extend(payload.data for payload in records.read_payloads(str(path)))
    assert caught.value.index == 50
    assert array_record.read_payload(str(path), 51).data == _PAYLOADS[51]


def test_a_cut_file_and_a_missing_one(path):
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(records.DamagedRecordError, match='record 0: '):
        list(records.read_payloads(str(path)))
    path.unlink()
    with pytest.raises(FileNotFoundError):
        list(records.read_payloads(str(path)))


def test_what_cannot_be_written_is_an_os_error(tmp_path):
    for path, reason in ((str(tmp_path / 'none' / 'x'), 'No such file'), ('/dev/full', 'No space left')):
        with pytest.raises(OSError, match=reason) as caught:
            _write(path)
        assert caught.value.filename == path


def test_where_the_module_is_missing_one_line_says_so(monkeypatch):
    array_record.check_installed()
    monkeypatch.setattr(array_record.importlib.util, 'find_spec', lambda name: None)
    with pytest.raises(errors.UserError, match='needs the package array_record'):
        array_record.check_installed()


def _num_open(path):
    return sum(os.path.realpath(f'/proc/self/fd/{number}') == str(path) for number in os.listdir('/proc/self/fd'))


@pytest.mark.parametrize('what', ['all', 'one', 'stopped', 'damaged record', 'damaged file'])
def test_no_reader_stays_open(path, what):
    """Not even while someone holds the error, whose traceback holds the reader."""
    if what == 'damaged record':
        data = bytearray(path.read_bytes())
        data[data.index(_PAYLOADS[50]) + 100] ^= 4
        path.write_bytes(data)
    elif what == 'damaged file':
        path.write_bytes(path.read_bytes()[:-1000])
    payloads = records.read_payloads(str(path))
    if what == 'one':
        payloads = iter([array_record.read_payload(str(path), 3)])
    held = None
    try:
        first = next(payloads)
        if what == 'stopped':
            payloads.close()
        assert len([first, *payloads]) == {'one': 1, 'stopped': 1}.get(what, len(_PAYLOADS))
    except records.DamagedRecordError as error:
        held = error
    assert (held is not None) == what.startswith('damaged')
    assert _num_open(path) == 0
