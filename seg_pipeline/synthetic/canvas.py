"""A photo and its mask, painted together: each labelled shape covers the same pixels of both."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from seg_pipeline.labels.label_map import Color
from seg_pipeline.synthetic.geometry import Points
from seg_pipeline.synthetic.materials import Material

# The photo is painted at twice its size and averaged down, so that edges are smooth as in a real photo. Of the mask,
# every second pixel is taken: a mean of two class ids would be the id of a third class.
SCALE = 2


class Canvas:
    """A photo and a mask of the same size, both painted on.

    Attributes:
        photo: (H, W, 3) float32 RGB, 0..255, at SCALE times the final size.
        mask: (H, W) uint8 class ids.
        unit: pixels in one height of the figure.
        light: the direction of the light, from -1 (left) to 1 (right).
        rng: the source of randomness.
    """

    def __init__(
        self, photo: NDArray[np.float32], ids: dict[str, int], unit: float, light: float, rng: np.random.Generator
    ) -> None:
        """Starts with a background.

        Args:
            photo: (H, W, 3) float32 RGB, 0..255, the background, at SCALE times the final size.
            ids: the id of each class name, 'null' (the background) among them.
            unit: pixels in one height of the figure.
            light: the direction of the light, from -1 (left) to 1 (right).
            rng: the source of randomness.
        """
        self.photo = photo.astype(np.float32)
        self.mask: NDArray[np.uint8] = np.zeros(photo.shape[:2], np.uint8)
        self.unit = unit
        self.light = light
        self.rng = rng
        self._ids = ids

    def paint(self, outlines: Sequence[Points], label: str, material: Material, shade: float = 0.3) -> None:
        """Fills the union of outlines with a material and its class.

        Args:
            outlines: (N, 2) float polygons in pixels; parts outside the canvas are cut off.
            label: the class name, 'null' for what belongs to the background.
            material: the surface.
            shade: how much darker the surface gets towards its outline, 0..1.
        """
        # All work is done in the bounding box of the shape: most shapes are a small part of the canvas.
        box = self._box(outlines)
        if box is None:
            return
        top, left, bottom, right = box
        cover = np.zeros((bottom - top, right - left), np.uint8)
        # One call for each outline: a single call fills by the even-odd rule, and leaves out what is in two of them.
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

    def line(self, points: ArrayLike, color: Color, width: float, alpha: float) -> None:
        """Draws a seam or an edge on the photo; the mask stays as it is.

        Args:
            points: (N, 2) pixels along the line.
            color: RGB 0..255.
            width: in pixels.
            alpha: opacity, 0..1.
        """
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

    def shadow(self, outline: Points, strength: float, blur: float) -> None:
        """Darkens the photo within a blurred outline; the mask stays as it is.

        Args:
            outline: (N, 2) float polygon in pixels.
            strength: how much darker it gets, 0..1.
            blur: standard deviation in pixels.
        """
        cover: NDArray[np.float32] = np.zeros(self.mask.shape, np.float32)
        cv2.fillPoly(cover, [np.rint(outline).astype(np.int32)], 1.0)
        self.photo *= 1 - strength * cv2.GaussianBlur(cover, (0, 0), blur)[..., None]

    def finish(self) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Brings both to the final size.

        Returns:
            The photo, (H / SCALE, W / SCALE, 3) float32, and the mask of that size, uint8.
        """
        height, width = self.mask.shape
        photo = cv2.resize(self.photo, (width // SCALE, height // SCALE), interpolation=cv2.INTER_AREA)
        return photo, np.ascontiguousarray(self.mask[SCALE // 2 :: SCALE, SCALE // 2 :: SCALE])

    def _box(self, outlines: Sequence[Points], margin: int = 8) -> tuple[int, int, int, int] | None:
        """(top, left, bottom, right) of the box around outlines, cut to the canvas; None if they are outside of it."""
        points = np.concatenate(outlines)
        height, width = self.mask.shape
        left, top = (max(0, int(low) - margin) for low in points.min(axis=0))
        right, bottom = (int(high) + margin + 2 for high in points.max(axis=0))
        right, bottom = min(right, width), min(bottom, height)
        return (top, left, bottom, right) if left < right and top < bottom else None

    def _contact_shadow(self, area: NDArray[np.float32], cover: NDArray[np.uint8]) -> None:
        """Darkens what is beneath a shape and close to its outline, as ambient occlusion does."""
        spread = cv2.GaussianBlur(cover.astype(np.float32), (0, 0), max(1.0, 0.006 * self.unit))
        area *= 1 - 0.3 * spread[..., None]

    def _relief(self, cover: NDArray[np.uint8], shade: float, gloss: float) -> NDArray[np.float32]:
        """The brightness of a rounded body: darker towards the outline, and brighter on the side of the light.

        Args:
            cover: (h, w) uint8, 1 inside of the shape.
            shade: how much darker it gets towards the outline, 0..1.
            gloss: strength of the highlight, 0..1.

        Returns:
            (h, w) float32, around 1.
        """
        # Shading from an invented height: the square root of the distance to the outline rises steeply at the edge and
        # is flat inside, like the cross-section of a limb. Its horizontal derivative is the slope towards the light
        # (Lambert's cosine law, for light from the side and small slopes).
        depth = cv2.distanceTransform(cover, cv2.DIST_L2, 5)
        height = np.sqrt(np.clip(depth / (0.03 * self.unit), 0, 1))
        smooth = cv2.GaussianBlur(height, (0, 0), max(1.0, 0.004 * self.unit))
        slope = cv2.Sobel(smooth, cv2.CV_32F, 1, 0, ksize=3, scale=1 / 8) * (0.02 * self.unit)
        lit = -self.light * slope
        relief: NDArray[np.float32] = 1 - shade * (1 - smooth) + 1.6 * shade * lit + gloss * np.clip(lit, 0, 0.35)
        return relief
