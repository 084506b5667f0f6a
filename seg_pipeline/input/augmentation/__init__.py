"""Random changes of one image and its mask, drawn for both at once.

Every op is stateless: what it does is a pure function of the seed it is given, so the same pair comes out of eager
code, of a parallel tf.data map and of a run that was stopped and resumed. An op that moves pixels samples the image
(bilinearly) and the mask (by nearest neighbour) at the same points, so a mask never holds a class that was not in it
before; where the new frame shows something outside of the old one, the image is black and the mask holds the ignored
id.

A policy is a tuple of ops, applied in order. Ops are frozen dataclasses, so logging a policy prints its whole
configuration. The policies are those of `POLICIES`, and those that `find` makes of `Strengths`.
"""

from seg_pipeline.input.augmentation.article import (
    ARTICLE,
    Brightness,
    CentralCrop,
    FlipLeftRight,
    FlipUpDown,
    Gamma,
    Hue,
    OneOf,
    Rotate90,
)
from seg_pipeline.input.augmentation.policies import NONE, POLICIES, find
from seg_pipeline.input.augmentation.policy import ImageMask, Op, Partner, Policy, apply, needs_partner
from seg_pipeline.input.augmentation.random_changes import RandomChanges

__all__ = [
    'ARTICLE',
    'NONE',
    'POLICIES',
    'Brightness',
    'CentralCrop',
    'FlipLeftRight',
    'FlipUpDown',
    'Gamma',
    'Hue',
    'ImageMask',
    'OneOf',
    'Op',
    'Partner',
    'Policy',
    'RandomChanges',
    'Rotate90',
    'apply',
    'find',
    'needs_partner',
]
