"""The table of surfaces: the materials of each class of clothing.

Each class has its own colours and textures, but they overlap between classes (a crimson dress and a plum skirt, a dark
jacket and dark leggings), so that a model must learn shapes too.
"""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from seg_pipeline.labels.label_map import Color
from seg_pipeline.synthetic.materials import Material


def _leather(color: Color) -> Material:
    return Material(color, gloss=0.7, folds=0.04, grain=2.0)


FABRICS: dict[str, tuple[Material, ...]] = {
    't-shirt': (
        Material((236, 236, 232), (38, 52, 96), 'stripes'),
        Material((240, 240, 238)),
        Material((246, 200, 62)),
    ),
    'shirt': (
        Material((150, 184, 222)),
        Material((188, 58, 54), (40, 32, 40), 'checks'),
        Material((120, 156, 205), (214, 226, 240), 'checks'),
    ),
    'blouse': (
        Material((240, 214, 216), (216, 120, 140), 'dots', folds=0.08),
        Material((196, 224, 208), folds=0.09, gloss=0.2),
        Material((226, 188, 206), folds=0.09, gloss=0.2),
    ),
    'sweater': (
        Material((206, 150, 50), (160, 108, 28), 'cable'),
        Material((168, 74, 44), (124, 50, 30), 'knit'),
        Material((92, 112, 84), (64, 82, 60), 'knit'),
    ),
    'dress': (
        Material((178, 34, 58), folds=0.09),
        Material((24, 104, 116), (232, 214, 190), 'flowers', folds=0.08),
        Material((52, 44, 110), (236, 170, 186), 'flowers', folds=0.08),
        Material((232, 128, 96), folds=0.09),
    ),
    'jacket': (_leather((36, 34, 36)), _leather((52, 48, 46)), Material((84, 90, 56), grain=4.0)),
    'blazer': (Material((40, 50, 90)), Material((52, 66, 112), (40, 52, 94), 'checks')),
    'coat': (
        Material((190, 148, 96), grain=4.0),
        Material((166, 126, 84), (140, 104, 66), 'twill', grain=5.0),
        Material((206, 176, 136), grain=4.0),
    ),
    'jeans': (
        Material((62, 92, 142), (128, 158, 200), 'twill', grain=5.0),
        Material((98, 130, 176), (176, 198, 222), 'twill', grain=5.0),
        Material((40, 56, 96), (84, 106, 150), 'twill', grain=4.0),
    ),
    'pants': (Material((196, 180, 150)), Material((104, 106, 78)), Material((120, 104, 90))),
    'leggings': (
        Material((30, 30, 36), gloss=0.5, folds=0.03, grain=2.0),
        Material((58, 40, 64), gloss=0.5, folds=0.03, grain=2.0),
    ),
    'skirt': (
        Material((128, 40, 82), (92, 24, 58), 'pleats'),
        Material((44, 92, 70), (28, 64, 48), 'pleats'),
    ),
    'shorts': (
        Material((190, 158, 112)),
        Material((104, 140, 186), (166, 192, 220), 'twill', grain=5.0),
        Material((50, 62, 60)),
    ),
    'tights': (
        Material((26, 24, 30), sheer=0.3, folds=0.03, grain=2.0),
        Material((70, 30, 52), sheer=0.2, folds=0.03, grain=2.0),
    ),
    'socks': (Material((238, 238, 236), (170, 60, 60), 'stripes'), Material((60, 84, 168))),
    'shoes': (
        _leather((34, 30, 30)),
        _leather((128, 78, 44)),
        _leather((96, 30, 36)),
    ),
    'sneakers': (Material((238, 238, 236)), Material((200, 60, 60)), Material((60, 110, 170))),
    'heels': (
        _leather((176, 24, 38)),
        _leather((26, 24, 26)),
        _leather((206, 168, 130)),
    ),
    'boots': (
        _leather((58, 40, 32)),
        _leather((30, 28, 30)),
        Material((150, 106, 66), grain=5.0),
    ),
    'bag': (
        _leather((150, 82, 42)),
        _leather((36, 32, 34)),
        _leather((196, 154, 100)),
    ),
    'belt': (_leather((86, 52, 32)), _leather((28, 26, 28))),
    'scarf': (
        Material((196, 64, 56), (236, 216, 176), 'checks', folds=0.12),
        Material((92, 116, 160), (60, 78, 118), 'knit', folds=0.12),
        Material((214, 200, 176), (150, 130, 110), 'stripes', folds=0.12),
    ),
    'hat': (Material((48, 44, 50)), Material((176, 132, 84)), Material((136, 40, 52), (104, 26, 38), 'knit')),
    'sunglasses': (Material((20, 20, 24), gloss=0.9, folds=0.0), Material((64, 38, 26), gloss=0.9, folds=0.0)),
    'necklace': (Material((226, 190, 96), folds=0.0), Material((222, 222, 228), folds=0.0)),
    'hair': (
        Material((44, 30, 24), (20, 14, 12), 'fur', gloss=0.5),
        Material((92, 58, 34), (58, 34, 20), 'fur', gloss=0.5),
        Material((206, 166, 100), (160, 118, 62), 'fur', gloss=0.4),
        Material((150, 70, 34), (108, 44, 20), 'fur', gloss=0.5),
        Material((26, 24, 28), (10, 10, 12), 'fur', gloss=0.6),
    ),
    'skin': tuple(
        Material(color, folds=0.015, grain=1.5, gloss=0.25)
        for color in ((242, 206, 180), (228, 184, 152), (200, 150, 114), (158, 108, 78), (106, 70, 52))
    ),
}


def pick(label: str, rng: np.random.Generator) -> Material:
    """Draws one of the materials of a class, with slightly different colours.

    Args:
        label: the class name, a key of FABRICS.
        rng: the source of randomness.
    """
    choices = FABRICS[label]
    chosen = choices[int(rng.integers(len(choices)))]
    gain = rng.uniform(0.88, 1.1) * (1 + rng.uniform(-0.04, 0.04, 3))
    accent = None if chosen.accent is None else _scaled(chosen.accent, gain)
    return dataclasses.replace(chosen, color=_scaled(chosen.color, gain), accent=accent)


def _scaled(color: Color, gain: NDArray[np.float64]) -> Color:
    red, green, blue = np.clip(np.rint(np.asarray(color) * gain), 0, 255).astype(int)
    return int(red), int(green), int(blue)
