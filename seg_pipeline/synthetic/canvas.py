"""A photo and its mask, painted together: every stroke that is labelled lands on the same pixels of both."""

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from seg_pipeline.synthetic.materials import Color, Material

# The photo is painted at twice its size and averaged down, which softens its edges; the mask is picked, never averaged.
SCALE = 2


class Canvas:
    """A float32 photo and a uint8 mask of the same pixels.

    Attributes:
        photo: (H, W, 3) float32 RGB, 0..255, at SCALE times the final size.
        mask: (H, W) uint8 class ids.
        unit: pixels in one height of the figure.
        light: where the light comes from, -1 (left) to 1 (right).
    """

    def __init__(
        self, photo: np.ndarray, ids: dict[str, int], unit: float, light: float, rng: np.random.Generator
    ) -> None:
        self.photo = photo.astype(np.float32)
        self.mask: np.ndarray = np.zeros(photo.shape[:2], np.uint8)
        self.unit = unit
        self.light = light
        self.rng = rng
        self._ids = ids

    def paint(self, outlines: Sequence[np.ndarray], label: str, material: Material, shade: float = 0.3) -> None:
        """Fills the union of outlines with a material and its class.

        Args:
            outlines: (N, 2) float polygons in pixels; parts outside the canvas are cut off.
            label: the class name, 'null' for what belongs to the background.
            material: the surface.
            shade: how strongly the surface rounds off towards its outline, 0..1.
        """
        box = self._box(outlines)
        if box is None:
            return
        top, left, bottom, right = box
        cover = np.zeros((bottom - top, right - left), np.uint8)
        for outline in outlines:
            cv2.fillPoly(cover, [np.rint(outline - (left, top)).astype(np.int32)], 1)
        inside = cover.astype(bool)
        area = self.photo[top:bottom, left:right]
        self._contact_shadow(area, cover)
        x = np.arange(left, right, dtype=np.float32)[None, :] / self.unit
        y = np.arange(top, bottom, dtype=np.float32)[:, None] / self.unit
        patch = material.render(x, y, self.rng) * self._relief(cover, shade, material.gloss)[..., None]
        if material.sheer:
            patch = patch + material.sheer * (area - patch)
        area[inside] = patch[inside]
        self.mask[top:bottom, left:right][inside] = self._ids[label]

    def line(self, points: npt.ArrayLike, color: Color, width: float, alpha: float) -> None:
        """Draws a seam or an edge on the photo alone; the mask keeps its classes."""
        path = np.asarray(points, np.float64)
        box = self._box([path], margin=int(width) + 2)
        if box is None:
            return
        top, left, bottom, right = box
        area = self.photo[top:bottom, left:right]
        stroke = np.zeros(area.shape[:2], np.uint8)
        cv2.polylines(
            stroke, [np.rint(path - (left, top)).astype(np.int32)], False, 255, max(1, round(width)), cv2.LINE_AA
        )
        weight = (alpha / 255 * stroke.astype(np.float32))[..., None]
        area += weight * (np.asarray(color, np.float32) - area)

    def shadow(self, outline: np.ndarray, strength: float, blur: float) -> None:
        """Darkens the photo softly below an outline."""
        cover: np.ndarray = np.zeros(self.mask.shape, np.float32)
        cv2.fillPoly(cover, [np.rint(outline).astype(np.int32)], 1.0)
        self.photo *= 1 - strength * cv2.GaussianBlur(cover, (0, 0), blur)[..., None]

    def finish(self) -> tuple[np.ndarray, np.ndarray]:
        """The photo, (H / SCALE, W / SCALE, 3) float32, averaged down, and the mask of that size, uint8, picked."""
        height, width = self.mask.shape
        photo = cv2.resize(self.photo, (width // SCALE, height // SCALE), interpolation=cv2.INTER_AREA)
        return photo, np.ascontiguousarray(self.mask[SCALE // 2 :: SCALE, SCALE // 2 :: SCALE])

    def _box(self, outlines: Sequence[np.ndarray], margin: int = 8) -> tuple[int, int, int, int] | None:
        points = np.concatenate(outlines)
        height, width = self.mask.shape
        left, top = (max(0, int(low) - margin) for low in points.min(axis=0))
        right, bottom = (int(high) + margin + 2 for high in points.max(axis=0))
        right, bottom = min(right, width), min(bottom, height)
        return (top, left, bottom, right) if left < right and top < bottom else None

    def _contact_shadow(self, area: np.ndarray, cover: np.ndarray) -> None:
        spread = cv2.GaussianBlur(cover.astype(np.float32), (0, 0), max(1.0, 0.006 * self.unit))
        area *= 1 - 0.3 * spread[..., None]

    def _relief(self, cover: np.ndarray, shade: float, gloss: float) -> np.ndarray:
        """Brightness as of a rounded body: dark towards the outline, and brighter on the side of the light."""
        depth = cv2.distanceTransform(cover, cv2.DIST_L2, 5)
        height = np.sqrt(np.clip(depth / (0.03 * self.unit), 0, 1))
        smooth = cv2.GaussianBlur(height, (0, 0), max(1.0, 0.004 * self.unit))
        slope = cv2.Sobel(smooth, cv2.CV_32F, 1, 0, ksize=3, scale=1 / 8) * (0.02 * self.unit)
        lit = -self.light * slope
        return 1 - shade * (1 - smooth) + 1.6 * shade * lit + gloss * np.clip(lit, 0, 0.35)
