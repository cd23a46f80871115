"""What a prompt of SAM asks for, while stage 0 teaches both sides of it: SAM to draw it, [SEG] to
say it.

It is the sum of what is asked for, a fixed random direction for every word of our scenes, and of
where its middle lies, in SAM's own code of places. Words alone do not tell two red mugs apart, and
a place alone not a mug from its handle.

Shapes: M targets, C width of a prompt, H W pixels.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from deixis.models.configs.deixis_config import scene_words
from deixis.nn.cells import middles
from deixis.scenes.asking.wording import plural_part
from deixis.structures.placement import Placement
from deixis.training.directions import KINDS, Directions, said_of

ASKED = (*KINDS, "part")
NOWHERE = -1.0  # for both coordinates, where no place is told
PARTS = {
    form: 1 + index
    for index, name in enumerate(scene_words()["part"])
    for form in (name, plural_part(name))
}


class Asking:
    """Turns what is asked into prompts.

    Args:
        width: C.
    """

    def __init__(self, width: int) -> None:
        self.directions = Directions(width, ASKED)

    def __call__(self, model: Any, said: Tensor, middle: Tensor) -> Tensor:
        """Return prompts (M, C) of words (M, 4), 0 where none is said, and of middles (M, 2) as
        ``middles_on_canvas`` gives them, ``NOWHERE`` where none is told. SAM's code is taken as it
        is."""
        told = (middle >= 0).all(1, keepdim=True)
        places: Tensor = model.decoding.code(middle.clamp(min=0))
        return self.directions(said).to(places) + places * told


def asked_by(phrase: str) -> tuple[int, ...]:
    """Return the words of a phrase: of the thing, and of its part if it is one that is meant.

    Example:
        >>> asked_by("wheels of the red car")[:3] == said_of("red car")
        True
    """
    part, _, owner = phrase.rpartition(" of the ")
    named = (PARTS[word] for word in part.split() if word in PARTS)
    return *said_of(owner), next(named, 0)


def middles_on_canvas(masks: Tensor, placements: Sequence[Placement]) -> Tensor:
    """Return the middles (M, 2) of masks (M, H, W) as (x, y) in shares of SAM's canvas, on which
    each frame is placed; ``NOWHERE`` of what is empty."""
    shares, there = middles(masks)
    extents = [
        [one.resized[1] / one.canvas[1], one.resized[0] / one.canvas[0]] for one in placements
    ]
    shares = shares * torch.tensor(extents, device=masks.device).reshape(-1, 2)
    return torch.where(there[:, None], shares, NOWHERE)
