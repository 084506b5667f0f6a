"""Backgrounds: a street, a wall or a park, out of focus behind the figure.

Each function paints on `photo`, whose part above the row `horizon` is upright and whose part below it is the ground.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from seg_pipeline.synthetic.materials import noise

_Photo = NDArray[np.float32]  # (H, W, 3) RGB, 0..255
_Rgb = NDArray[np.float32]  # (3,) RGB, 0..255; not clipped


def draw(rng: np.random.Generator, size: tuple[int, int]) -> NDArray[np.float32]:
    """Draws a background.

    Args:
        rng: the source of randomness.
        size: (height, width) in pixels.

    Returns:
        (height, width, 3) float32 RGB 0..255.
    """
    photo: _Photo = np.zeros((*size, 3), np.float32)
    horizon = round(size[0] * rng.uniform(0.50, 0.74))
    scene = str(rng.choice(['avenue', 'wall', 'park'], p=[0.42, 0.38, 0.2]))
    {'avenue': _avenue, 'wall': _wall, 'park': _park}[scene](photo, horizon, rng)
    _pavement(photo, horizon, rng)
    for _ in range(int(rng.integers(0, 4)) if scene != 'wall' else int(rng.integers(0, 2))):
        _passer_by(photo, horizon, rng)
    if scene == 'avenue' and rng.random() < 0.6:
        _car(photo, horizon, rng)
    # Blurred as by a wide aperture. The figure, painted later, stays sharp.
    focus = rng.uniform(0.003, 0.008) * size[1]
    photo = cv2.GaussianBlur(photo, (0, 0), focus)
    return photo + 2.5 * noise(rng, size, (60, 40))[..., None]


def _gradient(photo: _Photo, top: int, bottom: int, first: _Rgb, last: _Rgb) -> None:
    """Fills the rows from top to bottom with colours from first to last."""
    fraction = np.linspace(0, 1, max(1, bottom - top), dtype=np.float32)[:, None, None]
    photo[top:bottom] = first + fraction * (last - first)


def _grey(rng: np.random.Generator, low: float, high: float, tint: float = 12) -> _Rgb:
    """A grey between low and high, shifted to red or to blue by up to `tint` levels."""
    warm = rng.uniform(-tint, tint)
    return (rng.uniform(low, high) + np.array([warm, 0.2 * warm, -warm])).astype(np.float32)


def _scalar(color: _Rgb) -> tuple[float, ...]:
    """A colour in the form that OpenCV takes: Python floats."""
    return tuple(float(channel) for channel in color)


def _rectangle(photo: _Photo, box: tuple[float, float, float, float], color: _Rgb) -> None:
    """Fills (left, top, right, bottom)."""
    corners = [(round(box[0]), round(box[1])), (round(box[2]), round(box[3]))]
    cv2.rectangle(photo, corners[0], corners[1], _scalar(color), -1)


def _polygon(photo: _Photo, points: list[tuple[float, float]], color: _Rgb) -> None:
    cv2.fillPoly(photo, [np.rint(points).astype(np.int32)], _scalar(color), cv2.LINE_AA)


def _avenue(photo: _Photo, horizon: int, rng: np.random.Generator) -> None:
    """A sky between two rows of houses that run towards a vanishing point."""
    width = photo.shape[1]
    zenith = np.array([150, 186, 226], np.float32) + rng.uniform(-25, 25)
    _gradient(photo, 0, horizon, zenith, np.array([228, 232, 234], np.float32))
    # The houses of each side get smaller towards the vanishing point, at these fractions of its distance from the edge.
    vanishing = width * rng.uniform(0.35, 0.65)
    for side in (-1, 1):
        edge = 0 if side < 0 else width
        for near, far in ((1.0, 0.62), (0.62, 0.36), (0.36, 0.16)):
            _house(
                photo, horizon, (vanishing + (edge - vanishing) * near, vanishing + (edge - vanishing) * far), near, rng
            )
    if rng.random() < 0.6:
        _tree(photo, float(rng.uniform(0, width)), horizon, rng)


def _house(photo: _Photo, horizon: int, x: tuple[float, float], near: float, rng: np.random.Generator) -> None:
    near_top, far_top = horizon * (1 - 1.2 * near * rng.uniform(0.8, 1.1)), horizon * (1 - 0.95 * near)
    wall = _grey(rng, 110, 205, 26)
    _polygon(photo, [(x[0], near_top), (x[1], far_top), (x[1], horizon), (x[0], horizon)], wall)
    # A window's corners are interpolated between the wall's edges, so that rows of windows run to the vanishing point.
    glass = _grey(rng, 55, 100, 10) + np.array([-8, 0, 12], np.float32)
    rows, columns = int(rng.integers(4, 7)), int(rng.integers(2, 5))
    for row in range(rows):
        for column in range(columns):
            left, right = ((column + k) / columns for k in (0.25, 0.72))
            xs = [x[0] + (x[1] - x[0]) * k for k in (left, right)]
            tops = [near_top + (far_top - near_top) * k for k in (left, right)]
            ys = [[t + (horizon - t) * (row + k) / rows for k in (0.2, 0.75)] for t in tops]
            pane = glass * rng.uniform(0.8, 1.25)
            _polygon(photo, [(xs[0], ys[0][0]), (xs[1], ys[1][0]), (xs[1], ys[1][1]), (xs[0], ys[0][1])], pane)


def _wall(photo: _Photo, horizon: int, rng: np.random.Generator) -> None:
    """A wall close behind the figure: bricks, panels or a shutter, sometimes with a door or a poster."""
    height = photo.shape[0]
    style = str(rng.choice(['bricks', 'panels', 'shutter']))
    ground = _grey(rng, 120, 205, 14)
    if style == 'bricks':
        ground = np.array([156, 92, 74], np.float32) * rng.uniform(0.75, 1.2)
    _gradient(photo, 0, horizon, ground * 1.05, ground * 0.9)
    joint = ground * rng.choice([0.8, 1.2])
    if style == 'shutter':
        for y in range(0, horizon, max(4, height // 60)):
            photo[y : y + max(1, height // 240), :] = joint
    else:
        course = height / (46 if style == 'bricks' else rng.integers(5, 9))
        length = course * (2.6 if style == 'bricks' else rng.uniform(0.9, 1.6))
        _courses(photo, horizon, rng, course=course, length=length, joint=joint)
    if rng.random() < 0.5:
        _opening(photo, horizon, rng)


def _courses(
    photo: _Photo,
    horizon: int,
    rng: np.random.Generator,
    *,
    course: float,
    length: float,
    joint: _Rgb,
) -> None:
    width = photo.shape[1]
    pen = max(1, round(course / 14))
    for row in range(int(horizon / course) + 1):
        top, bottom = round(row * course), min(horizon, round((row + 1) * course))
        offset = (row % 2) * length / 2
        for column in range(-1, int(width / length) + 2):
            left = round(column * length + offset)
            photo[top:bottom, max(0, left) : max(0, round(left + length))] *= rng.uniform(0.93, 1.07)
            photo[top:bottom, max(0, left) : max(0, left + pen)] = joint
        photo[top : top + pen] = joint


def _opening(photo: _Photo, horizon: int, rng: np.random.Generator) -> None:
    """A door down to the ground, or a poster or window in the wall."""
    width = photo.shape[1]
    breadth = width * rng.uniform(0.22, 0.42)
    left = rng.choice([rng.uniform(-0.1, 0.15) * width, width - breadth * rng.uniform(0.6, 1.1)])
    top, bottom = horizon * rng.uniform(0.1, 0.4), horizon * rng.choice([0.75, 1.0])
    color = rng.uniform(40, 190, 3).astype(np.float32) * 0.5 + 50
    _rectangle(photo, (left - 4, top - 4, left + breadth + 4, bottom), color * 0.6)
    _rectangle(photo, (left, top, left + breadth, bottom), color)
    for k in (0.12, 0.56):
        panel = (
            left + breadth * k,
            top + (bottom - top) * 0.1,
            left + breadth * (k + 0.32),
            top + (bottom - top) * 0.6,
        )
        _rectangle(photo, panel, color * rng.uniform(0.7, 1.3))


def _park(photo: _Photo, horizon: int, rng: np.random.Generator) -> None:
    """Bushes and trees under a bright sky."""
    width = photo.shape[1]
    _gradient(photo, 0, horizon, np.array([176, 202, 228], np.float32), np.array([226, 230, 222], np.float32))
    green = np.array([88, 116, 66], np.float32) * rng.uniform(0.75, 1.2)
    _rectangle(photo, (0, horizon * 0.72, width, horizon), green * 0.8)
    for x in np.linspace(-0.05, 1.05, int(rng.integers(5, 8))):
        _tree(photo, float((x + rng.uniform(-0.05, 0.05)) * width), horizon, rng)


def _tree(photo: _Photo, x: float, horizon: int, rng: np.random.Generator) -> None:
    width = photo.shape[1]
    top, spread = horizon * rng.uniform(0.15, 0.55), width * rng.uniform(0.10, 0.2)
    trunk = np.array([84, 66, 52], np.float32) * rng.uniform(0.7, 1.2)
    _rectangle(photo, (x - width * 0.012, top, x + width * 0.012, horizon), trunk)
    green = np.array([84, 112, 58], np.float32) * rng.uniform(0.7, 1.2)
    for _ in range(45):
        centre = (
            round(x + np.clip(rng.normal() * 0.6, -0.9, 0.9) * spread),
            round(top + np.clip(rng.normal() * 0.6, -0.9, 0.9) * spread),
        )
        leaf = _scalar(green * rng.uniform(0.7, 1.35))
        cv2.circle(photo, centre, round(spread * rng.uniform(0.15, 0.32)), leaf, -1)


def _pavement(photo: _Photo, horizon: int, rng: np.random.Generator) -> None:
    """The ground: asphalt or slabs whose joints run towards the horizon."""
    height, width = photo.shape[:2]
    ground = _grey(rng, 105, 190, 14)
    _gradient(photo, horizon, height, ground * 0.9, ground * 1.05)
    photo[horizon:] += 7 * noise(rng, (height - horizon, width), (26, 26))[..., None]
    _rectangle(photo, (0, horizon, width, horizon + height * 0.012), ground * 0.72)
    if rng.random() < 0.65:
        joint, vanishing = ground * 0.8, width * rng.uniform(0.3, 0.7)
        pen = max(1, width // 200)
        for k in np.linspace(-2, 3, int(rng.integers(9, 15))):
            ends = ((round(vanishing + (k * width - vanishing) * 0.35), horizon), (round(k * width), height))
            cv2.line(photo, ends[0], ends[1], _scalar(joint), pen, cv2.LINE_AA)
        # Squares, because in perspective equal distances on the ground get shorter towards the horizon.
        for k in np.linspace(0.25, 1, 5) ** 2:
            y = round(horizon + (height - horizon) * k)
            cv2.line(photo, (0, y), (width, y), _scalar(joint), pen)


def _passer_by(photo: _Photo, horizon: int, rng: np.random.Generator) -> None:
    """A person far away, who is part of the background: the mask has class 0 there."""
    height, width = photo.shape[:2]
    tall = height * rng.uniform(0.12, 0.26)
    feet = horizon + 0.25 * tall
    x = float(rng.choice([rng.uniform(0.02, 0.25), rng.uniform(0.75, 0.98)])) * width
    coat, trousers = (rng.uniform(30, 170, 3).astype(np.float32) for _ in range(2))
    for side in (-1, 1):
        _rectangle(
            photo,
            (x + side * tall * 0.05 - tall * 0.04, feet - tall * 0.5, x + side * tall * 0.05 + tall * 0.04, feet),
            trousers,
        )
    cv2.ellipse(
        photo,
        (round(x), round(feet - tall * 0.62)),
        (round(tall * 0.13), round(tall * 0.24)),
        0,
        0,
        360,
        _scalar(coat),
        -1,
    )
    cv2.circle(photo, (round(x), round(feet - tall * 0.92)), round(tall * 0.07), (176.0, 140.0, 116.0), -1)


def _car(photo: _Photo, horizon: int, rng: np.random.Generator) -> None:
    height, width = photo.shape[:2]
    length, tall = width * rng.uniform(0.45, 0.7), height * rng.uniform(0.10, 0.15)
    left = float(rng.choice([-0.3 * length, width - 0.7 * length]))
    base = horizon + height * 0.03
    paint = rng.choice(
        np.array([[206, 170, 40], [150, 40, 44], [60, 64, 72], [200, 204, 208], [60, 84, 130]], np.float32)
    )
    roof = [(0.2, 0.5), (0.32, 1.0), (0.72, 1.0), (0.88, 0.5)]
    _polygon(photo, [(left + length * x, base - tall * y) for x, y in roof], paint * 0.85)
    _polygon(
        photo, [(left + length * (0.1 + 0.8 * x), base - tall * (0.5 + (y - 0.5) * 0.8)) for x, y in roof], paint * 0.35
    )
    _rectangle(photo, (left, base - tall * 0.58, left + length, base - tall * 0.1), paint)
    for x in (0.2, 0.8):
        cv2.circle(
            photo, (round(left + length * x), round(base - tall * 0.1)), round(tall * 0.2), (34.0, 34.0, 36.0), -1
        )
