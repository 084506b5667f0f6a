"""Draws pictures of clothed figures with exact masks, to try all commands without real data.

`python -m seg_pipeline.synthetic` is the command; from code, `pair_set` is what other packages use.

Modules, each built on the ones below it:
    pair_set: a set of pairs on disk, in the layout of Clothing Co-Parsing.
    scene: one photo and its mask.
    outfit: what a figure wears, and the order in which it is painted.
    head, wardrobe: the painting of the head and of garments.
    body: the pose, and the outlines of the body.
    street: backgrounds.
    canvas: the photo and the mask that are painted on.
    fabrics, materials: the materials of each class, and how a material looks.
    geometry: outlines as polygons.
"""

__all__ = [
    'body',
    'canvas',
    'fabrics',
    'geometry',
    'head',
    'materials',
    'outfit',
    'pair_set',
    'scene',
    'street',
    'wardrobe',
]
