"""What surfaces look like: a colour, a pattern, folds, grain and gloss."""

import dataclasses
from collections.abc import Callable

import cv2
import numpy as np

Color = tuple[int, int, int]


def noise(rng: np.random.Generator, shape: tuple[int, int], cells: tuple[int, int]) -> np.ndarray:
    """Smooth float32 noise of mean 0 and deviation near 1, `cells` (rows, columns) of it over `shape`."""
    coarse = rng.standard_normal((max(2, cells[0]), max(2, cells[1]))).astype(np.float32)
    return cv2.resize(coarse, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)


# A pattern says how much of the accent colour shows, 0..1, at places (x, y) measured in heights of the figure.
Pattern = Callable[[np.ndarray, np.ndarray, np.random.Generator], np.ndarray]


def _plain(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.zeros(np.broadcast_shapes(x.shape, y.shape), np.float32)


def _stripes(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return ((y * 46 + 0.4 * np.sin(x * 30)) % 1 < 0.45).astype(np.float32)


def _checks(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    across, down = ((x * 38) % 1 < 0.4).astype(np.float32), ((y * 38) % 1 < 0.4).astype(np.float32)
    return 0.5 * across + 0.5 * down


def _dots(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    row = np.floor(y * 40)
    across, down = (x * 40 + 0.5 * (row % 2)) % 1 - 0.5, (y * 40) % 1 - 0.5
    return (across**2 + down**2 < 0.075).astype(np.float32)


def _flowers(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    shape = np.broadcast_shapes(x.shape, y.shape)
    cells = (int(np.ptp(y) * 75) + 2, int(np.ptp(x) * 75) + 2)
    return (noise(rng, shape, cells) > 0.75).astype(np.float32)


def _twill(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    shape = np.broadcast_shapes(x.shape, y.shape)
    cells = (int(np.ptp(y) * 14) + 2, int(np.ptp(x) * 14) + 2)
    diagonal = 0.5 + 0.5 * np.sin((x + 0.6 * y) * 900)
    return np.clip(0.35 * diagonal + 0.25 * noise(rng, shape, cells), 0, 1).astype(np.float32)


def _knit(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    column = np.abs((x * 60) % 1 - 0.5)
    return (0.5 + 0.5 * np.sin((y * 60 + 1.4 * column) * 2 * np.pi) * (column * 1.6)).astype(np.float32)


def _cable(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return (np.sin(x * 260) > np.sin(y * 190 + np.sin(x * 130))).astype(np.float32) * 0.8


def _fur(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    shape = np.broadcast_shapes(x.shape, y.shape)
    cells = (int(np.ptp(y) * 110) + 2, int(np.ptp(x) * 240) + 2)
    return np.clip(0.4 + 0.4 * noise(rng, shape, cells), 0, 1)


def _pleats(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return ((x * 44 + 0.6 * np.sin(y * 9)) % 1).astype(np.float32) + 0 * y.astype(np.float32)


PATTERNS: dict[str, Pattern] = {
    'plain': _plain,
    'stripes': _stripes,
    'checks': _checks,
    'dots': _dots,
    'flowers': _flowers,
    'twill': _twill,
    'knit': _knit,
    'cable': _cable,
    'fur': _fur,
    'pleats': _pleats,
}


@dataclasses.dataclass(frozen=True)
class Material:
    """A surface.

    Attributes:
        color: RGB 0..255 of the ground.
        accent: RGB of the pattern; the ground's own colour, darker, where none is given.
        pattern: a key of PATTERNS.
        folds: strength of the soft vertical folds, as a share of the brightness.
        grain: deviation of the fine noise, in grey levels.
        gloss: how much the lit side shines, 0..1.
        sheer: how much of what lies beneath shines through, 0..1.
    """

    color: Color
    accent: Color | None = None
    pattern: str = 'plain'
    folds: float = 0.05
    grain: float = 3.0
    gloss: float = 0.0
    sheer: float = 0.0

    def render(self, x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Paints a patch.

        Args:
            x: (1, W) places across, in heights of the figure.
            y: (H, 1) places down.
            rng: drawn from for folds and grain.

        Returns:
            (H, W, 3) float32 RGB, not clipped.
        """
        shape = (y.shape[0], x.shape[1])
        ground = np.asarray(self.color, np.float32)
        accent = ground * 0.72 if self.accent is None else np.asarray(self.accent, np.float32)
        share = PATTERNS[self.pattern](x, y, rng)[..., None]
        patch = ground + share * (accent - ground)
        cells = (int(np.ptp(y) * 9) + 2, int(np.ptp(x) * 34) + 2)
        patch = patch * (1 + self.folds * noise(rng, shape, cells)[..., None])
        return patch + self.grain * rng.standard_normal(shape).astype(np.float32)[..., None]
