"""The bytes of tf.train.Example messages (tensorflow/core/example/example.proto), without TensorFlow.

Features are written in alphabetical order, so that equal examples are equal bytes in every process and with every
protobuf library.
"""

from collections.abc import Mapping
from typing import Any

FeatureValue = bytes | int


def serialize(features: Mapping[str, FeatureValue]) -> bytes:
    """The bytes of a tf.train.Example whose features hold one value each.

    Args:
        features: bytes become a bytes_list, integers (64 bits, signed) an int64_list.
    """
    entries = []
    for name in sorted(features):
        value = features[name]
        if isinstance(value, bytes):
            feature = _message(1, _message(1, value))  # Feature.bytes_list (1) . BytesList.value (1)
        else:
            packed = varint(value & 0xFFFFFFFFFFFFFFFF)  # negative numbers are two's complement of 64 bits
            feature = _message(3, _message(1, packed))  # Feature.int64_list (3) . Int64List.value (1, packed)
        entries.append(_message(1, _message(1, name.encode()) + _message(2, feature)))  # Features.feature: a map entry
    return _message(1, b''.join(entries))  # Example.features (1)


def _message(field: int, content: bytes) -> bytes:
    """A length-delimited protobuf field (wire type 2)."""
    return varint(field << 3 | 2) + varint(len(content)) + content


def varint(value: int) -> bytes:
    """A number of any size (LEB128): seven bits a byte, the lowest first; the eighth says that more follow."""
    result = bytearray()
    while value > 0x7F:
        result.append(value & 0x7F | 0x80)
        value >>= 7
    result.append(value)
    return bytes(result)


def parse(payload: bytes) -> dict[str, Any]:
    """The features of a tf.train.Example, each a list of bytes, ints or floats.

    Raises:
        ValueError: if the bytes are no tf.train.Example.
    """
    # Imported here: a worker that only writes has no use for it.
    from google.protobuf import message
    from tensorflow_datasets.proto import tf_example_generated_pb2

    try:
        example = tf_example_generated_pb2.Example.FromString(payload)
    except message.DecodeError as error:
        raise ValueError(f'no tf.train.Example: {error}') from error
    result = {}
    for name, feature in example.features.feature.items():
        kind = feature.WhichOneof('kind')
        result[name] = list(getattr(feature, kind).value) if kind else []
    return result
