"""Garments: each function paints one kind of clothing on a body.

The arguments mean the same in all functions: `canvas` is painted on; `body`, `arm` and `leg` say where; `label` is the
class name; `cloth`, `leather`, `metal` and `skin` are materials. In heights of the figure, `hem` is the y of the lower
edge, `ease` how much wider than the body a garment is, and `flare` how much wider still it gets further down.
"""

import numpy as np

from seg_pipeline.synthetic.body import HIP, WAIST, Body, Limb
from seg_pipeline.synthetic.canvas import Canvas
from seg_pipeline.synthetic.geometry import Points, ellipse, smooth, tube
from seg_pipeline.synthetic.materials import Material, darkened

# How far down the arm a sleeve reaches, as a fraction, and how wide it is (ease, flare), in heights of the figure.
SLEEVES = {
    't-shirt': (0.34, 0.010, 0.010),
    'dress': (0.22, 0.006, 0.010),
    'shirt': (0.94, 0.007, 0.002),
    'blouse': (0.92, 0.010, 0.010),
    'sweater': (0.97, 0.010, 0.003),
    'jacket': (0.95, 0.013, 0.002),
    'blazer': (0.97, 0.011, 0.002),
    'coat': (0.98, 0.016, 0.004),
}
# The y of the hem of a top that is worn over the trousers, and how wide it is (ease, flare).
TOPS = {
    't-shirt': (0.475, 0.006, 0.05),
    'shirt': (0.500, 0.008, 0.06),
    'blouse': (0.480, 0.010, 0.10),
    'sweater': (0.480, 0.014, 0.02),
}
# Hem, ease, flare, and the fraction of the breadth that is open in front.
OUTERWEAR = {
    'jacket': (0.470, 0.018, 0.03, 0.30),
    'blazer': (0.520, 0.016, 0.05, 0.22),
    'coat': (0.720, 0.022, 0.10, 0.26),
}


def top(canvas: Canvas, body: Body, label: str, cloth: Material, skin: Material, *, tucked: bool) -> None:
    """A t-shirt, shirt, blouse or sweater, without its sleeves."""
    hem, ease, flare = TOPS[label]
    canvas.paint([body.torso(0.157, 0.42 if tucked else hem, ease, flare)], label, cloth)
    neckline(canvas, body, skin, 0.030 if label != 'shirt' else 0.042, pointed=label in ('shirt', 'blouse'))
    if label == 'shirt':
        _collar(canvas, body, cloth)
        _buttons(canvas, body, 0.20, 0.40)
    if label == 'sweater' and not tucked:
        canvas.line(
            [body.at(-0.09, hem - 0.016), body.at(0.09, hem - 0.016)], darkened(cloth.color), 0.004 * body.unit, 0.6
        )


def neckline(canvas: Canvas, body: Body, skin: Material, depth: float, pointed: bool) -> None:
    """The skin above the collar: `depth` heights deep, round, or V-shaped if `pointed`."""
    places = [
        (-0.030, 0.150),
        (0.030, 0.150),
        (0.022, 0.157 + 0.6 * depth),
        (0, 0.157 + depth),
        (-0.022, 0.157 + 0.6 * depth),
    ]
    if pointed:
        places = [(-0.026, 0.150), (0.026, 0.150), (0.001, 0.157 + 1.5 * depth), (-0.001, 0.157 + 1.5 * depth)]
    canvas.paint([body.outline(places, rounds=1 if pointed else 3)], 'skin', skin, shade=0.12)


def sleeve(canvas: Canvas, arm: Limb, label: str, cloth: Material) -> None:
    """The sleeve that belongs to a top, a dress or a coat."""
    reach, ease, flare = SLEEVES[label]
    canvas.paint([arm.part(0.0, reach, ease, flare), arm.cap(ease)], label, cloth)


def dress(canvas: Canvas, body: Body, cloth: Material, skin: Material, *, hem: float, flare: float) -> None:
    """A dress down to `hem`."""
    canvas.paint([body.torso(0.160, hem, 0.003, flare)], 'dress', cloth)
    neckline(canvas, body, skin, 0.048, pointed=False)
    canvas.line(
        [body.at(-0.066, WAIST), body.at(0, WAIST + 0.006), body.at(0.066, WAIST)],
        darkened(cloth.color),
        0.006 * body.unit,
        0.5,
    )


def skirt(canvas: Canvas, body: Body, cloth: Material, hem: float, flare: float) -> None:
    """A skirt from the waist down to `hem`."""
    canvas.paint([body.torso(WAIST, hem, 0.004, flare)], 'skirt', cloth)
    canvas.line(
        [body.at(-0.068, WAIST + 0.015), body.at(0.068, WAIST + 0.015)], darkened(cloth.color), 0.003 * body.unit, 0.7
    )


def trousers(canvas: Canvas, body: Body, label: str, cloth: Material, cut: tuple[float, float, float]) -> None:
    """Jeans, pants, leggings or shorts: both legs, then the seat.

    The cut is how far down the leg they reach (as a fraction), their ease and their flare.
    """
    reach, ease, flare = cut
    back, front = _back_to_front(body)
    canvas.paint([back.part(0.0, reach, ease, flare)], label, cloth)
    seat = body.torso(WAIST + 0.01, HIP + 0.035, 0.003)
    canvas.paint([front.part(0.0, reach, ease, flare), seat], label, cloth)
    dark, pen = darkened(cloth.color), 0.003 * body.unit
    canvas.line([body.at(0, WAIST + 0.03), body.at(0.003, HIP), body.at(0, HIP + 0.03)], dark, pen, 0.8)
    canvas.line([body.at(-0.07, WAIST + 0.028), body.at(0.07, WAIST + 0.028)], dark, pen, 0.6)
    if label == 'leggings':
        return
    for side in (-1, 1):
        pocket = [
            body.at(side * 0.040, WAIST + 0.030),
            body.at(side * 0.052, WAIST + 0.055),
            body.at(side * 0.076, WAIST + 0.062),
        ]
        canvas.line(smooth(pocket, closed=False), dark, pen, 0.6)


def tights(canvas: Canvas, body: Body, cloth: Material) -> None:
    """Sheer tights on both legs."""
    for leg in _back_to_front(body):
        canvas.paint([leg.part(0.0, 1.0, 0.001)], 'tights', cloth)


def socks(canvas: Canvas, leg: Limb, cloth: Material, start: float) -> None:
    """A sock from `start`, a fraction of the length of the leg, to the ankle."""
    canvas.paint([leg.part(start, 1.0, 0.003)], 'socks', cloth)


def shoe(canvas: Canvas, leg: Limb, label: str, leather: Material) -> None:
    """A shoe, sneaker, heel or boot at the end of a leg."""
    unit, ankle = leg.unit, leg.end
    raised = label == 'heels'
    toe = ankle + unit * np.array([leg.side * (0.012 if raised else 0.020), 0.060 if raised else 0.046])
    widths = [0.015, 0.021, 0.022, 0.011] if raised else [0.018, 0.024, 0.028, 0.018]
    foot = tube([ankle - _down(0.006, unit), ankle + _down(0.02, unit), toe], [w * unit for w in widths])
    parts = [foot, ellipse(toe, 0.011 * unit if raised else 0.020 * unit, 0.012 * unit)]
    if label == 'boots':
        parts.append(leg.part(0.70, 1.0, 0.008))
    if raised:
        heel = ankle + unit * np.array([-leg.side * 0.008, 0.052])
        parts.append(tube([ankle + _down(0.01, unit), heel], [0.010 * unit, 0.004 * unit]))
    canvas.paint(parts, label, leather, shade=0.4)
    if not raised:
        light = (244, 244, 240) if label == 'sneakers' else darkened(leather.color, 0.45)
        sole = [toe + unit * np.array([x, 0.0105 - 12 * x * x]) for x in np.linspace(-0.018, 0.018, 9)]
        canvas.line(np.array(sole), light, 0.007 * unit, 0.9)
    if label in ('sneakers', 'shoes'):
        for k in (0.35, 0.55, 0.75):
            middle = ankle + k * (toe - ankle)
            canvas.line(middle + unit * np.array([(-0.009, 0), (0.009, 0)]), (230, 228, 222), 0.003 * unit, 0.6)


def coat_back(canvas: Canvas, body: Body, label: str, cloth: Material) -> None:
    """The inside of an open coat, seen between and beside the legs."""
    hem, ease, flare, _ = OUTERWEAR[label]
    lining = Material(darkened(cloth.color, 0.6))
    canvas.paint([body.torso(0.22, hem - 0.012, ease, flare)], label, lining, shade=0.1)


def outerwear(canvas: Canvas, body: Body, label: str, cloth: Material, closed: bool) -> None:
    """A jacket, blazer or coat, without its sleeves; an open one covers the left and right front only."""
    hem, ease, flare, gap = OUTERWEAR[label]
    dark = darkened(cloth.color)
    if closed:
        canvas.paint([body.torso(0.160, hem, ease, flare)], label, cloth)
        canvas.line([body.at(0.004, 0.25), body.at(0.004, hem)], dark, 0.004 * body.unit, 0.8)
        _buttons(canvas, body, 0.27, min(hem, 0.52), dark=True)
    else:
        for across in ((-1.0, -gap), (gap, 1.0)):
            canvas.paint([body.torso(0.160, hem, ease, flare, across)], label, cloth)
    if label in ('blazer', 'coat', 'jacket'):
        _lapels(canvas, body, label, cloth, gap)


def belt(canvas: Canvas, body: Body, leather: Material) -> None:
    """A belt with a buckle."""
    canvas.paint([body.torso(WAIST + 0.012, WAIST + 0.030, 0.004)], 'belt', leather)
    buckle = [body.at(-0.008, WAIST + 0.023), body.at(0.008, WAIST + 0.023)]
    canvas.line(buckle, (224, 198, 120), 0.013 * body.unit, 0.9)


def scarf(canvas: Canvas, body: Body, cloth: Material) -> None:
    """A scarf around the neck with one end hanging down."""
    unit, side = body.unit, body.front_leg * 2 - 1
    end = tube(
        [body.at(side * 0.022, 0.165), body.at(side * 0.030, 0.24), body.at(side * 0.034, 0.34)],
        [0.018 * unit, 0.022 * unit, 0.026 * unit],
    )
    canvas.paint([end], 'scarf', cloth)
    canvas.paint([ellipse(body.at(0, 0.160), 0.052 * unit, 0.026 * unit)], 'scarf', cloth, shade=0.45)


def necklace(canvas: Canvas, body: Body, metal: Material) -> None:
    """A thin chain with a pendant."""
    arc = [body.at(x, 0.160 + 0.055 * (1 - (x / 0.026) ** 2)) for x in np.linspace(-0.026, 0.026, 9)]
    unit = body.unit
    canvas.paint([tube(arc, [0.0035 * unit] * 2), ellipse(arc[4], 0.008 * unit, 0.009 * unit)], 'necklace', metal)


def handbag(canvas: Canvas, arm: Limb, leather: Material, size: float) -> None:
    """A bag carried by its handle in the hand of a hanging arm."""
    unit, hand = arm.unit, arm.end + _down(0.035, arm.unit)
    middle = hand + _down(0.095 * size, unit)
    handle = [middle + unit * size * np.array([-0.030, -0.03]), hand, middle + unit * size * np.array([0.030, -0.03])]
    canvas.paint([tube(handle, [0.005 * unit] * 2)], 'bag', leather)
    _bag_body(canvas, middle, unit * size, leather)


def shoulder_bag(canvas: Canvas, body: Body, side: int, leather: Material) -> None:
    """A bag at the hip, its strap across the chest."""
    middle = body.at(side * 0.105, 0.50)
    strap = tube([body.at(-side * 0.055, 0.160), body.at(0, 0.30), middle], [0.006 * body.unit] * 2)
    canvas.paint([strap], 'bag', leather)
    _bag_body(canvas, middle, body.unit * 1.05, leather)


def _bag_body(canvas: Canvas, middle: Points, unit: float, leather: Material) -> None:
    corners = np.array([(-0.042, -0.036), (0.042, -0.036), (0.052, 0.040), (0, 0.046), (-0.052, 0.040)])
    canvas.paint([smooth(middle + unit * corners, rounds=2)], 'bag', leather, shade=0.4)
    flap = smooth(middle + unit * np.array([(-0.044, -0.01), (0, 0.008), (0.044, -0.01)]), closed=False)
    canvas.line(flap, darkened(leather.color, 0.55), 0.004 * unit, 0.8)
    clasp = middle + unit * np.array([(-0.004, 0.006), (0.004, 0.006)])
    canvas.line(clasp, (226, 200, 130), 0.009 * unit, 0.9)


def _collar(canvas: Canvas, body: Body, cloth: Material) -> None:
    for side in (-1, 1):
        wing = body.outline(
            [(side * 0.030, 0.146), (side * 0.004, 0.182), (side * 0.028, 0.198), (side * 0.040, 0.166)], 1
        )
        canvas.paint([wing], 'shirt', cloth, shade=0.15)


def _buttons(canvas: Canvas, body: Body, start: float, end: float, dark: bool = False) -> None:
    color = (40, 34, 32) if dark else (250, 250, 248)
    canvas.line([body.at(-0.006, start), body.at(-0.006, end)], (90, 90, 96), 0.002 * body.unit, 0.45)
    for y in np.linspace(start, end, 5)[:-1]:
        canvas.line([body.at(-0.002, y), body.at(0.001, y)], color, 0.007 * body.unit, 0.8)


def _lapels(canvas: Canvas, body: Body, label: str, cloth: Material, gap: float) -> None:
    lighter = Material(darkened(cloth.color, 0.86), gloss=cloth.gloss)
    for side in (-1, 1):
        inner = side * gap * 0.085
        places = [
            (side * 0.030, 0.148),
            (side * 0.052, 0.190),
            (side * 0.060, 0.225),
            (inner, 0.310),
            (inner * 0.8, 0.250),
        ]
        canvas.paint([body.outline(places, rounds=1)], label, lighter, shade=0.2)


def _back_to_front(body: Body) -> tuple[Limb, Limb]:
    return body.legs[1 - body.front_leg], body.legs[body.front_leg]


def _down(distance: float, unit: float) -> Points:
    return np.array([0.0, distance * unit])
