"""What the cells of a canvas show of an image that was placed on it."""

import numpy as np

from deixis.structures.placement import Placement
from deixis.training.pixellm.pixellm_knowing import boxes_of

FINE = 4  # samples along a side of a cell


def on_canvas(labels: np.ndarray, placement: Placement, side: int, canvas: int) -> np.ndarray:
    """Sample labels (H, W) of an image at cells (side, side) of its canvas; 0 outside it."""
    centres = (np.arange(side) + 0.5) * canvas / side
    ways = []
    for axis in (0, 1):
        scaled = centres * placement.original[axis] / placement.resized[axis]
        ways.append(scaled.astype(int)[centres < placement.resized[axis]])
    whole = np.zeros((side, side), dtype=np.int64)
    whole[: len(ways[0]), : len(ways[1])] = labels[np.ix_(*ways)]
    return whole


def things_of(
    things: np.ndarray, placement: Placement, side: int, canvas: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the boxes (side * side, 4) of the things that most of each cell of the canvas shows,
    and how much of the cell each takes up (side * side,)."""
    fine = on_canvas(things, placement, side * FINE, canvas)
    cells = fine.reshape(side, FINE, side, FINE).swapaxes(1, 2).reshape(side * side, -1)
    counts = (cells[..., None] == np.arange(1, int(things.max()) + 2)).sum(1)  # (cells, ids)
    best = counts.argmax(1)
    boxes = boxes_of(things, placement, canvas)
    share = counts.max(1) / cells.shape[1]
    chosen = np.where(share > 0, best + 1, 0)
    return boxes[chosen], share.astype(np.float32)
