"""Encodes and decodes tf.train.Example messages (tensorflow/core/example/example.proto), without TensorFlow.

The encoder is written by hand for two reasons. A Beam worker need not import TensorFlow or protobuf. And equal examples
become equal bytes: an Example is a map, whose order protobuf does not define, not even in its "deterministic" mode
across versions (protobuf.dev/programming-guides/serialization-not-canonical); here features are in alphabetical order.

The wire format (protobuf.dev/programming-guides/encoding): a message is a sequence of fields, each a tag and a value.
The tag is a varint, field number << 3 | wire type. All fields of an Example are of wire type 2: length in bytes as a
varint, then the contents.

    message Example { Features features = 1; }
    message Features { map<string, Feature> feature = 1; }           an entry of a map: key = 1, value = 2
    message Feature { oneof { BytesList = 1; FloatList = 2; Int64List = 3; } }
    message BytesList { repeated bytes value = 1; }
    message Int64List { repeated int64 value = 1 [packed = true]; }  one field with all numbers as varints
"""

from collections.abc import Mapping
from typing import Any

FeatureValue = bytes | int


def serialize(features: Mapping[str, FeatureValue]) -> bytes:
    """Encodes a tf.train.Example whose features have one value each.

    Args:
        features: by name; bytes become a BytesList, integers (signed, 64 bits) an Int64List.

    Returns:
        The serialized message.
    """
    entries = []
    for name in sorted(features):
        value = features[name]
        if isinstance(value, bytes):
            feature = _message(1, _message(1, value))
        else:
            # An int64 is encoded as two's complement of 64 bits, so a negative number takes ten bytes.
            feature = _message(3, _message(1, varint(value & 0xFFFFFFFFFFFFFFFF)))
        entries.append(_message(1, _message(1, name.encode()) + _message(2, feature)))
    return _message(1, b''.join(entries))


def _message(field: int, content: bytes) -> bytes:
    """A field of wire type 2: tag, length, contents."""
    return varint(field << 3 | 2) + varint(len(content)) + content


def varint(value: int) -> bytes:
    """Encodes a non-negative integer of any size as a varint (LEB128).

    Each byte has seven bits of the number, the lowest first; its eighth bit is set if more bytes follow.
    """
    result = bytearray()
    while value > 0x7F:
        result.append(value & 0x7F | 0x80)
        value >>= 7
    result.append(value)
    return bytes(result)


def parse(payload: bytes) -> dict[str, Any]:
    """Decodes a tf.train.Example.

    Args:
        payload: the serialized message.

    Returns:
        The features by name, each a list of bytes, ints or floats.

    Raises:
        ValueError: if the bytes are not a tf.train.Example.
    """
    # Imported here, because a worker that only writes does not need it.
    from google.protobuf import message
    from tensorflow_datasets.proto import tf_example_generated_pb2

    try:
        example = tf_example_generated_pb2.Example.FromString(payload)
    except message.DecodeError as error:
        raise ValueError(f'not a tf.train.Example: {error}') from error
    result = {}
    for name, feature in example.features.feature.items():
        kind = feature.WhichOneof('kind')
        result[name] = list(getattr(feature, kind).value) if kind else []
    return result
