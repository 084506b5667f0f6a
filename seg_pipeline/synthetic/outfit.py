"""What a figure wears, and the order in which it is painted.

The order alone decides what hides what, in the photo and in the mask: there is no depth.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np

from seg_pipeline.synthetic import fabrics, wardrobe
from seg_pipeline.synthetic.body import Body, Limb
from seg_pipeline.synthetic.canvas import Canvas
from seg_pipeline.synthetic.geometry import ellipse, tube
from seg_pipeline.synthetic.head import Head
from seg_pipeline.synthetic.materials import Material

_BARE_LEGGED = ('dress', 'skirt', 'shorts')


@dataclasses.dataclass(frozen=True)
class Outfit:
    """The classes that a figure wears; None means that it wears nothing of that kind.

    Attributes:
        top: a key of wardrobe.TOPS, or 'dress'.
        bottom: trousers or a skirt; None under a dress.
        outer: a key of wardrobe.OUTERWEAR.
        closed: whether the outer garment is closed in front.
        tucked: whether the top is worn inside the trousers.
        hem: y of the hem of a skirt or dress, in heights of the figure.
        flare: how much wider a skirt or dress gets for each height below the waist.
        legwear: 'tights' or 'socks'.
        footwear: 'shoes', 'sneakers', 'heels' or 'boots'.
        bag: how a bag is carried: in the 'hand' or on the 'shoulder'.
        extras: further classes: 'belt', 'scarf', 'necklace', 'hat', 'sunglasses'.
        hair_length: y of the tips of the hair, in heights of the figure.
    """

    top: str
    bottom: str | None
    outer: str | None
    closed: bool
    tucked: bool
    hem: float
    flare: float
    legwear: str | None
    footwear: str
    bag: str | None
    extras: frozenset[str]
    hair_length: float


def _choose(rng: np.random.Generator, weights: Mapping[str, float]) -> str:
    """Draws a key with a probability proportional to its weight."""
    values = np.array(list(weights.values()))
    return list(weights)[int(rng.choice(len(values), p=values / values.sum()))]


def sample(rng: np.random.Generator) -> Outfit:
    """Draws an outfit."""
    # A change of the order or the number of the draws changes all pictures of all seeds.
    top = _choose(rng, {'dress': 24, 't-shirt': 17, 'shirt': 16, 'blouse': 15, 'sweater': 18})
    bottoms = {'jeans': 30, 'pants': 26, 'skirt': 20, 'leggings': 10, 'shorts': 12}
    bottom = None if top == 'dress' else _choose(rng, bottoms)
    bare = bottom in (None, 'skirt', 'shorts')
    outer = _choose(rng, {'none': 46, 'coat': 20, 'jacket': 16, 'blazer': 14})
    legwear = _choose(rng, {'none': 50, 'tights': 32, 'socks': 18}) if bare else 'none'
    chances = {'belt': 0.25, 'scarf': 0.14, 'necklace': 0.2, 'hat': 0.2, 'sunglasses': 0.32}
    extras = {name for name, chance in chances.items() if rng.random() < chance}
    bag = _choose(rng, {'none': 40, 'hand': 34, 'shoulder': 26})
    return Outfit(
        top=top,
        bottom=bottom,
        outer=None if outer == 'none' else outer,
        closed=bool(rng.random() < 0.3),
        tucked=bool(rng.random() < 0.5) or bottom == 'skirt',
        hem=rng.uniform(0.58, 0.76),
        flare=rng.uniform(0.05, 0.30),
        legwear=None if legwear == 'none' else legwear,
        footwear=_choose(rng, {'shoes': 36, 'sneakers': 18, 'heels': 20, 'boots': 26}),
        bag=None if bag == 'none' else bag,
        extras=frozenset(extras),
        hair_length=float(rng.choice([0.10, rng.uniform(0.15, 0.18), rng.uniform(0.22, 0.29)], p=[0.32, 0.28, 0.4])),
    )


class Dresser:
    """Paints one figure from back to front."""

    def __init__(self, canvas: Canvas, body: Body, outfit: Outfit) -> None:
        """Draws the materials of a figure; nothing is painted yet."""
        self._canvas = canvas
        self._body = body
        self._outfit = outfit
        self._skin = fabrics.pick('skin', canvas.rng)
        worn = [outfit.top, outfit.bottom, outfit.outer, outfit.legwear, outfit.footwear, *sorted(outfit.extras)]
        # One material for each garment, drawn once, so that a sleeve matches its coat. The extras are sorted, because a
        # set of strings has another order in each process, which would change the draws.
        self._cloth = {label: fabrics.pick(label, canvas.rng) for label in worn if label}
        self._head = Head(canvas, body, self._skin, fabrics.pick('hair', canvas.rng), outfit.hair_length)

    def paint(self) -> None:
        """Paints the complete figure with its shadow on the ground."""
        self._shadow()
        if self._outfit.outer and not self._outfit.closed:
            wardrobe.coat_back(self._canvas, self._body, self._outfit.outer, self._cloth[self._outfit.outer])
        self._head.paint_back_hair()
        self._legs()
        self._trunk()
        self._arms()
        self._above_the_shoulders()
        self._bag()

    def _shadow(self) -> None:
        body = self._body
        feet = (body.legs[0].end + body.legs[1].end) / 2 + (-self._canvas.light * 0.06 * body.unit, 0.045 * body.unit)
        self._canvas.shadow(ellipse(feet, 0.17 * body.unit, 0.020 * body.unit), 0.5, 0.012 * body.unit)

    def _legs(self) -> None:
        canvas, body, outfit = self._canvas, self._body, self._outfit
        for leg in (body.legs[1 - body.front_leg], body.legs[body.front_leg]):
            canvas.paint([leg.part(0.0, 1.0)], 'skin', self._skin, shade=0.22)
            self._bare_foot(leg)
        if outfit.legwear == 'tights':
            wardrobe.tights(canvas, body, self._cloth['tights'])
        if outfit.legwear == 'socks':
            start = 0.66 if outfit.hem < 0.68 else 0.9
            for leg in body.legs:
                wardrobe.socks(canvas, leg, self._cloth['socks'], start)
        if outfit.footwear != 'boots':
            self._shoes()
        self._trousers()
        if outfit.footwear == 'boots':
            self._shoes()

    def _bare_foot(self, leg: Limb) -> None:
        instep = tube([leg.end, leg.end + leg.unit * np.array([leg.side * 0.01, 0.03])], [0.017 * leg.unit] * 2)
        self._canvas.paint([instep], 'skin', self._skin)

    def _shoes(self) -> None:
        for leg in self._body.legs:
            wardrobe.shoe(self._canvas, leg, self._outfit.footwear, self._cloth[self._outfit.footwear])

    def _trousers(self) -> None:
        label = self._outfit.bottom
        if label is None or label == 'skirt':
            return
        boots = self._outfit.footwear == 'boots'
        cut = {
            'jeans': (0.97, 0.004, 0.004),
            'pants': (0.99, 0.008, 0.003 if boots else 0.010),
            'leggings': (0.97, 0.001, 0.001),
            'shorts': (0.34, 0.008, 0.020),
        }[label]
        wardrobe.trousers(self._canvas, self._body, label, self._cloth[label], cut)

    def _trunk(self) -> None:
        canvas, body, outfit, cloth = self._canvas, self._body, self._outfit, self._cloth
        self._head.paint_neck()
        if outfit.top == 'dress':
            wardrobe.dress(canvas, body, cloth['dress'], self._skin, hem=outfit.hem, flare=outfit.flare)
        else:
            wardrobe.top(canvas, body, outfit.top, cloth[outfit.top], self._skin, tucked=outfit.tucked)
            if outfit.tucked and outfit.bottom not in (None, 'skirt'):
                self._trousers()
        if outfit.bottom == 'skirt':
            wardrobe.skirt(canvas, body, cloth['skirt'], outfit.hem, outfit.flare)
        if 'belt' in outfit.extras and (outfit.tucked or outfit.top == 'dress'):
            wardrobe.belt(canvas, body, cloth['belt'])
        if 'necklace' in outfit.extras:
            wardrobe.necklace(canvas, body, cloth['necklace'])
        if outfit.outer:
            wardrobe.outerwear(canvas, body, outfit.outer, cloth[outfit.outer], outfit.closed)

    def _arms(self) -> None:
        outfit = self._outfit
        for arm in self._body.arms:
            hand = arm.end + 0.020 * arm.unit * arm.direction
            angle = float(np.arctan2(arm.direction[1], arm.direction[0]))
            palm = ellipse(hand, 0.026 * arm.unit, 0.015 * arm.unit, angle)
            self._canvas.paint([arm.part(0.0, 1.0), arm.cap(), palm], 'skin', self._skin, shade=0.22)
            label = outfit.outer or outfit.top  # the sleeve of an outer garment hides that of the top completely
            wardrobe.sleeve(self._canvas, arm, label, self._cloth[label])

    def _above_the_shoulders(self) -> None:
        extras = self._outfit.extras
        if 'scarf' in extras:
            wardrobe.scarf(self._canvas, self._body, self._cloth['scarf'])
        self._head.paint_face()
        if 'sunglasses' in extras:
            self._head.paint_sunglasses(self._cloth['sunglasses'])
        if 'hat' in extras:
            self._head.paint_hat(self._cloth['hat'], brim=bool(self._canvas.rng.random() < 0.6))

    def _bag(self) -> None:
        kind, rng = self._outfit.bag, self._canvas.rng
        if kind is None:
            return
        leather: Material = fabrics.pick('bag', rng)
        arm = max(self._body.arms, key=lambda limb: limb.end[1])
        if kind == 'shoulder':
            wardrobe.shoulder_bag(self._canvas, self._body, arm.side, leather)
        else:
            wardrobe.handbag(self._canvas, arm, leather, rng.uniform(0.85, 1.3))
