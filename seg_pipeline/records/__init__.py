"""The bytes of a shard: TFRecord and ArrayRecord files of tf.train.Examples, written and read without TensorFlow.

from seg_pipeline import records

for record in records.read('clothing_parsing-train.tfrecord-00000-of-00008'):
    print(record.file_name, record.image.shape, record.mask.max())
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

__all__ = [
    'DamagedRecordError',
    'Payload',
    'Record',
    'RecordSequence',
    'decode',
    'inspect',
    'offsets',
    'place',
    'read',
    'read_at',
    'read_payloads',
    'read_some',
]
