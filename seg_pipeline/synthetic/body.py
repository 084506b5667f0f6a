"""The body: its pose, and the outlines of its parts, on which the outlines of garments are based.

Positions on the body are (x, y) in heights of the figure: y is 0 at the crown and 1 at the soles, x is 0 in the middle.
"""

import dataclasses

import numpy as np

from seg_pipeline.synthetic.geometry import Points, ellipse, smooth, tube

LEFT, RIGHT = -1, 1
# Half of the breadth of the trunk at some heights, and of limbs at equal distances from the first joint to the last.
_TORSO_Y = (0.155, 0.164, 0.180, 0.250, 0.300, 0.370, 0.450, 0.490, 0.520, 1.0)
_TORSO_HALF = (0.030, 0.060, 0.093, 0.083, 0.078, 0.063, 0.080, 0.086, 0.086, 0.086)
_LEG_HALF = (0.047, 0.046, 0.040, 0.031, 0.032, 0.026, 0.018)
_ARM_HALF = (0.025, 0.026, 0.023, 0.021, 0.019, 0.014)
HIP, WAIST = 0.485, 0.385


@dataclasses.dataclass(frozen=True)
class Limb:
    """An arm or a leg.

    Attributes:
        side: LEFT or RIGHT, as the viewer sees it.
        joints: (3, 2) pixels: shoulder, elbow and wrist, or hip, knee and ankle.
        half_widths: in pixels, at equal distances from the first joint to the last.
        unit: pixels in one height of the figure.
    """

    side: int
    joints: Points
    half_widths: tuple[float, ...]
    unit: float

    def part(self, start: float, end: float, ease: float = 0.0, flare: float = 0.0) -> Points:
        """The outline of a part of the limb, or of a sleeve or leg of a garment around it.

        Args:
            start: where it begins, as a fraction of the length of the limb.
            end: where it ends.
            ease: how much wider than the limb it is, in heights.
            flare: how much wider still at its end, in heights.

        Returns:
            (N, 2) float64 polygon in pixels.
        """
        count = len(self.half_widths)
        # A garment fits more closely at the joint with the trunk than further down.
        loose = [ease * min(1.0, 0.35 + 1.5 * k / (count - 1)) + flare * k / (count - 1) for k in range(count)]
        return tube(
            self.joints, [w + self.unit * more for w, more in zip(self.half_widths, loose, strict=True)], start, end
        )

    def cap(self, ease: float = 0.0) -> Points:
        """The outline of the round end at the first joint, a shoulder, (N, 2) pixels; `ease` as in `part`."""
        radius = self.half_widths[0] + self.unit * ease * 0.35
        return ellipse(self.joints[0], radius, radius)

    @property
    def end(self) -> Points:
        """The wrist or the ankle, (2,) pixels."""
        joint: Points = self.joints[-1]
        return joint

    @property
    def direction(self) -> Points:
        """The unit vector (2,) along the last bone."""
        bone: Points = self.joints[-1] - self.joints[-2]
        return bone / float(np.linalg.norm(bone))


@dataclasses.dataclass(frozen=True)
class Body:
    """A posed body on a canvas.

    Attributes:
        origin: (2,) pixels of the crown.
        unit: pixels in one height of the figure.
        lean: how far the soles are to the right of the crown, in heights.
        sway: how far the hips are to the right of the straight line from crown to soles, in heights.
        width: breadth of the body relative to the average.
        head_tilt: radians.
        front_leg: index of the leg that is painted last.
        arms: left and right as the viewer sees them.
        legs: left and right.
    """

    origin: Points
    unit: float
    lean: float
    sway: float
    width: float
    head_tilt: float
    front_leg: int
    arms: tuple[Limb, ...] = ()
    legs: tuple[Limb, ...] = ()

    def at(self, x: float, y: float) -> Points:
        """The pixel (2,) of a position on the body."""
        # The sway is largest at the hips and decreases above and below like a Gaussian.
        swing = self.sway * np.exp(-(((y - HIP) / 0.2) ** 2))
        return self.origin + self.unit * np.array([x * self.width + self.lean * y + swing, y])

    def outline(self, places: list[tuple[float, float]], rounds: int = 2) -> Points:
        """A rounded polygon.

        Args:
            places: corners, as positions on the body.
            rounds: how often each is cut, see `geometry.smooth`.

        Returns:
            (N, 2) float64 polygon in pixels.
        """
        return smooth([self.at(x, y) for x, y in places], rounds=rounds)

    def torso(
        self, top: float, bottom: float, ease: float = 0.0, flare: float = 0.0, across: tuple[float, float] = (-1, 1)
    ) -> Points:
        """The outline of a garment around the trunk, which may reach below the hips.

        Args:
            top: y of its upper edge.
            bottom: y of its hem.
            ease: how much wider than the body it is, in heights.
            flare: how much wider it gets for each height below the waist.
            across: the part of the breadth that it covers, from -1, the left outline, to 1, the right: (-1, -0.3) is
                the left front of an open coat.

        Returns:
            (N, 2) float64 polygon in pixels.
        """
        levels = np.linspace(top, bottom, 30)
        half = np.interp(levels, _TORSO_Y, _TORSO_HALF)
        # The ease is small at the neck and full below the shoulders; otherwise collars would be as wide as shoulders.
        half = half + ease * np.clip((levels - 0.155) / 0.03, 0.15, 1) + flare * np.clip(levels - WAIST, 0, None)
        left = [self.at(across[0] * h, y) for h, y in zip(half, levels, strict=True)]
        right = [self.at(across[1] * h, y) for h, y in zip(half, levels, strict=True)]
        hem = self.at(half[-1] * (across[0] + across[1]) / 2, bottom + 0.008)
        return np.array([*left, hem, *right[::-1]])


def sample(rng: np.random.Generator, size: tuple[int, int]) -> Body:
    """Draws a pose.

    Args:
        rng: the source of randomness.
        size: (height, width) of the canvas in pixels.

    Returns:
        A Body whose soles are near the lower edge of the canvas.
    """
    height, width = size
    unit = height * rng.uniform(0.85, 0.935)
    soles = height * rng.uniform(0.955, 0.975)
    origin = np.array([width * rng.uniform(0.42, 0.58), soles - unit])
    draft = Body(
        origin=origin,
        unit=unit,
        lean=rng.uniform(-0.02, 0.02),
        sway=rng.uniform(-0.014, 0.014),
        width=rng.uniform(0.95, 1.12),
        head_tilt=rng.uniform(-0.16, 0.16),
        front_leg=int(rng.integers(2)),
    )
    arms = _arm(draft, LEFT, rng), _arm(draft, RIGHT, rng)
    legs = _leg(draft, LEFT, rng), _leg(draft, RIGHT, rng)
    return dataclasses.replace(draft, arms=arms, legs=legs)


def _arm(body: Body, side: int, rng: np.random.Generator) -> Limb:
    pose = rng.choice(['down', 'hip', 'bent'], p=[0.66, 0.2, 0.14])
    upper, lower = {
        'down': (rng.uniform(7, 17), rng.uniform(-7, 10)),
        'hip': (rng.uniform(30, 42), rng.uniform(-55, -40)),
        'bent': (rng.uniform(10, 18), rng.uniform(-112, -92)),
    }[str(pose)]
    shoulder = body.at(side * 0.076, 0.196)
    elbow = shoulder + 0.170 * body.unit * _heading(upper, side)
    wrist = elbow + 0.150 * body.unit * _heading(lower, side)
    return Limb(side, np.array([shoulder, elbow, wrist]), _scaled(_ARM_HALF, body.unit), body.unit)


def _leg(body: Body, side: int, rng: np.random.Generator) -> Limb:
    hip = body.at(side * 0.043, HIP)
    knee = hip + 0.245 * body.unit * _heading(rng.uniform(-1.0, 5.0), side)
    ankle = knee + 0.225 * body.unit * _heading(rng.uniform(-3.5, 3.0), side) * (1, rng.uniform(0.95, 1.0))
    return Limb(side, np.array([hip, knee, ankle]), _scaled(_LEG_HALF, body.unit), body.unit)


def _heading(degrees: float, side: int) -> Points:
    """The unit vector (2,) that points down, turned outwards by `degrees`."""
    return np.array([side * np.sin(np.deg2rad(degrees)), np.cos(np.deg2rad(degrees))])


def _scaled(half_widths: tuple[float, ...], unit: float) -> tuple[float, ...]:
    return tuple(w * unit for w in half_widths)
