"""What the reasoner asks of a model of any family."""

from typing import Any, Protocol

import torch
from torch import Tensor

from deixis.processing.batch import Batch, Output


class PixelModel(Protocol):
    """Three verbs: see the images and the question, point at what slots ask for, or do both with
    the true text between."""

    def see(self, batch: Batch) -> Any: ...

    def point(self, slots: Any, seen: Any) -> Output: ...

    def forward(self, batch: Batch) -> Output: ...


def gather_slots(hidden: Tensor, starts: Tensor, size: int) -> Tensor:
    """Return (M, size, D): the states *at* the ``size`` tokens of each group.

    The state at a codebook token itself is read, not the one that predicts it: here a group is
    handed to the language decoder with the object that it is about, so its own state knows both.

    Args:
        hidden: (B, T, D) last hidden states.
        starts: (M, 2) row and column of each group's first token.
        size: tokens per group.
    """
    columns = starts[:, 1:] + torch.arange(size, device=starts.device)
    return hidden[starts[:, :1], columns]
