"""Image/mask pairs as TFRecords and as a TFDS data set: what the Beam job and the trainer share.

Importing the package imports nothing else: a Beam worker and a training process each load only what they use.
"""
