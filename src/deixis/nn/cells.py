"""Labels of pixels, asked at the cells of a grid, and where masks lie: what dense teaching compares
with.

Shapes: F frames, H W pixels, h w cells, N cells, C classes, M masks.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from deixis.errors import ShapeError
from deixis.nn.shapes import expect_shape

POINTS = 3  # places on each side of a cell where its label is read


def read_cells(
    ids: Tensor, grid: tuple[int, int], extent: tuple[float, float] = (1.0, 1.0)
) -> Tensor:
    """Return labels (F, P * P, h, w) at evenly spread points of every cell.

    Args:
        ids: (F, H, W) whole numbers.
        grid: (h, w).
        extent: shares of the grid's height and width that the pixels fill, from above and left.

    Returns:
        The labels, -1 where a point lies beside the pixels.
    """
    expect_shape("labels", ids, (None, None, None))
    places, inside = [], []
    for cells, share, length in zip(grid, extent, ids.shape[1:], strict=True):
        points = (torch.arange(cells * POINTS, device=ids.device) + 0.5) / (cells * POINTS * share)
        inside.append(points < 1)
        places.append((points * length).long().clamp(max=length - 1))
    read = ids.long()[:, places[0]][:, :, places[1]]  # (F, h * P, w * P)
    read = torch.where(inside[0][:, None] & inside[1], read, -1)
    return F.pixel_unshuffle(read[:, None].float(), POINTS).long()


def cell_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean cross-entropy of cells against their points; what is -1 does not count.

    Cells in which any point has a label above 0, that is a thing, weigh four times as much as
    background.

    Args:
        logits: (F, C, h, w).
        labels: (F, P, h, w), in [-1, C).

    Raises:
        ShapeError: labels of another grid.
    """
    if logits.shape[2:] != labels.shape[2:] or len(logits) != len(labels):
        raise ShapeError(
            f"labels of cells: expected {len(logits)} frames of {tuple(logits.shape[2:])}, "
            f"got {len(labels)} of {tuple(labels.shape[2:])}."
        )
    scores = logits.float().log_softmax(1)
    known = labels >= 0
    loss = -scores.gather(1, labels.clamp(min=0))
    weight = known * torch.where((labels > 0).any(1, keepdim=True), 1.0, 0.25)
    return (loss * weight).sum() / weight.sum().clamp(min=1)


def middles(masks: Tensor) -> tuple[Tensor, Tensor]:
    """Return the centres of mass (M, 2) of masks (M, H, W) as (x, y) in shares of their sides, and
    which masks (M,) show anything."""
    total = masks.sum((1, 2))
    found = []
    for length, axis in zip(masks.shape[:0:-1], (1, 2), strict=True):  # along x, along y
        steps = (torch.arange(length, device=masks.device) + 0.5) / length
        found.append((masks.sum(axis) * steps).sum(1) / total.clamp(min=1e-6))
    return torch.stack(found, 1), total > 0
