"""What the cells of a canvas show of an image that was placed on it."""

from functools import lru_cache

import numpy as np

from deixis.structures.placement import Placement
from deixis.training.pixellm.pixellm_knowing import boxes_of

FINE = 4  # samples along a side of a cell


def on_canvas(labels: np.ndarray, placement: Placement, side: int, canvas: int) -> np.ndarray:
    """Sample labels (H, W) of an image at cells (side, side) of its canvas; 0 outside it."""
    rows, columns = _sampled(placement, side, canvas)
    whole = np.zeros((side, side), dtype=np.int64)
    whole[: len(rows), : len(columns)] = labels[rows[:, None], columns]
    return whole


@lru_cache
def _sampled(placement: Placement, side: int, canvas: int) -> tuple[np.ndarray, np.ndarray]:
    """Return which rows and columns of an image the cells of its canvas sample."""
    centres = (np.arange(side) + 0.5) * canvas / side
    rows, columns = (
        (centres * original / resized).astype(int)[centres < resized]
        for original, resized in zip(placement.original, placement.resized, strict=True)
    )
    return rows, columns


def counted(fine: np.ndarray, side: int, labels: int) -> np.ndarray:
    """Return (side * side, labels) float32: how many samples (n, n) of each cell have each label,
    from 0 on."""
    cell = _cells(side, len(fine) // side) * labels + fine
    found = np.bincount(cell.ravel(), minlength=side * side * labels)
    return found.reshape(side * side, labels).astype(np.float32)


@lru_cache
def _cells(side: int, samples: int) -> np.ndarray:
    """Return the number of the cell of each sample."""
    cells = np.arange(side * side).reshape(side, side)
    return cells.repeat(samples, axis=0).repeat(samples, axis=1)


def things_of(
    things: np.ndarray, placement: Placement, side: int, canvas: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the boxes (side * side, 4) of the things that most of each cell of the canvas shows,
    and how much of the cell each takes up (side * side,)."""
    fine = on_canvas(things, placement, side * FINE, canvas)
    counts = counted(fine, side, int(things.max()) + 2)[:, 1:]  # (cells, ids)
    share = counts.max(1) / FINE**2
    chosen = np.where(share > 0, counts.argmax(1) + 1, 0)
    return boxes_of(things, placement, canvas)[chosen], share
