"""What a data set directory says of itself, and the proof that it is true.

`manifest` names every file with its digest, `record_index` every record with its sources, `statistics` counts classes,
`tfds_metadata` is what TFDS reads, `integrity` compares all of it with the bytes.
"""
