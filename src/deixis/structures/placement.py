"""How an image was resized and padded on its way into a model, and the way back."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True, slots=True)
class Placement:
    """An image of size ``original``, resized to ``resized`` and put at the left upper corner of
    ``canvas`` (all (height, width)). Coordinates are continuous: pixel i covers [i, i + 1).
    """

    original: tuple[int, int]
    resized: tuple[int, int]
    canvas: tuple[int, int]

    @classmethod
    def fit(cls, original: tuple[int, int], canvas: tuple[int, int]) -> "Placement":
        """Keep the aspect ratio and fill the canvas as far as that allows."""
        scale = min(canvas[0] / original[0], canvas[1] / original[1])
        height = min(canvas[0], max(1, round(original[0] * scale)))
        width = min(canvas[1], max(1, round(original[1] * scale)))
        return cls(original=original, resized=(height, width), canvas=canvas)

    @property
    def scale(self) -> tuple[float, float]:
        """Canvas pixels per original pixel, (x, y)."""
        return (self.resized[1] / self.original[1], self.resized[0] / self.original[0])

    def apply(self, points: np.ndarray) -> np.ndarray:
        """Map points (..., 2) as (x, y) from the original image to the canvas."""
        return np.asarray(points, dtype=np.float64) * self.scale

    def invert(self, points: np.ndarray) -> np.ndarray:
        """Map points (..., 2) as (x, y) from the canvas back to the original image."""
        return np.asarray(points, dtype=np.float64) / self.scale
