"""Lets an answer copy words by which objects are known: a pointer beside the language decoder.

What an object shows, does and fits is known as probabilities of words before anything is written.
At every step an answer may look at one object and take over its word of some kind, as pointers do
in the words of a source (arXiv:1704.04368); what it copies joins the state that says the next word,
so the decoder can still say something else. How many objects fit the question can be copied, too.

Shapes: B rows, T steps, O objects per set, K words in all, D language width.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WIDTH = 64  # in which steps and objects are compared
START = 0.1  # of the gates: small, but enough for pointers to learn


@dataclass(frozen=True, kw_only=True, slots=True)
class Copied:
    """Words of one kind that can be copied.

    Attributes:
        shown: (B, O, k) how surely an object is known by each word; (B, k) where all objects
            together are.
        words: (k, D) their embeddings.
    """

    shown: Tensor
    words: Tensor


class Copying(nn.Module):
    """Points from every step at an object, and chooses which kinds of its words to take over.

    Args:
        width: D.
        kinds: of words.
    """

    def __init__(self, width: int, kinds: int) -> None:
        super().__init__()
        self.ask = nn.Linear(width, WIDTH)
        self.offer = nn.Linear(width, WIDTH)
        self.nobody = nn.Parameter(torch.zeros(1))
        self.gate = nn.Linear(width, kinds)
        self.fitting = nn.Linear(width, 1)
        nn.init.zeros_(self.gate.weight)
        nn.init.constant_(self.gate.bias, START)

    def fits(self, states: Tensor) -> Tensor:
        """Return logits (B, O): does what is asked hold for an object of these states (B, O, D)?"""
        return self.fitting(states.to(self.fitting.weight.dtype))[..., 0].float()

    def source(
        self, states: Tensor, there: Tensor, kinds: Mapping[str, Copied]
    ) -> Callable[[Tensor], Tensor]:
        """Return what gives each step's states (B, T, D) or (B, D) the words that it copies.

        Args:
            states: (B, O, D) of the objects, at the end of the decoder.
            there: (B, O) which of them exist.
            kinds: as many as this was made for.
        """
        offered = self.offer(states.to(self.offer.weight.dtype))  # (B, O, 64)
        sizes = torch.tensor([len(kind.words) for kind in kinds.values()], device=offered.device)
        words = torch.cat([kind.words for kind in kinds.values()])  # (K, D)

        def copy(steps: Tensor) -> Tensor:
            now = steps[:, None] if steps.dim() == 2 else steps
            asked = self.ask(now.to(offered.dtype))
            scores = asked @ offered.transpose(1, 2) * WIDTH**-0.5  # (B, T, O)
            scores = scores.masked_fill(~there[:, None].to(scores.device), -torch.inf)
            nobody = self.nobody.to(scores.dtype).expand(*scores.shape[:2], 1)
            looked = torch.cat([scores, nobody], 2).softmax(2)[..., :-1]
            gates = self.gate(now.to(offered.dtype)).repeat_interleave(sizes, 2)  # (B, T, K)
            seen = [_seen(looked, kind.shown.to(looked.dtype)) for kind in kinds.values()]
            copied = (gates * torch.cat(seen, 2)) @ words
            return copied[:, 0] if steps.dim() == 2 else copied

        return copy


def _seen(looked: Tensor, shown: Tensor) -> Tensor:
    """Return (B, T, k): the words of what is looked at, or of all together."""
    if shown.dim() == 2:
        return shown[:, None].expand(-1, looked.shape[1], -1)
    return looked @ shown


def how_many(fits: Tensor, most: int) -> Tensor:
    """Return (B, most) of probabilities (B, O): how near their sum is to 1, 2, ... ``most``."""
    count = fits.sum(1, keepdim=True)
    numbers = torch.arange(most, device=fits.device) + 1
    return F.relu(1 - (count - numbers).abs())
