"""What the hidden tokens of a <seg> say, while stage 0 teaches both sides of them.

SAM learns to draw what they ask for, and the language decoder to say it. The first token is where:
SAM's own code of a point, or of a box together with the second. The second is what: of each word of
our scenes a fixed random direction. So no model has a weight that only training needs.

Shapes: M targets, K hidden tokens, C width of SAM.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from deixis.processing.batch import moved
from deixis.processing.unipixel import canvas_corners
from deixis.structures.prompts import Box, Point
from deixis.training.directions import KINDS, Directions, Said


@dataclass(frozen=True, kw_only=True, slots=True)
class Asks:
    """What is asked of SAM for each target.

    Attributes:
        coords: (M, 2, 2) corners of a prompt in pixels of SAM's canvas; is_box: (M,).
        pointed: (M,) whether there is a prompt.
        said: (M, 3) words by kind, 0 where none is said.
    """

    coords: Tensor
    is_box: Tensor
    pointed: Tensor
    said: Tensor

    @classmethod
    def of(
        cls, asked: Sequence[tuple[Point | Box | None, Said]], size: Sequence[Any], side: int
    ) -> "Asks":
        """Return prompts on frames of ``size`` (height, width) each, and words, of each target."""
        nowhere = [[0.0, 0.0], [0.0, 0.0]]
        words = torch.tensor([said for _, said in asked], dtype=torch.long)
        corners = [
            nowhere if prompt is None else canvas_corners(prompt, own, side)
            for (prompt, _), own in zip(asked, size, strict=True)
        ]
        return cls(
            coords=torch.tensor(corners).reshape(-1, 2, 2),
            is_box=torch.tensor([isinstance(one, Box) for one, _ in asked], dtype=torch.bool),
            pointed=torch.tensor([one is not None for one, _ in asked], dtype=torch.bool),
            said=words.reshape(-1, len(KINDS)),
        )

    def __len__(self) -> int:
        return len(self.said)

    @property
    def known(self) -> Tensor:
        """(M,) whether anything is asked."""
        return self.pointed | self.said.any(1)

    def to(self, device: torch.device | str) -> "Asks":
        """Return all of it on a device."""
        return moved(self, device)


class Meanings:
    """Turns what is asked into the hidden tokens that ask it.

    Args:
        width: C, of SAM.
    """

    def __init__(self, width: int) -> None:
        self.directions = Directions(width)

    def tokens(self, model: Any, asks: Asks) -> Tensor:
        """Return (M, K, C), what hidden tokens ought to be; learned codes are taken as they are."""
        codes = model.tracker.sam.prompts
        count, most = len(asks), int(model.config.hidden_tokens)
        nothing = codes.no_points(count, max(2, most))
        where = codes.points(asks.coords, model.prompting.labels(asks.is_box), pad=False)
        where = torch.where(asks.pointed[:, None, None], where, nothing[:, :2])
        said = asks.said.any(1)[:, None]
        what = torch.where(said, self.directions(asks.said).to(where), where[:, 1])
        tokens = torch.cat([where[:, :1], what[:, None], nothing[:, 2:]], 1)
        return tokens if most > 1 else tokens.sum(1, keepdim=True)
