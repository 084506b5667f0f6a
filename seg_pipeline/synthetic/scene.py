"""One finished photo of a figure in a street, and its mask."""

import cv2
import numpy as np

from seg_pipeline.synthetic import body, outfit, street
from seg_pipeline.synthetic.canvas import SCALE, Canvas


def draw(rng: np.random.Generator, ids: dict[str, int], size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Draws a figure.

    Args:
        rng: all that is random comes from it.
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


def _expose(photo: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Light, white balance, vignette and the grain of the sensor: (H, W, 3) float32 to uint8."""
    height, width = photo.shape[:2]
    balance = 1 + rng.uniform(-0.06, 0.06) * np.array([1, 0, -1], np.float32)
    across = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    down = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    falloff = 1 - rng.uniform(0.04, 0.18) * (across**2 + down**2) / 2 + rng.uniform(-0.1, 0.1) * across
    lit = np.clip(photo / 255 * (rng.uniform(0.92, 1.22) * balance) * falloff[..., None], 0, 1)
    toned = 255 * lit ** rng.uniform(0.85, 1.15)
    grain = rng.standard_normal((height, width, 3)).astype(np.float32) * rng.uniform(1.0, 3.0)
    return np.clip(np.rint(toned + grain), 0, 255).astype(np.uint8)
