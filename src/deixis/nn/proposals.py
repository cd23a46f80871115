"""Object proposals: cells vote for the centre of their object; where votes gather is an object.

Shapes: S images, P proposals per image (padded), h w cells of the stride-2 grid.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class Proposals:
    """Up to P objects per image.

    Attributes:
        masks: (S, P, h, w) probability that a cell belongs to the proposal.
        valid: (S, P) which of the P slots hold a proposal.
        box: (S, P, 4) corners x0, y0, x1, y1 in [0, 1] of the canvas.
        centre: (S, P, 2) mean (x, y) of its cells, in [0, 1].
        area: (S, P) share of the canvas.
    """

    masks: Tensor
    valid: Tensor
    box: Tensor
    centre: Tensor
    area: Tensor


def propose(
    foreground: Tensor, offset: Tensor, *, limit: int, least_votes: float, reach: float = 0.12
) -> Proposals:
    """Gather votes into proposals.

    Args:
        foreground: (S, h, w) in [0, 1].
        offset: (S, 2, h, w), from each cell to its object's centre in [0, 1] units, (x, y).
        limit: P, the most proposals of one image.
        least_votes: how many cells (after smoothing) make an object.
        reach: cells whose vote lands farther than this from every peak join none.
    """
    height, width = foreground.shape[1:]
    y, x = _grid(height, width, foreground.device)
    vote = torch.stack([x, y]) + offset  # (S, 2, h, w) in [0, 1]
    heat = _heat(vote, foreground) * (1 - 1e-4 * (x + 0.377 * y))  # equal neighbours are one peak
    peaks = heat * (heat == F.max_pool2d(heat[:, None], 7, 1, 3)[:, 0])
    strength, place = peaks.flatten(1).topk(min(limit, height * width), 1)  # (S, P)
    valid = strength > least_votes
    centre = torch.stack(
        [(place % width + 0.5) / width, (place // width + 0.5) / height], -1
    )  # (S, P, 2)
    flat = vote.flatten(2).transpose(1, 2)  # (S, hw, 2)
    distance = torch.cdist(flat, centre)  # (S, hw, P)
    distance = distance.masked_fill(~valid[:, None], 1e3)
    nearest = distance.argmin(2)
    near = distance.gather(2, nearest[..., None])[..., 0] < reach
    member = F.one_hot(nearest, centre.shape[1]).transpose(1, 2).unflatten(2, (height, width))
    masks = member * (foreground * near.unflatten(1, (height, width)))[:, None]
    return _measured(masks, valid)


def _grid(height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    y = (torch.arange(height, device=device) + 0.5) / height
    x = (torch.arange(width, device=device) + 0.5) / width
    return torch.meshgrid(y, x, indexing="ij")  # type: ignore[return-value]


def _heat(vote: Tensor, foreground: Tensor) -> Tensor:
    """Sum the votes (S, 2, h, w) on the grid, smoothed by two box filters."""
    size, height, width = foreground.shape
    column = (vote[:, 0] * width).long().clamp(0, width - 1)
    row = (vote[:, 1] * height).long().clamp(0, height - 1)
    heat = torch.zeros(size, height * width, device=vote.device)
    weight = (foreground * (foreground > 0.5)).flatten(1)
    heat.scatter_add_(1, (row * width + column).flatten(1), weight)
    heat = heat.unflatten(1, (height, width))[:, None]
    for kernel in (5, 3):  # one flat filter makes ties, hence many peaks
        heat = F.avg_pool2d(heat, kernel, 1, kernel // 2, divisor_override=1)
    return heat[:, 0] / 9  # about the votes within a 5 x 5 window


def _measured(masks: Tensor, valid: Tensor) -> Proposals:
    """Drop proposals without cells and measure the rest."""
    height, width = masks.shape[-2:]
    inside = masks > 0.5
    valid = valid & inside.flatten(2).any(2)
    weight = inside * valid[..., None, None]
    count = weight.sum((2, 3)).clamp(min=1)
    y, x = _grid(height, width, masks.device)
    moment = torch.stack([(weight * x).sum((2, 3)), (weight * y).sum((2, 3))], -1)
    centre = moment / count[..., None]
    columns, rows = weight.any(2), weight.any(3)  # (S, P, w), (S, P, h)
    x0, x1 = _ends(columns)
    y0, y1 = _ends(rows)
    box = torch.stack([x0 / width, y0 / height, x1 / width, y1 / height], -1)
    return Proposals(
        masks=masks * valid[..., None, None],
        valid=valid,
        box=box * valid[..., None],
        centre=centre * valid[..., None],
        area=weight.sum((2, 3)) / (height * width),
    )


def _ends(line: Tensor) -> tuple[Tensor, Tensor]:
    """Return the first and one past the last True of (S, P, n), as floats."""
    length = line.shape[-1]
    index = torch.arange(length, device=line.device)
    first = torch.where(line, index, length).amin(-1)
    last = torch.where(line, index + 1, 0).amax(-1)
    return first.float(), last.float()
