"""Tells each object what stands beside it, and its place among its like.

Attention learns slowly to compare numbers: which of two things is further left, which mug is the
second, how many there are. Here pairs are compared once, and what follows is told to each object;
what of it a question needs is learned.

Shapes: G sets, O objects per set (padded), N measures, K ways to be alike, D language width.
"""

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from deixis.nn.precision import exactly

SIDES = 4  # left, right, above, below
ALIKE = (("category",), ("colour",), ("pattern",), ("category", "colour"))
LIMITS = (0.02, 0.02, 0.08, 0.03, 0.03, 0.05, 0.05, 0.05, 0.05, 0.02, 0.05)
"""How far two of each measure are apart where the comparison is half sure: x, y, the logarithm of
the size, and the last eight numbers of a path (``relation/entities.py``)."""


class Neighbours(nn.Module):
    """Objects and their contents (G, O, D) to five further ingredients of their tokens.

    Args:
        kinds: of the words that are known; ways to be alike that need others are left out.
        width: D.
    """

    def __init__(self, kinds: Iterable[str], width: int) -> None:
        super().__init__()
        known = set(kinds)
        self.ways = [way for way in ALIKE if known.issuperset(way)]
        self.beside = nn.Linear(width, SIDES * width, bias=False)
        told = (1 + len(self.ways)) * (2 * len(LIMITS) + 4)
        self.standing = nn.Sequential(
            nn.Linear(told, width), nn.GELU(), nn.Linear(width, width)
        )

    def forward(
        self, content: Tensor, measures: Tensor, image: Tensor, valid: Tensor,
        words: Mapping[str, Tensor],
    ) -> list[Tensor]:
        """Return what stands at each side, and the standing among others: five of (G, O, D).

        Args:
            content: (G, O, D) what is known of each object alone.
            measures: (G, O, N) numbers that are compared.
            image, valid: (G, O).
            words: kind -> (G, O, words) probabilities.
        """
        with exactly(content.device):
            ahead = compared(measures.float())  # (G, N, O, O)
            there = (valid[:, None] & valid[:, :, None]).float()
            there = there * (1 - torch.eye(valid.shape[1], device=there.device))
            same = there * (image[:, None] == image[:, :, None])  # (G, O, O)
            likes = alike(words, self.ways)  # (G, K, O, O)
            places = standing(ahead, likes, there, same)
            sides = torch.stack([ahead[:, 0], 1 - ahead[:, 0], ahead[:, 1], 1 - ahead[:, 1]], 1)
            sides = sides * same[:, None]  # (G, SIDES, O, O)
        told = self.beside(content).unflatten(2, (SIDES, -1))  # (G, O, SIDES, D)
        beside = torch.einsum("gsij,gjsd->sgid", sides.to(told.dtype), told)
        return [*beside, self.standing(places.to(content.dtype))]


def compared(measures: Tensor) -> Tensor:
    """Return (G, N, O, O): how surely the first object has more of each measure (G, O, N)."""
    limits = measures.new_tensor(LIMITS)
    gap = (measures[:, :, None] - measures[:, None]) / limits
    return gap.sigmoid().permute(0, 3, 1, 2)


def alike(words: Mapping[str, Tensor], ways: Sequence[Sequence[str]]) -> Tensor:
    """Return (G, K, O, O): how surely two objects are alike in each way; first, in any way."""
    agree = {kind: p.float() @ p.float().transpose(1, 2) for kind, p in words.items()}
    each = [torch.stack([agree[kind] for kind in way]).prod(0) for way in ways]
    anything = torch.ones_like(next(iter(agree.values())))
    return torch.stack([anything, *each], 1)


def standing(ahead: Tensor, likes: Tensor, there: Tensor, same: Tensor) -> Tensor:
    """Return (G, O, K * (2 N + 4)): of each object, in every way to be alike, how many others of
    its image have more and less of each measure, how many there are in its image and in its set,
    and how many of its set are larger and smaller.

    Args:
        ahead: (G, N, O, O).
        likes: (G, K, O, O).
        there, same: (G, O, O) which pairs there are, and which are in one image.
    """
    near = likes * same[:, None]
    far = likes * there[:, None]
    more = torch.einsum("gkij,gnji->gikn", near, ahead)
    less = torch.einsum("gkij,gnij->gikn", near, ahead)
    larger = torch.einsum("gkij,gji->gik", far, ahead[:, 2])
    smaller = torch.einsum("gkij,gij->gik", far, ahead[:, 2])
    counts = torch.stack([near.sum(3), far.sum(3)], 3).transpose(1, 2)  # (G, O, K, 2)
    sizes = torch.stack([larger, smaller], 3)
    return torch.cat([more, less, counts, sizes], 3).flatten(2)
