"""Tells each object what stands beside it, and its place among its like.

Attention learns slowly to compare numbers: which of two things is further left, which mug is the
second, how many there are. Here pairs are compared once, and what follows is told to each object;
what of it a question needs is learned.

Shapes: G sets, O objects per set (padded), N measures, K ways to be alike (the first: in any way),
D language width.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from deixis.nn.precision import exactly

SIDES = 4  # left, right, above, below
ALIKE = (("category",), ("colour",), ("pattern",), ("category", "colour"))
LIMITS = (0.02, 0.02, 0.08, 0.03, 0.03, 0.05, 0.05, 0.05, 0.05, 0.02, 0.05)
"""How far two of each measure are apart where the comparison is half sure: x, y, the logarithm of
the size, and the last eight numbers of a path (``relation/entities.py``)."""

STANDING = 2 * len(LIMITS) + 4  # numbers that tell how an object stands among others
AMONG = STANDING + 4  # where the others are chosen by the question
ASIDE = 0.6  # of the way aside: as far at least does one thing lie on a side of another
APART = 0.06  # and as far on its own, in [0, 1] of the canvas
SHARP = 0.01  # where that is half sure
CLEARLY = 0.1  # of one thing more or less: where half of a thing counts as one


def ways_of(kinds: Iterable[str]) -> list[tuple[str, ...]]:
    """Return the ways to be alike that can be told with these kinds of words."""
    known = set(kinds)
    return [way for way in ALIKE if known.issuperset(way)]


def pair_width(kinds: Iterable[str]) -> int:
    """Return how many numbers tell what is known of a pair, N + 1 + K + SIDES."""
    return len(LIMITS) + 2 + len(ways_of(kinds)) + SIDES


@dataclass(frozen=True, kw_only=True, slots=True)
class Compared:
    """All pairs of the objects of G sets.

    Attributes:
        ahead: (G, N, O, O) how surely the first has more of each measure.
        likes: (G, K, O, O) how surely two are alike.
        lies: (G, SIDES, O, O) how surely the first lies to the left, right, above, below of the
            second, more so than aside of that.
        there: (G, O, O) which pairs there are; same: which of them are in one image.
    """

    ahead: Tensor
    likes: Tensor
    lies: Tensor
    there: Tensor
    same: Tensor

    @classmethod
    def of(
        cls, measures: Tensor, image: Tensor, valid: Tensor, words: Mapping[str, Tensor]
    ) -> "Compared":
        """Compare all objects.

        Args:
            measures: (G, O, N) numbers.
            image, valid: (G, O).
            words: kind -> (G, O, words) probabilities.
        """
        there = (valid[:, None] & valid[:, :, None]).float()
        there = there * (1 - torch.eye(valid.shape[1], device=there.device))
        with exactly(measures.device):
            return cls(
                ahead=compared(measures.float()),
                likes=alike(words, ways_of(words)),
                lies=lying(measures.float()),
                there=there,
                same=there * (image[:, None] == image[:, :, None]),
            )

    def pairs(self) -> Tensor:
        """Return (G, O, O, N + 1 + K + SIDES): everything that the first knows of the second."""
        known = torch.cat([self.ahead, self.same[:, None], self.likes, self.lies], 1)
        return (known * self.there[:, None]).permute(0, 2, 3, 1)

    def sides(self, rows: Tensor, chosen: Tensor) -> Tensor:
        """Return (B, O, SIDES): how surely each object of the sets ``rows`` (B,) lies on a side of
        any of those that are chosen, (B, O) bool."""
        beside = self.lies[rows] * (self.there[rows] * chosen[:, None])[:, None]  # (B, SIDES, O, O)
        return beside.amax(3).transpose(1, 2)

    def standing(self) -> Tensor:
        """Return (G, O, K * (2 N + 4)): how each stands among those that are like it."""
        return standing(self.ahead, self.likes, self.there, self.same)

    def among(self, rows: Tensor, chosen: Tensor) -> Tensor:
        """Return (B, O, R * AMONG): how each object of the sets ``rows`` (B,) stands among those
        that are chosen, in R ways, with probabilities (B, O, R).

        Beside its standing: how many are chosen in its image; over the whole set, how many of the
        chosen are in images with fewer and with more of them; and in how many images any are.
        """
        there, same = self.there[rows], self.same[rows]
        those = chosen.transpose(1, 2)  # (B, R, O)
        seen = those[:, :, None].expand(-1, -1, chosen.shape[1], -1)  # (B, R, O, O)
        told = standing(self.ahead[rows], seen, there, same).unflatten(2, (those.shape[1], -1))
        count = torch.einsum("brj,bij->bri", those, same) + those  # in the image of each
        gap = count[..., None] - count[:, :, None]
        fewer, more = (((sign * gap - 0.5) / CLEARLY).sigmoid() for sign in (1, -1))
        pairs = seen * there[:, None]
        images = (those / count.clamp(min=1)).sum(2, keepdim=True).expand_as(count)
        over = [count, (pairs * fewer).sum(3), (pairs * more).sum(3), images]
        return torch.cat([told, torch.stack(over, 3).transpose(1, 2)], 3).flatten(2)


class Neighbours(nn.Module):
    """Objects and their contents (G, O, D) to five further ingredients of their tokens.

    Args:
        kinds: of the words that are known; ways to be alike that need others are left out.
        width: D.
    """

    def __init__(self, kinds: Iterable[str], width: int) -> None:
        super().__init__()
        self.beside = nn.Linear(width, SIDES * width, bias=False)
        told = (1 + len(ways_of(kinds))) * STANDING
        self.standing = nn.Sequential(
            nn.Linear(told, width), nn.GELU(), nn.Linear(width, width)
        )

    def forward(self, content: Tensor, known: Compared) -> list[Tensor]:
        """Return what stands at each side, and the standing among others: five of (G, O, D).

        Args:
            content: (G, O, D) what is known of each object alone.
            known: all pairs of them.
        """
        with exactly(content.device):
            right, below = known.ahead[:, 0], known.ahead[:, 1]  # of the other
            sides = torch.stack([right, 1 - right, below, 1 - below], 1)
            sides = sides * known.same[:, None]  # (G, SIDES, O, O)
            places = known.standing()
        told = self.beside(content).unflatten(2, (SIDES, -1))  # (G, O, SIDES, D)
        beside = torch.einsum("gsij,gjsd->sgid", sides.to(told.dtype), told)
        return [*beside, self.standing(places.to(content.dtype))]


def compared(measures: Tensor) -> Tensor:
    """Return (G, N, O, O): how surely the first object has more of each measure (G, O, N)."""
    limits = measures.new_tensor(LIMITS)
    gap = (measures[:, :, None] - measures[:, None]) / limits
    return gap.sigmoid().permute(0, 3, 1, 2)


def lying(measures: Tensor) -> Tensor:
    """Return (G, SIDES, O, O): how surely the first of two lies on a side of the second."""
    x, y = (measures[:, :, None, :2] - measures[:, None, :, :2]).unbind(3)
    along = torch.stack([-x, x, -y, y], 1)
    across = torch.stack([y, y, x, x], 1).abs()
    return ((along - (ASIDE * across).clamp(min=APART)) / SHARP).sigmoid()


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
