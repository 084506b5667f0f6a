"""Clothing Co-Parsing as a TFDS data set: importing this package registers `clothing_parsing`.

import seg_pipeline.clothing_parsing
train = tfds.load('clothing_parsing', data_dir=OUT, split='train')
"""

# Relative: `tfds build seg_pipeline/clothing_parsing` imports this package under another name, and the class must be
# defined once.
from . import clothing_parsing_dataset_builder  # noqa: F401
