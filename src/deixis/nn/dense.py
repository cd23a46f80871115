"""Dense heads: for every cell of the stride-2 grid, which word of each kind, and whose it is.

Shapes: S images, h w cells, E identity width.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deixis.nn.backbone import Residual


@dataclass(frozen=True, kw_only=True, slots=True)
class DenseMaps:
    """What the dense heads say about S images.

    Attributes:
        logits: kind of word -> (S, 1 + words, h, w); channel 0 means "none of them".
        offset: (S, 2, h, w), from each cell to the centre of its object, (x, y) in [0, 1] units.
        identity: (S, E, h, w), alike where the objects look alike.
    """

    logits: Mapping[str, Tensor]
    offset: Tensor
    identity: Tensor

    def probabilities(self, kind: str) -> Tensor:
        """Return (S, words, h, w); what is missing to a sum of 1 is "none of them"."""
        return self.logits[kind].float().softmax(1)[:, 1:]

    def foreground(self, kind: str) -> Tensor:
        """Return (S, h, w): how likely that a cell belongs to any object."""
        return 1 - self.logits[kind].float().softmax(1)[:, 0]

    def opened(self, gains: Sequence[Sequence[float]]) -> "DenseMaps":
        """Return the maps with the logits of parts raised by (1 + categories, 1 + parts), as far
        as a cell is of a category (arXiv:2007.07314, after training)."""
        category = self.logits["category"].float().softmax(1)
        raised = torch.einsum("schw,cp->sphw", category, category.new_tensor(gains))
        return replace(self, logits={**self.logits, "part": self.logits["part"].float() + raised})


class DenseHeads(nn.Module):
    """Features (S, T, h, w) of stride 2 to words, offsets and an identity embedding per cell."""

    def __init__(self, in_width: int, words: Mapping[str, int], identity_width: int) -> None:
        super().__init__()
        self.words = dict(words)
        self.body = Residual(in_width, in_width)
        self.sizes = [*(1 + n for n in words.values()), 2, identity_width]
        self.out = nn.Conv2d(in_width, sum(self.sizes), 1)

    def forward(self, features: Tensor) -> DenseMaps:
        parts = self.out(self.body(features)).split(self.sizes, 1)
        return DenseMaps(
            logits=dict(zip(self.words, parts, strict=False)),
            offset=parts[-2].float(),
            identity=F.normalize(parts[-1].float(), dim=1),
        )

