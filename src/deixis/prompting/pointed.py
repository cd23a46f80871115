"""What lies under a prompt: features, probabilities of words, and which noticed object it is.

Shapes: R prompts, K frames, P proposals per frame, C local width, h w cells.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class PointedAt:
    """Attributes:
    local: (R, C) mean features and probabilities under the prompt.
    proposal: (R,) the proposal that fits best, -1 where none does.
    """

    local: Tensor
    proposal: Tensor


def pointed_at(
    masks: Tensor,
    kind: Tensor,
    shown: Sequence[Tensor],
    frame: Tensor,
    mine: Tensor,
    valid: Tensor,
) -> PointedAt:
    """Look under prompts.

    Args:
        masks: (R, h, w) covered share of each cell.
        kind: (R,) 0 point, 1 box, 2 mask.
        shown: (K, ., h, w) each, together C channels: what the frames show.
        frame: (R,) the frame of each prompt.
        mine: (R, P, h, w) its proposals; valid: (R, P).
    """
    inside = masks.clamp(0, 1)
    area = inside.sum((1, 2)).clamp(min=1e-6)
    shared = torch.einsum("rhw,rphw->rp", inside, mine)
    union = area[:, None] + mine.sum((2, 3)) - shared
    fit = torch.where((kind == 0)[:, None], shared / area[:, None], shared / union.clamp(min=1e-6))
    fit = fit.masked_fill(~valid, -1)
    best, proposal = fit.max(1)
    weight = torch.where((kind == 1)[:, None, None], _within(inside, mine, proposal, best), inside)
    weight = weight / weight.sum((1, 2), keepdim=True).clamp(min=1e-6)
    proposal = torch.where(best > 0.05, proposal, -1)
    return PointedAt(local=_pooled(weight, shown, frame), proposal=proposal)


def _pooled(weight: Tensor, shown: Sequence[Tensor], frame: Tensor) -> Tensor:
    """Return the sums (R, C) of what is shown, by weights (R, h, w). Every frame is weighed by
    all prompts at once; to pick each prompt's frame first would copy it for each."""
    cells = weight.flatten(1).T  # (hw, R)
    sums = torch.cat([maps.float().flatten(2) @ cells for maps in shown], 1)  # (K, C, R)
    return sums[frame, :, torch.arange(len(weight), device=weight.device)]


def _within(inside: Tensor, mine: Tensor, proposal: Tensor, best: Tensor) -> Tensor:
    """A box is about the object in it, not about what lies around: cut it to its proposal."""
    index = torch.arange(len(inside), device=inside.device)
    cut = inside * mine[index, proposal]
    return torch.where((best > 0.05)[:, None, None], cut, inside)
