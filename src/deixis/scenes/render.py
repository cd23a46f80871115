"""Turns a view into pixels and exact maps of visible things, parts and nominal colours."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deixis.scenes.world import View


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendering:
    """A picture and what each of its pixels shows; all (H, W), pixels (H, W, 3), all uint8.

    Attributes:
        things: id of the thing, 0 for background.
        parts: 1 + index in PART_NAMES, 0 for background.
        colours: 1 + index in COLOURS of the pixel's nominal colour, 0 for background.
    """

    pixels: NDArray[np.uint8]
    things: NDArray[np.uint8]
    parts: NDArray[np.uint8]
    colours: NDArray[np.uint8]


def render(view: View) -> Rendering:
    """Draw a view."""
    raise NotImplementedError
