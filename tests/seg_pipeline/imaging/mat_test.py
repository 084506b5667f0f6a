"""The reader of MATLAB files, beside scipy: what scipy writes is read alike, and damage is only ever a reject."""

import io
import struct
import time
import tracemalloc
import zlib

import numpy as np
import pytest
import scipy.io
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from seg_pipeline.imaging import formats, masks, mat, rejects
from seg_pipeline.imaging.rejects import RejectError

_MAX_PIXELS = 10_000
_DTYPES = ('u1', 'i1', 'u2', 'i2', 'u4', 'i4', 'u8', 'i8', 'f4', 'f8', '>u2', '>f8', '?')
_OTHERS = {
    'before': np.arange(5.0),
    'a_text': 'hello',
    'a_cell': np.array(['x', np.arange(3)], object),
    'a_struct': {'field': np.eye(3), 'groundtruth': np.eye(2)},
    'an_image': np.full((3, 4), 1 + 2j),
}


def _saved(compressed=False, **variables):
    file = io.BytesIO()
    scipy.io.savemat(file, variables, do_compression=compressed)
    return file.getvalue()


def _decode(data, max_pixels=_MAX_PIXELS):
    return mat.decode(data, 'mask.mat', max_pixels)


def _reject(data, max_pixels=_MAX_PIXELS):
    with pytest.raises(RejectError) as caught:
        _decode(data, max_pixels)
    assert str(caught.value).startswith('mask.mat: ')
    return caught.value


def _ids(shape=(5, 7), dtype='u1', seed=0):
    return np.random.default_rng(seed).integers(0, 2 if dtype == '?' else 100, shape).astype(dtype)


@pytest.mark.parametrize('compressed', [False, True])
@pytest.mark.parametrize('dtype', _DTYPES)
def test_what_scipy_writes_is_read_as_scipy_reads_it(dtype, compressed):
    for shape in ((1, 1), (1, 4), (4, 1), (5, 7), (90, 110)):  # the first two are within a tag of 8 bytes
        data = _saved(compressed, **_OTHERS, groundtruth=_ids(shape, dtype), behind=np.eye(2))
        expected = scipy.io.loadmat(io.BytesIO(data))['groundtruth']
        read = _decode(data)
        np.testing.assert_array_equal(read, expected)
        assert read.dtype == np.uint8
        assert read.flags.c_contiguous


@given(
    arrays.arrays(
        st.sampled_from([np.dtype(name) for name in ('u1', 'u2', 'i4', 'f8', 'u8')]),
        arrays.array_shapes(min_dims=2, max_dims=2, max_side=9),
        elements={'min_value': 0, 'max_value': 255},
    ),
    st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_any_array_is_read_or_is_no_mask(values, compressed):
    data = _saved(compressed, groundtruth=values)
    if np.array_equal(values, values.astype(np.int64)):
        np.testing.assert_array_equal(_decode(data), values)
    else:
        assert _reject(data).reason == rejects.UNSUPPORTED_MASK


@pytest.mark.parametrize('dtype', ['f8', 'u4', 'i8', 'u8'])
def test_large_ids_of_a_late_band_are_kept(dtype, monkeypatch):
    monkeypatch.setattr(mat, '_BAND_PIXELS', 10)
    values = np.arange(35).reshape(5, 7).astype(dtype)
    values[2, 5] = 70_000
    read = _decode(_saved(groundtruth=values))
    np.testing.assert_array_equal(read, values)
    assert read.dtype == np.uint32


def test_a_file_of_a_big_endian_machine():
    def element(kind, content):
        return struct.pack('>II', kind, len(content)) + content + bytes(-len(content) % 8)

    ids = _ids((3, 4), '>u2')
    body = element(6, struct.pack('>II', 11, 0)) + element(5, struct.pack('>ii', 3, 4))
    body += element(1, b'groundtruth') + element(4, ids.tobytes(order='F'))
    data = b'MATLAB 5.0 MAT-file'.ljust(124) + b'\x01\x00MI' + struct.pack('>II', 14, len(body)) + body
    np.testing.assert_array_equal(scipy.io.loadmat(io.BytesIO(data))['groundtruth'], ids)
    np.testing.assert_array_equal(_decode(data), ids)


@pytest.mark.parametrize('compressed', [False, True])
@pytest.mark.parametrize(
    ('values', 'says'),
    [
        ('some text', 'it holds groundtruth (1, 9) char'),
        (np.array(['x'], object), 'cell'),
        ({'field': 1}, 'struct'),
        (np.full((2, 2), 1j), 'groundtruth (2, 2) complex'),
        (np.zeros((2, 3, 4)), 'groundtruth (2, 3, 4)'),
        (np.zeros((0, 3)), 'groundtruth (0, 3)'),
        (_ids() + 0.5, 'fractional or negative'),
        (_ids(dtype='i2') - 100, 'fractional or negative'),
        (np.full((2, 2), np.nan), 'fractional or negative'),
        (np.full((2, 2), np.inf), 'fractional or negative'),
        (np.full((2, 2), 1e300), 'fractional or negative'),
    ],
)
def test_what_is_no_mask(values, says, compressed):
    error = _reject(_saved(compressed, groundtruth=values))
    assert error.reason == rejects.UNSUPPORTED_MASK
    assert says in str(error)


def test_a_sparse_array_is_named():
    sparse = pytest.importorskip('scipy.sparse').csc_matrix(np.eye(3))
    assert 'groundtruth (3, 3) sparse' in str(_reject(_saved(groundtruth=sparse)))


def test_a_file_without_the_array_says_what_it_holds():
    error = _reject(_saved(labels=_ids(), other=_ids((2, 2))))
    assert error.reason == rejects.UNSUPPORTED_MASK
    assert 'it holds labels (5, 7), other (2, 2)' in str(error)


def test_version_7_3_is_refused_by_name():
    data = b'MATLAB 7.3 MAT-file, Platform: GLNXA64'.ljust(124) + b'\x00\x02IM' + bytes(512)
    with pytest.raises(RejectError, match=r"7\.3 file, which is HDF5: save it with save\(\.\.\., '-v7'\)") as caught:
        masks.decode(data, 'mask.mat')
    assert caught.value.reason == rejects.UNKNOWN_FORMAT


def test_a_compressed_array_is_unpacked_no_further_than_its_header_allows():
    bomb = _saved(compressed=True, groundtruth=np.zeros((3000, 3000)))
    assert len(bomb) < 100_000
    tracemalloc.start()
    try:
        assert _reject(bomb).reason == rejects.TOO_LARGE
        # A header that says less than what is packed.
        inner = zlib.decompress(bomb[136:])
        lying = inner[:32] + struct.pack('<ii', 10, 10) + inner[40:64] + struct.pack('<II', 9, 800) + inner[72:]
        packed = zlib.compress(lying)
        assert _reject(bomb[:132] + struct.pack('<I', len(packed)) + packed).reason == rejects.DAMAGED
        del inner, lying
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        assert _decode(bomb, 9_000_000).shape == (3000, 3000)
        peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert peak < 9e6 + 16 * mat._BAND_PIXELS + 8e6  # one byte a pixel and a band, where the doubles are 72 MB


def test_cuts_anywhere_are_damage():
    for compressed in (False, True):
        data = _saved(compressed, groundtruth=_ids())
        for length in range(19, len(data)):
            if length == 128:  # a header and nothing else
                assert _reject(data[:length]).reason == rejects.UNSUPPORTED_MASK
            else:
                assert _reject(data[:length]).reason == rejects.DAMAGED


def test_a_compressed_array_with_another_checksum_is_damage():
    data = _saved(True, groundtruth=_ids())
    assert _reject(data[:-1] + bytes([data[-1] ^ 1])).reason == rejects.DAMAGED


def test_mutations_are_rejected_or_read():
    """2,000 seeded mutations of four files: bytes changed, cut out, doubled; scipy dies of some of them."""
    random = np.random.default_rng(0)
    files = [_saved(c, **others, groundtruth=_ids()) for c in (False, True) for others in ({}, _OTHERS)]
    reasons = set()
    slowest = 0.0
    tracemalloc.start()
    try:
        for number in range(2000):
            data = bytearray(files[number % 4])
            if number % 8 >= 4:  # inside of what is packed, where it matters
                start = int(random.integers(128, len(data) - 8))
                size = int(random.integers(0, 12))
                data[start : start + size] = bytes(data[start : start + size] * int(random.integers(0, 3)))
            for _ in range(int(random.integers(1, 5))):
                data[int(random.integers(124, len(data)))] = int(random.choice((0, 1, 14, 15, 127, 128, 255)))
            started = time.monotonic()
            try:
                assert _decode(bytes(data)).size <= _MAX_PIXELS
                reasons.add('read')
            except RejectError as error:
                reasons.add(error.reason)
            slowest = max(slowest, time.monotonic() - started)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert reasons == {'read', rejects.DAMAGED, rejects.TOO_LARGE, rejects.UNSUPPORTED_MASK}
    assert slowest < 2
    assert peak < 4e6


def test_mutations_of_what_is_packed():
    random = np.random.default_rng(1)
    inner = zlib.decompress(_saved(True, groundtruth=_ids())[136:])
    reasons = set()
    for _ in range(500):
        data = bytearray(inner)
        for _ in range(int(random.integers(1, 4))):
            data[int(random.integers(0, 72))] = int(random.integers(0, 256))
        packed = zlib.compress(bytes(data))
        file = b'MATLAB 5.0 MAT-file'.ljust(124) + b'\x00\x01IM' + struct.pack('<II', 15, len(packed)) + packed
        try:
            assert _decode(file).size <= _MAX_PIXELS
        except RejectError as error:
            reasons.add(error.reason)
    assert reasons == {rejects.DAMAGED, rejects.TOO_LARGE, rejects.UNSUPPORTED_MASK}


def test_the_format_is_found_by_its_first_bytes():
    assert formats.detect(_saved(groundtruth=_ids()), 'x') == 'mat'
