import itertools

import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from seg_pipeline.records import example_proto

_FEATURES = st.dictionaries(
    st.text(min_size=1, max_size=20), st.binary(max_size=300) | st.integers(-(2**63), 2**63 - 1), max_size=6
)


@given(_FEATURES)
def test_tensorflow_reads_the_example_and_writes_the_same_bytes(features):
    payload = example_proto.serialize(features)
    example = tf.train.Example.FromString(payload)
    found = {
        name: (feature.bytes_list.value or feature.int64_list.value)[0]
        for name, feature in example.features.feature.items()
    }
    assert found == features
    assert example_proto.parse(payload) == {name: [value] for name, value in features.items()}
    assert len(example.SerializeToString()) == len(payload)


def test_order_of_features_does_not_change_the_bytes():
    items = [('b', b'1'), ('a', 2), ('c', b'')]
    assert len({example_proto.serialize(dict(order)) for order in itertools.permutations(items)}) == 1
