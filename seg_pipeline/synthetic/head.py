"""Everything above the shoulders: head and face, hair, hats, sunglasses.

Positions on the head are (x, y) in heights of the figure from the middle of the face, before the head is tilted.
"""

import numpy as np

from seg_pipeline.synthetic.body import Body
from seg_pipeline.synthetic.canvas import Canvas
from seg_pipeline.synthetic.geometry import Points, ellipse, smooth, tube
from seg_pipeline.synthetic.materials import Material, darkened, mixed

_CENTRE_Y, _FACE_X, _FACE_Y = 0.076, 0.0335, 0.046


class Head:
    """Paints one head in layers, in separate calls, so that a collar or a scarf can be painted between two of them."""

    def __init__(self, canvas: Canvas, body: Body, skin: Material, hair: Material, length: float) -> None:
        """Prepares a head; nothing is painted yet.

        Args:
            canvas: what to paint on.
            body: where the head is, and how it is tilted.
            skin: the material of the face.
            hair: the material of the hair.
            length: y of the tips of the hair on the body: 0.10 is short, 0.29 is at the chest.
        """
        self._canvas = canvas
        self._body = body
        self._skin = skin
        self._hair = hair
        self._length = length
        self._centre = body.at(0, _CENTRE_Y)

    def at(self, x: float, y: float) -> Points:
        """The pixel (2,) of a position on the tilted head."""
        tilt = self._body.head_tilt
        turned = np.array([x * np.cos(tilt) - y * np.sin(tilt), x * np.sin(tilt) + y * np.cos(tilt)])
        return self._centre + self._body.unit * turned

    def _oval(self, x: float, y: float, radius_x: float, radius_y: float) -> Points:
        unit = self._body.unit
        return ellipse(self.at(x, y), radius_x * unit, radius_y * unit, self._body.head_tilt)

    def paint_back_hair(self) -> None:
        """The hair behind the neck and shoulders."""
        if self._length < 0.13:
            return
        tips = self._length - _CENTRE_Y
        fall = smooth(
            [
                self.at(-0.042, -0.02),
                self.at(-0.046, 0.04),
                self.at(-0.056, tips),
                self.at(0, tips - 0.01),
                self.at(0.056, tips),
                self.at(0.046, 0.04),
                self.at(0.042, -0.02),
            ],
            rounds=2,
        )
        self._canvas.paint([fall], 'hair', self._hair, shade=0.4)

    def paint_neck(self) -> None:
        """Neck and collarbones, which the top later covers in part."""
        unit = self._body.unit
        neck = tube([self._body.at(0, 0.10), self._body.at(0, 0.175)], [0.022 * unit, 0.021 * unit, 0.027 * unit])
        self._canvas.paint([neck], 'skin', self._skin, shade=0.25)

    def paint_face(self) -> None:
        """Skull, hair, face and features."""
        canvas = self._canvas
        canvas.paint([self._oval(0, -0.012, 0.042, 0.053)], 'hair', self._hair, shade=0.35)
        canvas.paint(
            [self._oval(-0.034, 0.004, 0.006, 0.010), self._oval(0.034, 0.004, 0.006, 0.010)], 'skin', self._skin
        )
        face = smooth(
            [
                self.at(-_FACE_X, -0.026),
                self.at(-_FACE_X - 0.001, 0.012),
                self.at(-0.019, 0.040),
                self.at(0, _FACE_Y + 0.004),
                self.at(0.019, 0.040),
                self.at(_FACE_X + 0.001, 0.012),
                self.at(_FACE_X, -0.026),
                self.at(0, -0.034),
            ],
            rounds=3,
        )
        canvas.paint([face], 'skin', self._skin, shade=0.25)
        self._features()
        self._front_hair()

    def _features(self) -> None:
        canvas, dark = self._canvas, (48, 32, 28)
        pen = 0.004 * self._body.unit
        for side in (-1, 1):
            white = self._oval(side * 0.0135, -0.001, 0.0058, 0.0034)
            canvas.paint([white], 'skin', Material((236, 230, 226), folds=0.0, grain=0.0), shade=0.1)
            canvas.line(
                [self.at(side * 0.0137 - 0.001, -0.001), self.at(side * 0.0137 + 0.001, -0.001)], dark, pen * 1.3, 1.0
            )
            canvas.line([self.at(side * 0.007, -0.0115), self.at(side * 0.021, -0.0115)], dark, pen, 0.75)
            canvas.line([self.at(side * 0.0075, -0.0045), self.at(side * 0.0195, -0.0045)], dark, pen * 0.6, 0.7)
        shadow = darkened(self._skin.color, 0.74)
        canvas.line([self.at(0.002, 0.002), self.at(0.0045, 0.0125), self.at(-0.0035, 0.014)], shadow, pen * 0.8, 0.7)
        lips = mixed(self._skin.color, (176, 56, 62), float(canvas.rng.uniform(0.35, 0.8)))
        mouth = self._oval(0, 0.0255, 0.0105, 0.0036)
        canvas.paint([mouth], 'skin', Material(lips, folds=0.0, grain=1.0), shade=0.3)

    def _front_hair(self) -> None:
        """The hair beside the parting and, if it is long, on each side of the face."""
        parting = float(self._canvas.rng.uniform(-0.014, 0.014))
        for side in (-1, 1):
            sweep = smooth(
                [
                    self.at(parting, -0.050),
                    self.at(parting, -0.034),
                    self.at(side * 0.022, -0.026),
                    self.at(side * 0.034, -0.004),
                    self.at(side * 0.042, -0.006),
                    self.at(side * 0.036, -0.042),
                ],
                rounds=2,
            )
            locks = [sweep]
            if self._length > 0.13:
                tip = self._length - _CENTRE_Y
                path = [self.at(side * 0.037, -0.022), self.at(side * 0.041, 0.03), self.at(side * 0.045, tip)]
                unit = self._body.unit
                locks.append(tube(path, [0.006 * unit, 0.011 * unit, 0.015 * unit, 0.005 * unit]))
            self._canvas.paint(locks, 'hair', self._hair, shade=0.3)

    def paint_hat(self, felt: Material, brim: bool) -> None:
        """A brimmed hat, or else a knitted cap."""
        crown = smooth(
            [
                self.at(-0.044, -0.024),
                self.at(-0.042, -0.066),
                self.at(-0.016, -0.082),
                self.at(0.018, -0.080),
                self.at(0.042, -0.064),
                self.at(0.044, -0.024),
                self.at(0, -0.030),
            ],
            rounds=2,
        )
        self._canvas.paint([crown], 'hat', felt, shade=0.35)
        band = [self.at(-0.043, -0.032), self.at(0, -0.038), self.at(0.043, -0.032)]
        self._canvas.line(band, darkened(felt.color, 0.5), 0.010 * self._body.unit, 0.8)
        if brim:
            self._canvas.paint([self._oval(0, -0.027, 0.070, 0.011)], 'hat', felt, shade=0.3)

    def paint_sunglasses(self, glass: Material) -> None:
        """Two dark lenses, the bridge and the temples."""
        lenses = [self._oval(side * 0.0150, -0.0005, 0.0125, 0.0095) for side in (-1, 1)]
        bridge = tube([self.at(-0.034, -0.006), self.at(0.034, -0.006)], [0.0024 * self._body.unit] * 2)
        self._canvas.paint([*lenses, bridge], 'sunglasses', glass, shade=0.2)
        for side in (-1, 1):
            shine = [self.at(side * 0.015 - 0.005, -0.004), self.at(side * 0.015 + 0.001, -0.006)]
            self._canvas.line(shine, (230, 236, 244), 0.003 * self._body.unit, 0.6)
