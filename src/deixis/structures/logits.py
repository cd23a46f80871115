"""MaskLogits: what a model drew before it was cut at 0, kept small, with the way to full size.

Some protocols score logits, not masks. At the model's own size they take a hundredth of the room.

Shapes: h w cells of what was drawn, H W pixels of the image.
"""

import base64
import binascii
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from deixis.errors import DataError

LARGEST = 2**28  # values that a file may ask for


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One bilinear resizing.

    Attributes:
        extent: (height, width) of the part of the source, from its corner, that is taken; it may
            end within a cell.
        size: (H, W) that this part becomes.
        cut: whether the source ends there; else cells behind the part shine in at its edge.
    """

    extent: tuple[float, float]
    size: tuple[int, int]
    cut: bool = False


@dataclass(frozen=True, kw_only=True, eq=False, slots=True)
class MaskLogits:
    """Logits of one mask: values (h, w) float32, and the steps to the pixels of the image."""

    values: np.ndarray
    steps: tuple[Step, ...]

    def whole(self) -> np.ndarray:
        """Return the logits (H, W) float32 of every pixel."""
        values = self.values
        for step in self.steps:
            values = _resized(values, step)
        return values

    def to_json(self) -> dict[str, Any]:
        """Return a document that `from_json` reads back to the bit."""
        packed = zlib.compress(np.ascontiguousarray(self.values, dtype="<f4").tobytes(), 1)
        return {
            "size": list(self.values.shape),
            "values": base64.b64encode(packed).decode("ascii"),
            "steps": [[*step.extent, *step.size, step.cut] for step in self.steps],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "MaskLogits":
        """Read what `to_json` wrote.

        Raises:
            DataError: it is something else.
        """
        try:
            height, width = data["size"]
            if not 0 < height * width <= LARGEST:
                raise ValueError(f"size {height} x {width}")
            reader = zlib.decompressobj()
            raw = reader.decompress(base64.b64decode(data["values"]), 4 * height * width + 1)
            values = np.frombuffer(raw, dtype="<f4").reshape(height, width)
            steps = tuple(
                Step(extent=(float(a), float(b)), size=(int(h), int(w)), cut=bool(cut))
                for a, b, h, w, cut in data["steps"]
            )
        except (KeyError, TypeError, ValueError, binascii.Error, zlib.error) as error:
            raise DataError(
                f"logits: expected a size, values and steps, got {type(error).__name__}: {error}. "
                f"Delete the file that they were kept in."
            ) from error
        return cls(values=values.astype(np.float32), steps=steps)


def _resized(values: np.ndarray, step: Step) -> np.ndarray:
    """Return (H, W) of (h, w); the centre of cell i is at i + 0.5."""
    if step.cut:
        values = values[: int(step.extent[0]), : int(step.extent[1])]
    for axis in (1, 0):
        values = _along(values, step.extent[axis], step.size[axis], axis)
    return values


def _along(values: np.ndarray, extent: float, count: int, axis: int) -> np.ndarray:
    length = values.shape[axis]
    at = (np.arange(count) + 0.5) * (extent / count) - 0.5
    at = np.clip(at, 0, length - 1)
    low = np.floor(at).astype(np.int64)
    high = np.minimum(low + 1, length - 1)
    share = (at - low).astype(np.float32)
    share = share[:, None] if axis == 0 else share
    near, far = np.take(values, low, axis), np.take(values, high, axis)
    blended: np.ndarray = near * (1 - share) + far * share
    return blended
