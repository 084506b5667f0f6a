"""Outlines: smooth curves, tapered tubes and ellipses as polygons of float (x, y) points."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Points = NDArray[np.float64]  # (N, 2) or (2,), each (x, y) in pixels from the top left corner


def smooth(points: ArrayLike, closed: bool = True, rounds: int = 3) -> Points:
    """Rounds a polygon or an open line by cutting its corners.

    Args:
        points: (N, 2) corners.
        closed: whether the last point joins the first; an open line keeps its two ends.
        rounds: how often each corner is cut; each round doubles the points.

    Returns:
        (about N * 2**rounds, 2) float64 points.
    """
    # Chaikin, "An Algorithm for High-Speed Curve Generation", 1974: each edge is replaced by its points at 1/4 and 3/4;
    # the limit is a quadratic B-spline.
    line = np.asarray(points, np.float64)
    for _ in range(rounds):
        following = np.roll(line, -1, axis=0) if closed else line[1:]
        current = line if closed else line[:-1]
        cut = np.stack([0.75 * current + 0.25 * following, 0.25 * current + 0.75 * following], axis=1).reshape(-1, 2)
        line = cut if closed else np.concatenate([line[:1], cut, line[-1:]])
    return line


def tube(
    path: ArrayLike,
    half_widths: Sequence[float],
    start: float = 0.0,
    end: float = 1.0,
    samples: int = 28,
) -> Points:
    """The outline of a tapered tube around a bent path: a limb, a sleeve, a strap.

    Args:
        path: (N, 2) points of the centre line, whose corners are rounded.
        half_widths: half widths in pixels at equal distances along the path, from its first point to its last.
        start: where the tube begins, as a fraction of the path's length.
        end: where it ends, as a fraction.
        samples: points on each side.

    Returns:
        (2 * samples, 2) float64 polygon.
    """
    # The path is sampled at equal distances along its length, not along its points, which are denser in bends; then
    # each sample is moved to both sides at right angles to the path.
    line = smooth(path, closed=False, rounds=3)
    lengths = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
    place = np.linspace(start, end, samples)
    centre = np.stack([np.interp(place * lengths[-1], lengths, line[:, axis]) for axis in (0, 1)], axis=1)
    tangent = np.gradient(centre, axis=0)
    normal = np.stack([-tangent[:, 1], tangent[:, 0]], axis=1)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    widths = np.interp(place, np.linspace(0, 1, len(half_widths)), half_widths)[:, None]
    return np.concatenate([centre + normal * widths, (centre - normal * widths)[::-1]])


def ellipse(centre: Points, radius_x: float, radius_y: float, angle: float = 0.0) -> Points:
    """The outline of an ellipse.

    Args:
        centre: (2,) pixels.
        radius_x: half of its width before it is turned, in pixels.
        radius_y: half of its height.
        angle: by which it is turned, in radians.

    Returns:
        (40, 2) float64 polygon.
    """
    turn = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    x, y = radius_x * np.cos(turn), radius_y * np.sin(turn)
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.stack([centre[0] + cosine * x - sine * y, centre[1] + sine * x + cosine * y], axis=1)
