"""Region similarity J and boundary accuracy F of one object along a clip, as DAVIS defines them.

A frame's F compares boundary pixels within a tolerance of 0.008 of the image's diagonal.
"""

from collections.abc import Callable
from functools import lru_cache
from math import ceil, fsum, hypot

import numpy as np

from deixis.metrics.overlap import iou
from deixis.structures.answers import Target
from deixis.structures.masks import Mask

TOLERANCE = 0.008  # of the diagonal
FrameScore = Callable[[Mask | None, Mask | None], float]  # of one frame; None is an empty mask


def boundary(pixels: np.ndarray) -> np.ndarray:
    """Mark the pixels (H, W) that differ from their right, lower or lower-right neighbour.

    The last row looks right only, the last column down only, the last corner nowhere.
    """
    edge = np.zeros_like(pixels)
    edge[:, :-1] = pixels[:, :-1] != pixels[:, 1:]
    edge[:-1] |= pixels[:-1] != pixels[1:]
    edge[:-1, :-1] |= pixels[:-1, :-1] != pixels[1:, 1:]
    return edge


def boundary_f(true: Mask | None, predicted: Mask | None) -> float:
    """Return the F of one frame; None is an empty mask. Without any boundary it is 1."""
    theirs, ours = _edge_points(true), _edge_points(predicted)
    if not len(theirs) or not len(ours):
        return float(len(theirs) == len(ours))
    assert true is not None
    radius = ceil(TOLERANCE * hypot(*true.size))
    precision = _count_near(ours, theirs, radius) / len(ours)
    recall = _count_near(theirs, ours, radius) / len(theirs)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def region_j(true: Mask | None, predicted: Mask | None) -> float:
    """Return the IoU of one frame; None is an empty mask. Both empty is 1."""
    if true is None or predicted is None:
        alone = true or predicted
        return float(alone is None or not alone.area)
    return iou(true.intersection(predicted), true.union(predicted))


def mean_over_frames(
    score: FrameScore, true: Target | None, predicted: Target | None, frames: int
) -> float:
    """Return the mean of a frame score over all frames of the clip.

    Args:
        score: `region_j` or `boundary_f`.
        true: the true target, or None: there is nothing in any frame.
        predicted: the predicted target, or None.
        frames: how many frames the images have; where neither target has a mask, it is 1.
    """
    theirs = dict(true.masks) if true else {}
    ours = dict(predicted.masks) if predicted else {}
    seen = sorted({*theirs, *ours})
    scores = [score(theirs.get(index), ours.get(index)) for index in seen]
    return fsum([*scores, frames - len(seen)]) / frames


def _edge_points(mask: Mask | None) -> np.ndarray:
    """Return the boundary pixels of a mask as (n, 2) rows of (y, x)."""
    if mask is None or mask.box is None:
        return np.zeros((0, 2), dtype=np.intp)
    x0, y0, x1, y1 = mask.box
    left, top = max(x0 - 1, 0), max(y0 - 1, 0)  # a pixel outside may differ from one inside
    edge = boundary(mask.pixels[top : y1 + 1, left : x1 + 1])
    return np.argwhere(edge) + np.array([top, left])


def _count_near(points: np.ndarray, others: np.ndarray, radius: int) -> int:
    """Count the points that have one of the others within a Euclidean distance of radius."""
    low = np.minimum(points.min(0), others.min(0)) - radius
    high = np.maximum(points.max(0), others.max(0)) + radius + 1
    width = int(high[1] - low[1])
    grid = np.zeros(int(high[0] - low[0]) * width, dtype=bool)
    grid[(others - low) @ (width, 1)] = True
    left = (points - low) @ (width, 1)
    for ring in _rings(radius):
        left = left[~grid[left[:, None] + ring @ (width, 1)].any(1)]
        if not len(left):
            break
    return len(points) - len(left)


@lru_cache(maxsize=64)
def _rings(radius: int) -> tuple[np.ndarray, ...]:
    """Return the steps (dy, dx) of the digital disk, those of one length together."""
    steps = np.argwhere(np.ones((2 * radius + 1, 2 * radius + 1))) - radius
    lengths = (steps**2).sum(1)
    return tuple(steps[lengths == n] for n in np.unique(lengths[lengths <= radius**2]))
