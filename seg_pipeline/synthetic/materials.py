"""Surfaces: a colour, a pattern, folds, grain and gloss."""

import dataclasses
from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from seg_pipeline.labels.label_map import Color

_Field = NDArray[np.float32]  # values at (H, W) positions, or the positions across (1, W) or down (H, 1)


def noise(rng: np.random.Generator, shape: tuple[int, int], cells: tuple[int, int]) -> _Field:
    """Draws smooth noise.

    Args:
        rng: the source of randomness.
        shape: (H, W) of the result.
        cells: (rows, columns) of independent values that it is interpolated from: more of them make it finer.

    Returns:
        (H, W) float32 of mean 0 and a standard deviation of about 1.
    """
    # Value noise: a coarse grid of random numbers, enlarged by cubic interpolation. Unlike a blur of fine noise, its
    # cost and its contrast do not depend on how coarse it is.
    coarse = rng.standard_normal((max(2, cells[0]), max(2, cells[1]))).astype(np.float32)
    enlarged: _Field = cv2.resize(coarse, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)
    return enlarged


def mixed(first: Color, second: Color, fraction: float) -> Color:
    """The colour at `fraction` (0..1) of the way from the first to the second."""
    red, green, blue = (round(a + fraction * (b - a)) for a, b in zip(first, second, strict=True))
    return red, green, blue


def darkened(color: Color, fraction: float = 0.62) -> Color:
    """The colour with `fraction` (0..1) of its brightness."""
    return mixed((0, 0, 0), color, fraction)


def _noise_at(x: _Field, y: _Field, rng: np.random.Generator, *, down: float, across: float) -> _Field:
    """Noise at positions x (1, W) and y (H, 1), with `down` and `across` cells in one height of the figure: (H, W)."""
    return noise(rng, (y.shape[0], x.shape[1]), (int(np.ptp(y) * down) + 2, int(np.ptp(x) * across) + 2))


# The fraction of the accent colour, 0..1, at positions x (1, W) and y (H, 1) in heights of the figure: (H, W) float32.
# Positions are relative to the figure, not to pixels, so that a pattern has the same size in pictures of any size.
Pattern = Callable[[_Field, _Field, np.random.Generator], _Field]


def _plain(x: _Field, y: _Field, rng: np.random.Generator) -> _Field:
    return np.zeros(np.broadcast_shapes(x.shape, y.shape), np.float32)


def _stripes(x: _Field, y: _Field, rng: np.random.Generator) -> _Field:
    return ((y * 46 + 0.4 * np.sin(x * 30)) % 1 < 0.45).astype(np.float32)


def _checks(x: _Field, y: _Field, rng: np.random.Generator) -> _Field:
    across, down = ((x * 38) % 1 < 0.4).astype(np.float32), ((y * 38) % 1 < 0.4).astype(np.float32)
    return 0.5 * across + 0.5 * down


def _dots(x: _Field, y: _Field, rng: np.random.Generator) -> _Field:
    row = np.floor(y * 40)
    across, down = (x * 40 + 0.5 * (row % 2)) % 1 - 0.5, (y * 40) % 1 - 0.5
    return (across**2 + down**2 < 0.075).astype(np.float32)


def _flowers(x: _Field, y: _Field, rng: np.random.Generator) -> _Field:
    return (_noise_at(x, y, rng, down=75, across=75) > 0.75).astype(np.float32)


def _twill(x: _Field, y: _Field, rng: np.random.Generator) -> _Field:
    diagonal = 0.5 + 0.5 * np.sin((x + 0.6 * y) * 900)
    woven: _Field = np.clip(0.35 * diagonal + 0.25 * _noise_at(x, y, rng, down=14, across=14), 0, 1).astype(np.float32)
    return woven


def _knit(x: _Field, y: _Field, rng: np.random.Generator) -> _Field:
    column = np.abs((x * 60) % 1 - 0.5)
    stitches: _Field = 0.5 + 0.5 * np.sin((y * 60 + 1.4 * column) * 2 * np.pi) * (column * 1.6)
    return stitches.astype(np.float32)


def _cable(x: _Field, y: _Field, rng: np.random.Generator) -> _Field:
    return (np.sin(x * 260) > np.sin(y * 190 + np.sin(x * 130))).astype(np.float32) * 0.8


def _fur(x: _Field, y: _Field, rng: np.random.Generator) -> _Field:
    hairs: _Field = np.clip(0.4 + 0.4 * _noise_at(x, y, rng, down=110, across=240), 0, 1)
    return hairs


def _pleats(x: _Field, y: _Field, rng: np.random.Generator) -> _Field:
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
        accent: RGB of the pattern; by default the colour of the ground, darker.
        pattern: a key of PATTERNS.
        folds: strength of the soft vertical folds, as a fraction of the brightness.
        grain: deviation of the fine noise, in grey levels.
        gloss: strength of the highlight on the lit side, 0..1.
        sheer: transparency: the fraction of what is beneath, 0..1.
    """

    color: Color
    accent: Color | None = None
    pattern: str = 'plain'
    folds: float = 0.05
    grain: float = 3.0
    gloss: float = 0.0
    sheer: float = 0.0

    def render(self, x: NDArray[np.float32], y: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
        """Paints a patch.

        Args:
            x: (1, W) float32 positions across, in heights of the figure.
            y: (H, 1) float32 positions down.
            rng: the source of randomness, for pattern, folds and grain.

        Returns:
            (H, W, 3) float32 RGB, not clipped.
        """
        ground = np.asarray(self.color, np.float32)
        accent = ground * 0.72 if self.accent is None else np.asarray(self.accent, np.float32)
        fraction = PATTERNS[self.pattern](x, y, rng)[..., None]
        patch = ground + fraction * (accent - ground)
        # About four times as many cells across as down: folds are long and hang vertically.
        patch = patch * (1 + self.folds * _noise_at(x, y, rng, down=9, across=34)[..., None])
        grain = rng.standard_normal((y.shape[0], x.shape[1])).astype(np.float32)
        return patch + self.grain * grain[..., None]
