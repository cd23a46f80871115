"""Mask: which pixels of one image something covers.

A mask *is* a boolean array (H, W). It is kept as packed bits of its bounding box, so that the
masks of a long clip cost little; COCO RLE and polygons are encodings made on demand.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from deixis.errors import DataError, ShapeError


class Mask:
    """A set of pixels of one image (H, W); immutable, equal by pixels.

    Raises:
        ShapeError: the array has not two axes, or is empty.
        DataError: the array is not boolean.
    """

    __slots__ = ("__dict__", "_bits", "_window", "size")

    def __init__(self, pixels: np.ndarray) -> None:
        pixels = np.asarray(pixels)
        if pixels.ndim != 2 or 0 in pixels.shape:
            raise ShapeError(f"mask: expected an array (H, W), got shape {pixels.shape}.")
        if pixels.dtype != np.bool_:
            raise DataError(
                f"mask: expected booleans, got {pixels.dtype}. "
                f"Compare first, for example mask > 0."
            )
        self.size = (int(pixels.shape[0]), int(pixels.shape[1]))  # (height, width)
        rows = np.flatnonzero(pixels.any(1))
        if rows.size:
            columns = np.flatnonzero(pixels[rows[0] : rows[-1] + 1].any(0))
            window = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
        else:
            window = (0, 0, 0, 0)
        self._window = window
        x0, y0, x1, y1 = window
        self._bits = np.packbits(pixels[y0:y1, x0:x1])

    @classmethod
    def empty(cls, size: tuple[int, int]) -> Mask:
        """Return a mask of no pixel, of the given (height, width)."""
        return cls(np.zeros(size, dtype=bool))

    @property
    def pixels(self) -> np.ndarray:
        """A fresh boolean array (H, W)."""
        pixels = np.zeros(self.size, dtype=bool)
        x0, y0, x1, y1 = self._window
        pixels[y0:y1, x0:x1] = self._inside()
        return pixels

    @cached_property
    def area(self) -> int:
        """Number of pixels."""
        return int(np.bitwise_count(self._bits).sum())

    @property
    def box(self) -> tuple[int, int, int, int] | None:
        """Half-open corners (x0, y0, x1, y1) of the smallest box around it; None if empty."""
        return self._window if self.area else None

    def intersection(self, other: Mask) -> int:
        """Return how many pixels both masks cover.

        Raises:
            ShapeError: the masks belong to images of different sizes.
        """
        if self.size != other.size:
            raise ShapeError(f"masks: expected one size, got {self.size} and {other.size}.")
        a, b = self._window, other._window
        if a == b:
            return int(np.bitwise_count(self._bits & other._bits).sum())
        x0, y0, x1, y1 = max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])
        if x0 >= x1 or y0 >= y1:
            return 0
        ours = self._inside()[y0 - a[1] : y1 - a[1], x0 - a[0] : x1 - a[0]]
        theirs = other._inside()[y0 - b[1] : y1 - b[1], x0 - b[0] : x1 - b[0]]
        return int(np.count_nonzero(ours & theirs))

    def union(self, other: Mask) -> int:
        """Return how many pixels at least one of the masks covers."""
        return self.area + other.area - self.intersection(other)

    def joined(self, other: Mask) -> Mask:
        """Return the mask of the pixels that at least one of the masks covers."""
        if self.size != other.size:
            raise ShapeError(f"masks: expected one size, got {self.size} and {other.size}.")
        return Mask(self.pixels | other.pixels)

    def _inside(self) -> np.ndarray:
        """Pixels of the bounding box."""
        x0, y0, x1, y1 = self._window
        height, width = y1 - y0, x1 - x0
        bits = np.unpackbits(self._bits, count=height * width)
        return bits.view(bool).reshape(height, width)

    # -- encodings -------------------------------------------------------------------------

    def to_rle(self) -> dict[str, object]:
        """Return COCO's compressed RLE: {"size": [H, W], "counts": text}."""
        from pycocotools import mask as coco

        encoded = coco.encode(np.asfortranarray(self.pixels, dtype=np.uint8))
        return {"size": list(self.size), "counts": encoded["counts"].decode("ascii")}

    # from_rle, from_polygons, to_polygons: see below

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Mask):
            return NotImplemented
        return (
            self.size == other.size
            and self._window == other._window
            and np.array_equal(self._bits, other._bits)
        )

    def __hash__(self) -> int:
        return hash((self.size, self._window, self._bits.tobytes()))

    def __repr__(self) -> str:
        return f"Mask(size={self.size}, area={self.area}, box={self.box})"


def _check_polygons(polygons: Sequence[Sequence[float]]) -> None:
    for polygon in polygons:
        if len(polygon) < 6 or len(polygon) % 2:
            raise DataError(
                f"polygon: expected x, y pairs of at least 3 corners, got {len(polygon)} numbers."
            )
