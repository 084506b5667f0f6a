"""Files as torch.save wrote them before version 1.6, written here by hand from its source, and read without it."""

import collections
import hashlib
import pickle
import struct

import numpy as np
import pytest

from trainer.models import torch_file

_ARRAYS = {
    'kernel': np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    'turned': np.arange(6, dtype=np.float32).reshape(2, 3).T,  # its axes are in another order in the file
    'count': np.array(7, np.int64),
}


class _Global:
    """Is written as the name of a global that need not exist here."""

    def __init__(self, module, name):
        self.name = f'c{module}\n{name}\n'.encode()


class _Pickler(pickle._Pickler):
    """Writes arrays as torch writes tensors: a call of `_rebuild_tensor_v2` on a storage that is only named."""

    def save(self, obj, save_persistent_id=True):
        if isinstance(obj, _Global):
            self.write(obj.name)
        elif isinstance(obj, _Call):
            self.save(obj.function)
            self.save(obj.arguments)
            self.write(pickle.REDUCE)
        else:
            super().save(obj, save_persistent_id)

    def persistent_id(self, obj):
        return obj.saved_id if isinstance(obj, _StorageName) else None


class _Call:
    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments


class _StorageName:
    def __init__(self, *saved_id):
        self.saved_id = saved_id


def _tensor(key, array, **changed):
    storage = 'FloatStorage' if array.dtype == np.float32 else 'LongStorage'
    strides = tuple(stride // array.itemsize for stride in array.strides)
    values = {'offset': 0, 'shape': array.shape, 'strides': strides, 'view': None, 'size': array.size} | changed
    name = _StorageName('storage', _Global('torch', storage), key, 'cpu', values['size'], values['view'])
    rebuild = _Global('torch._utils', '_rebuild_tensor_v2')
    return _Call(rebuild, name, values['offset'], values['shape'], values['strides'], False, collections.OrderedDict())


def _in_memory_order(array):
    return array.T if array.flags.f_contiguous and not array.flags.c_contiguous else array


def _write(path, content, storages, magic=0x1950A86A20F9469CFC6C):
    """Writes a file, and returns its checksum."""
    with open(path, 'wb') as file:
        for part in (magic, 1001, {'little_endian': True}, content, list(storages)):
            _Pickler(file, protocol=2).dump(part)
        for array in storages.values():
            file.write(struct.pack('<q', array.size) + _in_memory_order(array).tobytes())
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(name='path')
def _path(tmp_path):
    return tmp_path / 'tensors.pth'


@pytest.fixture(name='digest')
def _digest(path):
    tensors = collections.OrderedDict((name, _tensor(f'key {name}', array)) for name, array in _ARRAYS.items())
    return _write(path, tensors, {f'key {name}': array for name, array in _ARRAYS.items()})


def test_what_was_written_is_read(path, digest):
    found = torch_file.read(str(path), digest)
    assert list(found) == list(_ARRAYS)
    for name, array in _ARRAYS.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array, strict=True)
        assert not found[name].flags.writeable


def test_tensors_may_share_a_storage(path):
    array = np.arange(10, dtype=np.float32)
    tensors = {'all': _tensor('0', array), 'odd': _tensor('0', array, offset=1, shape=(5,), strides=(2,))}
    found = torch_file.read(str(path), _write(path, tensors, {'0': array}))
    assert found['odd'].tolist() == [1, 3, 5, 7, 9]
    assert found['all'].tolist() == list(range(10))


def test_nothing_is_interpreted_before_the_checksum_was_compared(path, digest, monkeypatch):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    monkeypatch.setattr(torch_file, '_parse', None)
    with pytest.raises(ValueError, match=f'its SHA-256 is {hashlib.sha256(data).hexdigest()}, wanted {digest}'):
        torch_file.read(str(path), digest)


@pytest.mark.parametrize(
    ('module', 'name'),
    [
        ('posix', 'system'),
        ('builtins', 'eval'),
        ('collections', 'Counter'),
        ('torch._utils', '_rebuild_tensor'),
        ('torch', 'load'),
        ('torch', 'FloatStorage.__class__'),
    ],
)
def test_a_pickle_that_names_another_global_is_refused(path, module, name):
    digest = _write(path, {'evil': _Call(_Global(module, name), f'touch {path}.called')}, {})
    with pytest.raises(ValueError, match=f'{module}.{name}'):
        torch_file.read(str(path), digest)
    assert not path.with_name(f'{path.name}.called').exists()


@pytest.mark.parametrize(
    ('changed', 'reason'),
    [
        ({'offset': 1}, 'reaches beyond the 6 values'),
        ({'offset': -1}, 'reaches beyond'),
        ({'shape': (3, 3)}, 'reaches beyond'),
        ({'strides': (3, -1)}, 'reaches beyond'),
        ({'strides': (2**60, 1)}, 'reaches beyond'),
        ({'size': 7}, r'storage 0 has 6 values'),
        ({'size': 'many'}, 'is no storage'),
        ({'view': ('1', 0, 6)}, 'is no storage of its own'),
        ({'shape': 6}, 'no file of torch.save'),
    ],
)
def test_a_tensor_outside_of_its_storage_is_refused(path, changed, reason):
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    digest = _write(path, {'tensor': _tensor('0', array, **changed)}, {'0': array})
    with pytest.raises(ValueError, match=reason):
        torch_file.read(str(path), digest)


@pytest.mark.parametrize('content', [[1, 2], {'number': 1}, 'text'])
def test_a_file_of_something_else_is_refused(path, content):
    with pytest.raises(ValueError, match='something other than a dict of tensors'):
        torch_file.read(str(path), _write(path, content, {}))


@pytest.mark.parametrize('magic', [1, 'text', None])
def test_a_file_of_another_program_is_refused(path, magic):
    with pytest.raises(ValueError, match=r'no file of torch\.save'):
        torch_file.read(str(path), _write(path, {}, {}, magic))


def test_a_file_cut_anywhere_is_refused(path, digest):
    del digest
    data = path.read_bytes()
    for length in range(len(data)):
        path.write_bytes(data[:length])
        with pytest.raises(ValueError, match=r'no file of torch\.save|storage key'):
            torch_file.read(str(path), hashlib.sha256(data[:length]).hexdigest())
