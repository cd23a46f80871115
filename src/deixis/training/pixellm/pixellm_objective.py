"""What PixelLM learns by: words, masks in the pixels of the original images, refinement.

The losses of arXiv:2312.02228 as its released code computes them. The target refinement loss is
the paper's; the released code never had it in effect, so that it is off unless asked for.

Shapes: M targets, H W pixels of an image, h w cells of masks.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from deixis.nn.losses import bce_per_mask, dice_per_mask, refinement_weights
from deixis.processing.batch import Output
from deixis.processing.batches.pixellm_batch import PixelLMBatch
from deixis.processing.pixellm import restore_logits


@dataclass(frozen=True, kw_only=True, slots=True)
class PixelLMObjective:
    """Weighted parts of the loss; their sum is minimised.

    Attributes:
        text, bce, dice: weights, as published.
        refine: whether pixels that several targets of one question claim count more.
        alpha: how much such a pixel counts in the cross-entropy.
    """

    text: float = 1.0
    bce: float = 2.0
    dice: float = 0.5
    refine: bool = False
    alpha: float = 2.0

    def __call__(self, output: Output, batch: PixelLMBatch) -> dict[str, Tensor]:
        """Return the weighted parts: text, bce, dice, and with ``refine`` refinement.

        Args:
            output: of ``PixelLM.forward``.
            batch: that made it, with its truth.
        """
        parts = {"text": self.text * text_loss(output)}
        sums = {name: output.mask_logits.sum() * 0.0 for name in ("bce", "dice", "refinement")}
        for losses in self.per_image(output, batch):
            sums = {name: sums[name] + losses[name].sum() for name in sums}
        count = len(output.mask_logits) + 1e-8  # masks of the whole batch
        weights = {"bce": self.bce, "dice": self.dice, "refinement": self.bce}
        parts |= {name: weights[name] * value / count for name, value in sums.items()}
        return parts if self.refine else {k: v for k, v in parts.items() if k != "refinement"}

    def per_image(self, output: Output, batch: PixelLMBatch) -> Iterator[Mapping[str, Tensor]]:
        """Yield bce, dice and refinement (M_i,) of the masks of each image, not weighted.

        Refinement is what the claimed pixels add to the cross-entropy: bce + refinement is the
        cross-entropy with weight alpha on them.
        """
        assert batch.truth is not None, "losses need true answers"
        for image, placement in enumerate(batch.placements):
            mine = torch.nonzero(output.frame == image)[:, 0]
            logits = restore_logits(output.mask_logits[mine], placement)  # (M_i, H, W)
            masks = [batch.truth.masks[index] for index in mine.tolist()]
            true = torch.stack(masks) if masks else torch.zeros_like(logits, dtype=torch.bool)
            bce = bce_per_mask(logits, true)
            refinement = torch.zeros_like(bce)
            if self.refine:
                weights = refinement_weights(logits, batch.slots.row[mine], alpha=self.alpha)
                refinement = bce_per_mask(logits, true, weights - 1)
            yield {"bce": bce, "dice": dice_per_mask(logits, true), "refinement": refinement}


def text_loss(output: Output) -> Tensor:
    """Return the mean cross-entropy of all labelled tokens of the batch; 0 without one."""
    assert output.text_logits is not None, "losses need the words' logits"
    if not len(output.text_logits):
        return output.text_logits.sum() * 0.0
    return F.cross_entropy(output.text_logits.float(), output.extra)
