"""One finished photo of a figure in a street, and its mask."""

import cv2
import numpy as np
from numpy.typing import NDArray

from seg_pipeline.synthetic import body, outfit, street
from seg_pipeline.synthetic.canvas import SCALE, Canvas


def draw(
    rng: np.random.Generator, ids: dict[str, int], size: tuple[int, int]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Draws a figure.

    Args:
        rng: the only source of randomness.
        ids: the id of each class name, 'null' (the background) among them.
        size: (height, width) in pixels.

    Returns:
        The photo, (height, width, 3) uint8 RGB, and the mask, (height, width) uint8 ids.
    """
    large = (size[0] * SCALE, size[1] * SCALE)
    behind = cv2.resize(street.draw(rng, size), large[::-1], interpolation=cv2.INTER_LINEAR)
    pose = body.sample(rng, large)
    canvas = Canvas(behind, ids, unit=pose.unit, light=float(rng.uniform(-1, 1)), rng=rng)
    outfit.Dresser(canvas, pose, outfit.sample(rng)).paint()
    photo, mask = canvas.finish()
    return _expose(photo, rng), mask


def _expose(photo: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Simulates a camera: exposure, white balance, vignetting, tone curve and noise; (H, W, 3) float32 to uint8."""
    height, width = photo.shape[:2]
    balance = 1 + rng.uniform(-0.06, 0.06) * np.array([1, 0, -1], np.float32)
    across = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    down = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    falloff = 1 - rng.uniform(0.04, 0.18) * (across**2 + down**2) / 2 + rng.uniform(-0.1, 0.1) * across
    # Light falls on the sensor first, so balance and vignetting multiply it; then comes the tone curve, a power; the
    # noise is added last, at its full strength in dark and light areas alike.
    lit = np.clip(photo / 255 * (rng.uniform(0.92, 1.22) * balance) * falloff[..., None], 0, 1)
    toned = 255 * lit ** rng.uniform(0.85, 1.15)
    grain = rng.standard_normal((height, width, 3)).astype(np.float32) * rng.uniform(1.0, 3.0)
    exposed: NDArray[np.uint8] = np.clip(np.rint(toned + grain), 0, 255).astype(np.uint8)
    return exposed
