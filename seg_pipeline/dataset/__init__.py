"""What a data set directory says of itself, and the proof that it is true.

`manifest` names every file with its digest, `record_index` every record with its sources, `statistics` counts classes,
`provenance` keeps the command, `tfds_metadata` is what TFDS reads; `dataset_split` is one split to read; `integrity`
compares all of it with the bytes. `typed_json` reads what anyone may have altered.
"""

__all__ = [
    'dataset_split',
    'integrity',
    'manifest',
    'provenance',
    'record_index',
    'statistics',
    'tfds_metadata',
    'typed_json',
]
