"""What a data set directory says of itself, and the proof that it is true.

`manifest` names every file with its digest, `record_index` every record with its sources, `statistics` counts classes,
`ignored` names the masks that are mostly ignored, `provenance` keeps the command, `tfds_metadata` is what TFDS reads;
`dataset_split` is one split to read; `integrity` compares all of it with the bytes, `contents` with one another;
`place` says what is there where there is no data set. `typed_json` and `inner_paths` are for reading what anyone may
have altered. Without a manifest, `tfds_directory` is what TFDS's own files say.
"""

__all__ = [
    'contents',
    'dataset_split',
    'ignored',
    'inner_paths',
    'integrity',
    'manifest',
    'place',
    'provenance',
    'record_index',
    'statistics',
    'tfds_directory',
    'tfds_metadata',
    'typed_json',
]
