"""From shards to batches, with TensorFlow: the only folder of the package that imports it.

`pipeline` makes the batches of a split, to train on without end or to evaluate on once. `ordering` decides which
example comes when, `rare_classes` how often, `decoding` turns records into images and masks and names the shard that is
damaged, `tfds_decoding` does so for data sets of other TFDS builders, whose images `resizing` brings to one size,
`partners` gives elements that are mixed another one. The folder `augmentation` changes an image and its mask
at random, as far as the numbers of `strengths` say, which needs no TensorFlow to be read.
"""

__all__ = ['decoding', 'ordering', 'partners', 'pipeline', 'rare_classes', 'resizing', 'strengths', 'tfds_decoding']
