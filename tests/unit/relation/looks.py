"""Looks at frames whose objects are drawn by hand, so that a test knows what is noticed."""

import torch
import torch.nn.functional as F
from torch import Tensor

from deixis.nn.proposals import Proposals
from deixis.relation.objects import Look, part_moments

HEIGHT, WIDTH = 6, 8
IDENTITY, COARSE, FINE, WORDS, PARTS, OBSERVED = 5, 4, 3, 7, 2, 9


def area(top: int, left: int, bottom: int, right: int) -> Tensor:
    mask = torch.zeros(HEIGHT, WIDTH)
    mask[top:bottom, left:right] = 1.0
    return mask


def measured(masks: Tensor) -> Proposals:
    """Measure proposals (F, P, h, w) by loops; an empty mask is none."""
    frames, most = masks.shape[:2]
    box, centre = torch.zeros(frames, most, 4), torch.zeros(frames, most, 2)
    for frame in range(frames):
        for slot in range(most):
            cells = (masks[frame, slot] > 0.5).nonzero().float()
            if len(cells):
                (y0, x0), (y1, x1) = cells.amin(0), cells.amax(0) + 1
                size = torch.tensor([WIDTH, HEIGHT, WIDTH, HEIGHT])
                box[frame, slot] = torch.stack([x0, y0, x1, y1]) / size
                centre[frame, slot] = (cells.mean(0) + 0.5).flip(0) / size[:2]
    inside = (masks > 0.5).flatten(2).sum(2)
    return Proposals(
        masks=masks, valid=inside > 0, box=box, centre=centre, area=inside / (HEIGHT * WIDTH)
    )


def drawn(frames: list[list[Tensor]], looks: list[list[int]], seed: int = 0) -> Look:
    """Look at frames of hand-drawn masks; ``looks`` gives each one a direction of identity."""
    random = torch.Generator().manual_seed(seed)
    most = max(map(len, frames))
    masks = torch.zeros(len(frames), most, HEIGHT, WIDTH)
    identity = torch.randn(len(frames), most, IDENTITY, generator=random)
    for frame, rows in enumerate(frames):
        for slot, mask in enumerate(rows):
            masks[frame, slot] = mask
            identity[frame, slot] = F.one_hot(torch.tensor(looks[frame][slot]), IDENTITY).float()
    proposals = measured(masks)
    words = torch.rand(len(frames), WORDS, HEIGHT, WIDTH, generator=random)
    return Look(
        proposals=proposals,
        observed=torch.randn(len(frames), most, OBSERVED, generator=random),
        looks=torch.cat([identity, torch.ones(len(frames), most, 2)], 2),
        part_moments=part_moments(proposals, words[:, -PARTS:]),
        coarse=torch.randn(len(frames), COARSE, 2, 3, generator=random),
        fine=torch.randn(len(frames), FINE, HEIGHT, WIDTH, generator=random),
        pixels=torch.zeros(len(frames), 3, 2 * HEIGHT, 2 * WIDTH, dtype=torch.uint8),
        words=words,
        kept=torch.arange(len(frames)),
    )
