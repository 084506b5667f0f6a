"""Makes a hostile input of a good one: bytes that are changed blindly, and JSON of which one value is another."""

import copy
import json
import random
import struct
from collections.abc import Callable, Sequence
from typing import Any

# What a field of a header may hold to mislead its reader.
_NUMBERS = (0, 1, 2, 127, 128, 255, 256, 32767, 32768, 65535, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1)
_FIELDS = tuple(order + kind for order in '<>' for kind in 'BHIQ')
_MOST_INSERTED = 300

# What stands in the place of a value of JSON, or of a cell of a table.
HOSTILE: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    1,
    -1,
    3,
    255,
    256,
    2**31,
    2**63,
    2**70,
    10**4000,
    0.5,
    -0.0,
    1e308,
    float('inf'),
    float('nan'),
    '',
    ' ',
    '0',
    '²',
    '١',
    'ignore',
    'train',
    'a\nb',
    'a\x00b',
    'a\u2028b',
    'a\ud800b',
    'a' * 10_000,
    '..',
    '.',
    '/',
    '/etc/hostname',
    '../../../../../../../etc/hostname',
    '../manifest.json',
    'manifest.json',
    'records.jsonl',
    'x://y/z',
    '#000000',
    '#ffffff',
    '#12345',
    [],
    {},
    [[]],
    {'a': {}},
    [None],
    [0, 0, 0],
    [1, 2, 3],
    [300, -1, 0.5],
    ['a', 'b'],
    {'': ''},
)


def mutate(random_: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Changes bytes in one to four places.

    Args:
        random_: decides how.
        data: a good input.
        others: further ones, of which a part may come into this one.
    """
    result = bytearray(data)
    for _ in range(random_.choice((1, 1, 1, 2, 4))):
        random_.choice(_BYTE_MUTATORS)(random_, result, others)
    return bytes(result)


def _place(random_: random.Random, data: bytearray) -> int:
    # Half of the changes hit the first hundred bytes: headers are there, and most of a picture is pixels.
    return random_.randrange(min(len(data), 100) if random_.random() < 0.5 else len(data)) if data else 0


def _flip_bit(random_: random.Random, data: bytearray, others: Sequence[bytes]) -> None:
    if data:
        data[_place(random_, data)] ^= 1 << random_.randrange(8)


def _set_byte(random_: random.Random, data: bytearray, others: Sequence[bytes]) -> None:
    if data:
        data[_place(random_, data)] = random_.choice((0, 1, 0x7F, 0x80, 0xFF, random_.randrange(256)))


def _set_field(random_: random.Random, data: bytearray, others: Sequence[bytes]) -> None:
    kind = random_.choice(_FIELDS)
    size = struct.calcsize(kind)
    value = random_.choice(_NUMBERS) & (256**size - 1)
    at = _place(random_, data)
    data[at : at + size] = struct.pack(kind, value)


def _add_to_field(random_: random.Random, data: bytearray, others: Sequence[bytes]) -> None:
    kind = random_.choice(_FIELDS)
    size = struct.calcsize(kind)
    at = _place(random_, data)
    if at + size <= len(data):
        value = struct.unpack_from(kind, data, at)[0] + random_.randint(-4, 4)
        struct.pack_into(kind, data, at, value & (256**size - 1))


def _truncate(random_: random.Random, data: bytearray, others: Sequence[bytes]) -> None:
    del data[random_.randrange(len(data) + 1) :]


def _truncate_and_pad(random_: random.Random, data: bytearray, others: Sequence[bytes]) -> None:
    # A download that was cut off may leave a file of the right length.
    size = len(data)
    del data[random_.randrange(size + 1) :]
    data.extend(bytes(size - len(data)))


def _truncate_and_end(random_: random.Random, data: bytearray, others: Sequence[bytes]) -> None:
    # The end of each format stays: a decoder that looks for it finds it.
    end = data[-random_.choice((2, 12)) :]
    del data[random_.randrange(len(data) + 1) :]
    data.extend(end)


def _insert(random_: random.Random, data: bytearray, others: Sequence[bytes]) -> None:
    at = _place(random_, data)
    data[at:at] = random_.randbytes(random_.choice((1, 2, 4, random_.randrange(_MOST_INSERTED))))


def _delete(random_: random.Random, data: bytearray, others: Sequence[bytes]) -> None:
    at = _place(random_, data)
    del data[at : at + random_.choice((1, 2, 4, random_.randrange(_MOST_INSERTED)))]


def _copy_block(random_: random.Random, data: bytearray, others: Sequence[bytes]) -> None:
    source, at, size = _place(random_, data), _place(random_, data), random_.randrange(1, _MOST_INSERTED)
    data[at : at + size] = data[source : source + size]


def _swap_blocks(random_: random.Random, data: bytearray, others: Sequence[bytes]) -> None:
    first, second = sorted((_place(random_, data), _place(random_, data)))
    size = min(random_.randrange(1, _MOST_INSERTED), second - first)
    there, here = data[first : first + size], data[second : second + size]
    data[first : first + size], data[second : second + size] = here, there


def _splice(random_: random.Random, data: bytearray, others: Sequence[bytes]) -> None:
    other = random_.choice(others)
    data[_place(random_, data) :] = other[random_.randrange(len(other) + 1) :]


_BYTE_MUTATORS: tuple[Callable[[random.Random, bytearray, Sequence[bytes]], None], ...] = (
    _flip_bit,
    _flip_bit,
    _set_byte,
    _set_field,
    _set_field,
    _add_to_field,
    _truncate,
    _truncate_and_pad,
    _truncate_and_end,
    _insert,
    _delete,
    _copy_block,
    _swap_blocks,
    _splice,
)


def mutate_json(random_: random.Random, value: Any) -> Any:
    """A copy of a JSON value of which one to three members are replaced, removed, added or nested deeply."""
    box = [copy.deepcopy(value)]
    for _ in range(random_.choice((1, 1, 2, 3))):
        container, key = random_.choice(list(_members(box)))
        _replace(random_, container, key, box)
    return box[0]


def _members(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key or index) of a JSON value."""
    keys = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    found = [(value, key) for key in keys]
    for _, key in list(found):
        found += _members(value[key])
    return found


def _replace(random_: random.Random, container: Any, key: Any, box: list[Any]) -> None:
    choice = random_.randrange(10)
    if choice == 0 and container is not box:
        del container[key]
    elif choice == 1 and isinstance(container, dict):
        container[random_.choice(('', 'x', 'id', 'a' * 300, '../x', 'ä'))] = container[key]
    elif choice == 1:
        container.insert(key, copy.deepcopy(container[key]))
        if container is box:
            del container[1:]
    elif choice == 2:
        container[key] = _nested(container[key], random_.choice((1, 2, 40)))
    elif choice == 3:
        # Another value of the same file: right in form, wrong in place.
        other, other_key = random_.choice(_members(box))
        container[key] = copy.deepcopy(other[other_key])
    elif choice == 4 and isinstance(container[key], int):
        container[key] += random_.choice((-1, 1, 256))
    elif choice == 5 and isinstance(container[key], str):
        container[key] += random_.choice((' ', '/', '\n', 'x', '\x00'))
    else:
        container[key] = copy.deepcopy(random_.choice(HOSTILE))


def _nested(value: Any, depth: int) -> Any:
    for _ in range(depth):
        value = [value]
    return value


def json_bytes(random_: random.Random, value: Any) -> bytes:
    """A JSON value as text; seldom nested so deeply that parsers exhaust the stack."""
    if random_.random() < 0.01:
        depth = random_.choice((1_000, 100_000))
        return b'[' * depth + b']' * depth
    text = json.dumps(value, ensure_ascii=random_.random() < 0.2)
    return text.encode('utf-8', 'surrogatepass')
