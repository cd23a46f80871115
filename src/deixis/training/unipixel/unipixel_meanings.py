"""What the hidden tokens of a <seg> say, while stage 0 teaches both sides of them.

SAM learns to draw what they ask for, and the language decoder to say it. The first token is where:
SAM's own code of a point, or of a box together with the second. The second is what: of each word of
our scenes a fixed random direction. So no model has a weight that only training needs.

Shapes: M targets, K hidden tokens, C width of SAM.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np
import torch
from torch import Tensor

from deixis.processing.batch import moved
from deixis.processing.unipixel import canvas_corners
from deixis.structures.masks import Mask
from deixis.structures.prompts import Box, Point
from deixis.training.directions import (
    KINDS,
    NOTHING,
    WORDS,
    Directions,
    Said,
    fits,
    short_words,
)
from deixis.training.unipixel.unipixel_lessons import point_at
from deixis.training.unipixel.unipixel_recipe import EVERYTHING

WAYS = {"prompt": 0.35, "words": 0.25, "both": 0.4}  # how SAM is asked for a thing


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


def ask_for(
    mask: Mask, thing: int, said: Mapping[int, Said], random: Random
) -> tuple[Point | Box | None, Said]:
    """Ask for a thing with a prompt, with its words where they mean it alone, or with its middle
    and its words, as a decoder asks that has found it."""
    others = [words for one, words in said.items() if one != thing]
    words = short_words(said[thing], others, random)
    way = random.choices(list(WAYS), list(WAYS.values()))[0]
    if way == "words" and words != NOTHING:
        return None, words
    if way == "both":
        y, x = (float(each.mean()) + 0.5 for each in np.nonzero(mask.pixels))
        return Point(image=0, x=x, y=y), said[thing] if words == NOTHING else words
    return point_at(mask, 0, 1, EVERYTHING, random), NOTHING


def words_of_none(there: set[Said], random: Random) -> Said:
    """Return words that are true of nothing that is there, near to what is if it can be."""
    while True:
        near = list(random.choice(sorted(there)))
        place = random.randrange(2)
        near[place] = 1 + random.randrange(len(WORDS[KINDS[place]]))
        some: Said = (near[0], near[1], 0)
        if not any(fits(some, own) for own in there):
            return some
