"""Losses of candidate masks, as SAM 2 trains and UniPixel uses them (specification section 9).

Of several candidates only the best is taught; all learn to know how good they are.

Shapes: O objects, A candidates, h w mask cells, H W pixels of the truth.
"""

from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor

from deixis.nn.losses import focal_per_mask, soft_dice
from deixis.nn.shapes import expect_shape

MASK_WEIGHT, DICE_WEIGHT, SCORE_WEIGHT, PRESENCE_WEIGHT = 100.0, 5.0, 5.0, 5.0


@dataclass(frozen=True, kw_only=True, slots=True)
class CandidateLosses:
    """Parts of the loss of one frame, each the mean over objects, unweighted."""

    mask: Tensor
    dice: Tensor
    score: Tensor
    presence: Tensor

    @property
    def total(self) -> Tensor:
        """The weighted sum."""
        return (
            MASK_WEIGHT * self.mask
            + DICE_WEIGHT * self.dice
            + SCORE_WEIGHT * self.score
            + PRESENCE_WEIGHT * self.presence
        )

    def __add__(self, other: "CandidateLosses") -> "CandidateLosses":
        return CandidateLosses(
            **{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)}
        )


def candidate_losses(
    candidates: Tensor, scores: Tensor, presence_logits: Tensor, truth: Tensor
) -> CandidateLosses:
    """Return the losses of one frame.

    Args:
        candidates: (O, A, h, w) mask logits; they are brought to the size of the truth.
        scores: (O, A) estimated IoU of each, in [0, 1].
        presence_logits: (O, 1) whether the object is in the frame.
        truth: (O, H, W) bool.

    Raises:
        ShapeError: parts of different objects.
    """
    objects, choices = scores.shape
    expect_shape("candidate masks", candidates, (objects, choices, None, None))
    expect_shape("presence of objects", presence_logits, (objects, 1))
    expect_shape("true masks", truth, (objects, None, None))
    size = (truth.shape[-2], truth.shape[-1])
    logits = F.interpolate(candidates.float(), size, mode="bilinear")  # (O, A, H, W)
    wanted = truth[:, None].expand_as(logits)
    focal = focal_per_mask(logits.flatten(0, 1), wanted.flatten(0, 1)).view(objects, choices)
    dice = soft_dice(logits.flatten(0, 1), wanted.flatten(0, 1)).view(objects, choices)
    best = (MASK_WEIGHT * focal + DICE_WEIGHT * dice).argmin(1, keepdim=True)
    there = truth.flatten(1).any(1, keepdim=True).float()  # (O, 1): absent objects teach no mask
    error = (scores.float() - true_iou(logits > 0, wanted)).abs().mean(1, keepdim=True)
    return CandidateLosses(
        mask=(focal.gather(1, best) * there).mean(),
        dice=(dice.gather(1, best) * there).mean(),
        score=(error * there).mean(),
        presence=F.binary_cross_entropy_with_logits(presence_logits.float(), there),
    )


@torch.no_grad()
def true_iou(predicted: Tensor, truth: Tensor) -> Tensor:
    """Return (O, A) IoU of bool masks (O, A, H, W); 0 where both are empty."""
    shared = (predicted & truth.bool()).sum((2, 3)).float()
    return shared / (predicted | truth.bool()).sum((2, 3)).clamp(min=1)
