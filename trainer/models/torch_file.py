"""Reads the tensors of a file that torch.save wrote before its version 1.6, without torch.

Such a file is a row of pickles: a magic number, a version, facts about the machine, the object (here a dict of tensors
in which each storage is only named), and the list of the names of all storages. Behind them follow the storages in
that order, each as the number of its values, 8 bytes, and the values.

A pickle is a program that can call anything. So the file's SHA-256 is compared first, and the pickles are read by an
unpickler that knows the three kinds of globals which such a file needs, and refuses every other.
"""

import collections
import dataclasses
import hashlib
import io
import pickle
import struct
from typing import Any

import numpy as np

_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
_PROTOCOL_VERSION = 1001
# Texts and no dtypes: a pickle cannot alter a text.
_STORAGE_TYPES = {'FloatStorage': '<f4', 'LongStorage': '<i8'}


@dataclasses.dataclass(frozen=True)
class _Storage:
    """A row of values that tensors are cut from; the values follow later in the file."""

    key: str
    dtype: np.dtype[Any]
    size: int


@dataclasses.dataclass(frozen=True)
class _Tensor:
    """Where the values of a tensor are."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]  # in values, not bytes


def read(path: str, sha256: str) -> dict[str, np.ndarray]:
    """Reads a dict of tensors.

    Args:
        path: of the file.
        sha256: its checksum, in hexadecimal digits. Nothing of the file is interpreted if it has another.

    Returns:
        The tensors by their names, float32 or int64, as arrays that cannot be written to.

    Raises:
        ValueError: the checksum is another, or the file holds something other than a dict of tensors with values.
        OSError: the file cannot be read.
    """
    with open(path, 'rb') as file:
        data = file.read()
    if (found := hashlib.sha256(data).hexdigest()) != sha256:
        raise ValueError(f'its SHA-256 is {found}, wanted {sha256}')
    try:
        return _parse(io.BytesIO(data))
    except (pickle.UnpicklingError, ArithmeticError, AttributeError, EOFError, LookupError, TypeError) as error:
        # What pickle raises for bytes that are no pickle.
        raise ValueError(f'no file of torch.save: {error}') from error


def _parse(file: io.BytesIO) -> dict[str, np.ndarray]:
    if _unpickle(file) != _MAGIC_NUMBER or _unpickle(file) != _PROTOCOL_VERSION:
        raise ValueError('no file of torch.save before its version 1.6')
    _unpickle(file)  # Byte order and sizes of types of the machine that wrote it; the values are little-endian always.
    tensors, keys = _unpickle(file), _unpickle(file)
    if not isinstance(tensors, dict) or not all(isinstance(tensor, _Tensor) for tensor in tensors.values()):
        raise ValueError('the file holds something other than a dict of tensors')
    storages = {tensor.storage.key: tensor.storage for tensor in tensors.values()}
    values = {key: _read_storage(file, storages[key]) for key in keys}
    return {name: _cut(tensor, values) for name, tensor in tensors.items()}


def _unpickle(file: io.BytesIO) -> Any:
    return _Unpickler(file, encoding='utf-8').load()


def _read_storage(file: io.BytesIO, storage: _Storage) -> np.ndarray:
    (size,) = struct.unpack('<q', file.read(8).ljust(8, b'\0'))
    data = file.read(storage.size * storage.dtype.itemsize)
    if size != storage.size or len(data) != storage.size * storage.dtype.itemsize:
        raise ValueError(f'storage {storage.key} has {size} values, or fewer, and not {storage.size}')
    return np.frombuffer(data, storage.dtype)


def _cut(tensor: _Tensor, values: dict[str, np.ndarray]) -> np.ndarray:
    """Takes a tensor out of its storage, in which its axes may have any order."""
    storage, found = tensor.storage, values[tensor.storage.key]
    last = tensor.offset + sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.strides, strict=True))
    # `as_strided` itself checks nothing: it would show what lies in memory behind the storage.
    if min((tensor.offset, *tensor.shape, *tensor.strides)) < 0 or last >= storage.size:
        raise ValueError(f'a tensor reaches beyond the {storage.size} values of storage {storage.key}')
    strides = [stride * storage.dtype.itemsize for stride in tensor.strides]
    return np.lib.stride_tricks.as_strided(found[tensor.offset :], tensor.shape, strides, writeable=False)


class _Unpickler(pickle.Unpickler):
    """Makes dicts of `_Tensor`, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ('collections', 'OrderedDict'):
            return collections.OrderedDict
        if (module, name) == ('torch._utils', '_rebuild_tensor_v2'):
            return _rebuild_tensor
        if module == 'torch' and name in _STORAGE_TYPES:
            return _STORAGE_TYPES[name]
        raise ValueError(f'the file names {module}.{name}, which no dict of tensors needs')

    def persistent_load(self, saved_id: Any) -> _Storage:
        kind, dtype, key, _device, size, view = saved_id
        if kind != 'storage' or dtype not in _STORAGE_TYPES.values() or view is not None or not isinstance(size, int):
            raise ValueError(f'{saved_id!r} is no storage of its own')
        return _Storage(key, np.dtype(dtype), size)


def _rebuild_tensor(
    storage: _Storage,
    offset: int,
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    requires_grad: bool,
    backward_hooks: object,
) -> _Tensor:
    del requires_grad, backward_hooks
    return _Tensor(storage, offset, tuple(shape), tuple(strides))
