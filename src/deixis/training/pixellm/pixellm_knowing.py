"""What the states of a group know of their target: its words, and where it lies.

Every word, and every bin of a box, is a fixed random direction of the states, so that the model has
no weight that only training needs. Read one way, the directions say what a state knows; read the
other way, they make the states of a language decoder that knows, for a pixel decoder to learn from.

Shapes: M targets, G tokens of a group, D language width, T directions, H W pixels of an image.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import find_objects
from torch import Tensor, nn

from deixis.models.configs.deixis_config import scene_words
from deixis.structures.placement import Placement

BINS = 16  # of each of a box's four numbers
SURE = 5.0  # the strength of each thing that a made state knows
DOUBT = 0.15  # share of things that it does not know
NOISE = 0.5
PURE = {"part": 0.9}  # a target is a part if nearly all of its mask is that part
NOWHERE = [0.5, 0.5, 0.0, 0.0]  # the box of nothing
MOSTLY = 0.5  # and has a word of another kind if most of it has


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """What there is to know of some targets.

    Attributes:
        words: (M, kinds) 1 + index of a target's word of each kind, 0 for none.
        boxes: (M, 4) centre, width and height on the canvas, in [0, 1].
    """

    words: Tensor
    boxes: Tensor


class Knowledge:
    """The directions of a language decoder of one width."""

    def __init__(self, width: int) -> None:
        self.kinds = scene_words()
        self.sizes = [1 + len(names) for names in self.kinds.values()]
        dice = torch.Generator().manual_seed(0)
        empty = torch.empty(sum(self.sizes) + 4 * BINS, width)
        self.directions = nn.init.orthogonal_(empty, generator=dice)  # (T, D)
        self.places = self.directions[-4 * BINS :]  # of boxes
        kinds = self.directions[: -4 * BINS].split(self.sizes)
        self.words = {kind: own[1:] for kind, own in zip(self.kinds, kinds, strict=True)}

    def look_up(
        self, masks: Sequence[Tensor], labels: Sequence[Mapping[str, Any]],
        placements: Sequence[Placement], canvas: int,
    ) -> Known:  # fmt: skip
        """Return what masks (H, W) show, each with the labels and the placement of its image."""
        words = [
            [_word(own[kind][mask.numpy()], kind) for kind in self.kinds]
            for mask, own in zip(masks, labels, strict=True)
        ]
        boxes = [_box(*pair, canvas) for pair in zip(masks, placements, strict=True)]
        return Known(
            words=torch.tensor(words, dtype=torch.long).reshape(-1, len(self.kinds)),
            boxes=torch.tensor(boxes).reshape(-1, 4),
        )

    def loss(self, states: Tensor, known: Known) -> Tensor:
        """Return the mean cross-entropy of states (M, D) with what there is to know."""
        if not len(states):
            return states.sum() * 0.0
        scores = states.float() @ self.directions.to(states.device).T
        wanted = self._shares(known)
        each = scores.split([*self.sizes, *[BINS] * 4], dim=1)
        sought = wanted.split([*self.sizes, *[BINS] * 4], dim=1)
        pairs = zip(each, sought, strict=True)
        return torch.stack([F.cross_entropy(score, share) for score, share in pairs]).mean()

    def imagine(self, known: Known, tokens: int) -> Tensor:
        """Return states (M, G, D) that know the targets, with gaps and noise."""
        share = self._shares(known)
        sizes = torch.tensor([*self.sizes, *[BINS] * 4], device=share.device)
        knows = torch.rand(len(share), len(sizes), device=share.device) >= DOUBT
        share = share * knows.repeat_interleave(sizes, dim=1)
        states = SURE * share @ self.directions.to(share)
        noise = torch.randn(len(share), tokens, states.shape[1], device=share.device)
        return states[:, None] + NOISE * noise

    def _shares(self, known: Known) -> Tensor:
        """Return (M, T): 1 for each word that holds; a number is shared by its two next bins."""
        words = [
            F.one_hot(column, size).float()
            for column, size in zip(known.words.unbind(1), self.sizes, strict=True)
        ]
        return torch.cat([*words, bin_shares(known.boxes)], dim=1)


def bin_shares(boxes: Tensor) -> Tensor:
    """Return (..., 4 * BINS) of boxes (..., 4): every number is shared by its two next bins."""
    place = boxes.clamp(0, 1) * (BINS - 1)
    bins = torch.arange(BINS, device=place.device)
    return (1 - (place[..., None] - bins).abs()).clamp(min=0).flatten(-2)


def bin_loss(scores: Tensor, boxes: Tensor) -> Tensor:
    """Return what scores (..., 4 * BINS) lack of boxes (..., 4), in nats (...,); 0: nothing."""
    logits = scores.unflatten(-1, (4, BINS)).log_softmax(-1)
    shares = bin_shares(boxes).unflatten(-1, (4, BINS))
    return F.kl_div(logits, shares, reduction="none").sum(-1).mean(-1)


def boxes_of(things: np.ndarray, placement: Placement, canvas: int) -> np.ndarray:
    """Return (ids, 4): the box of every id of a map (H, W) on the canvas; zeros for 0."""
    found = find_objects(things)  # one pass for all ids
    boxes = [_on_canvas(one, placement, canvas) for one in found]
    return np.array([[0.0] * 4, *boxes], dtype=np.float32)


def _word(inside: np.ndarray, kind: str) -> int:
    """Return the label that the pixels of a mask show nearly alone, 0 for none."""
    if not len(inside):
        return 0
    counts = np.bincount(inside)
    best = int(counts.argmax())
    return best if counts[best] >= PURE.get(kind, MOSTLY) * len(inside) else 0


def _box(mask: Tensor, placement: Placement, canvas: int) -> list[float]:
    """Return centre, width and height of a mask (H, W) on the canvas, in [0, 1]."""
    (found,) = find_objects(mask.numpy().astype(np.uint8), max_label=1)
    return _on_canvas(found, placement, canvas)


def _on_canvas(
    found: tuple[slice, slice] | None, placement: Placement, canvas: int
) -> list[float]:
    """Return centre, width and height on the canvas of what fills rows and columns, if any."""
    if found is None:
        return NOWHERE
    rows, columns = found
    height, width = (
        resized / original / canvas
        for resized, original in zip(placement.resized, placement.original, strict=True)
    )
    return [
        (columns.start + columns.stop) / 2 * width,
        (rows.start + rows.stop) / 2 * height,
        (columns.stop - columns.start) * width,
        (rows.stop - rows.start) * height,
    ]
