"""The bytes of a shard: TFRecord and ArrayRecord files of tf.train.Examples, written and read without TensorFlow.

Reading is what most callers need, and its names can be imported from here:

    from seg_pipeline import records

    for record in records.read('clothing_parsing-train.tfrecord-00000-of-00008'):
        print(record.file_name, record.image.shape, record.mask.max())

Writing is done with the modules: `schemas` names the features of a record, `example_proto` encodes them, `tfrecord` and
`array_record` write them to a file. `reader`, `payload` and `tfds_formats` hold the names below; `pair_features` finds
image and mask among the features of other TFDS data sets, and `tfds_names` says which names of data sets, versions and
splits there are.
"""

from seg_pipeline.records.payload import DamagedRecordError, Payload, place
from seg_pipeline.records.reader import (
    Record,
    RecordSequence,
    decode,
    inspect,
    offsets,
    read,
    read_at,
    read_payloads,
    read_some,
)
from seg_pipeline.records.tfds_formats import FORMATS_OF_TFDS, count, payloads

__all__ = [
    'FORMATS_OF_TFDS',
    'DamagedRecordError',
    'Payload',
    'Record',
    'RecordSequence',
    'count',
    'decode',
    'inspect',
    'offsets',
    'payloads',
    'place',
    'read',
    'read_at',
    'read_payloads',
    'read_some',
]
