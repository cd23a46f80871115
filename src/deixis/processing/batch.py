"""Batch in, Output out: all that crosses between processing and models.

Shapes: F frames of G image sets, B rows (questions), N question tokens, T answer tokens,
R prompts, X true masks, H W canvas pixels, h w cells of stride 2, hm wm of masks.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor

from deixis.errors import ShapeError
from deixis.structures.placement import Placement

_T = TypeVar("_T")


def moved(value: _T, device: torch.device | str, *, only_floats: bool = False) -> _T:
    """Return a value with all its tensors, or only those of floats, on a device: a tensor, or a
    dataclass, a tuple or a mapping of such values; anything else as it is."""
    onward = partial(moved, device=device, only_floats=only_floats)
    found: Any = value
    if isinstance(value, Tensor):
        found = value.to(device) if value.is_floating_point() or not only_floats else value
    elif is_dataclass(value) and not isinstance(value, type):
        own = {one.name: onward(getattr(value, one.name)) for one in fields(value)}
        found = replace(value, **own)
    elif isinstance(value, tuple):
        found = tuple(map(onward, value))
    elif isinstance(value, Mapping):
        found = {key: onward(item) for key, item in value.items()}
    return found


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """Which frame belongs to which image of which set.

    Attributes:
        set: (F,) the set of each frame; frames of a set stand together.
        image: (F,) the image within its set.
        time: (F,) moment within its clip, in [0, 1]; 0 for a picture.
        clip: (F,) whether the image is a clip.
        num_images: (G,).
    """

    set: Tensor
    image: Tensor
    time: Tensor
    clip: Tensor
    num_images: Tensor

    def frames(self, index: int) -> range:
        """Return the flat frames of a set."""
        where = torch.nonzero(self.set == index)[:, 0]
        return range(int(where[0]), int(where[-1]) + 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class PromptSlots:
    """Prompts and the question tokens that stand for them.

    Attributes:
        row, column: (R,) where the slot is in the question.
        frame: (R,) flat frame of the batch.
        number: (R,) index of the number under which the question speaks of it.
        kind: (R,) 0 point, 1 box, 2 mask.
        coords: (R, 2, 2) corners (x, y) in [0, 1] of the canvas; a point twice.
        masks: (R, h, w) covered share of each cell; a box filled, a point's cell.
    """

    row: Tensor
    column: Tensor
    frame: Tensor
    number: Tensor
    kind: Tensor
    coords: Tensor
    masks: Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class Mentions:
    """What questions touch on their way to the answer, where this is known.

    Attributes:
        things: (F, h, w) number of the thing at each cell, 0 for none.
        row, frame, thing: (Y,) question, frame and thing.
        role: (Y,) 0 fits a description, 1 is pointed at or has others beside it, 2 is meant by a
            question that wants no target, 3 and more: the part role - 3 of it is.
        deeds: (F, things, 13) whether each thing does something in its clip (1 or 0), -1 where
            this could be disputed or there is no clip.
    """

    things: Tensor
    row: Tensor
    frame: Tensor
    thing: Tensor
    role: Tensor
    deeds: Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class Truth:
    """True answers.

    Attributes:
        tokens: (B, T) the written answer, padded.
        row, order: (M,) row of each target, and which group of the row it is.
        target, frame: (X,) target and flat frame of each mask.
        masks: (X, hm, wm) covered share of each cell.
        pointing: (B,) whether the answer names targets, present or absent.
        mentions: what the questions touch, for training on scenes.
    """

    tokens: Tensor
    row: Tensor
    order: Tensor
    target: Tensor
    frame: Tensor
    masks: Tensor
    pointing: Tensor
    mentions: Mentions | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """Questions about image sets; several rows may ask about one set.

    Attributes:
        pixels: (F, 3, H, W) uint8.
        layout: where each frame belongs.
        set_of_row: (B,).
        question: (B, N) token ids, padded.
        asked: (B, N) which of them are there.
        prompts: slots of what the questions point with.
        placements: how each frame lies on its canvas.
        truth: true answers, where known.
        shortened: (B) for each question whether it was too long to be read to its end.

    Raises:
        ShapeError: slots and their vectors differ in number.
    """

    pixels: Tensor
    layout: Layout
    set_of_row: Tensor
    question: Tensor
    asked: Tensor
    prompts: PromptSlots
    placements: tuple[Placement, ...]
    truth: Truth | None = None
    shortened: tuple[bool, ...] = ()

    def __post_init__(self) -> None:
        slots = self.prompts
        if not len(slots.row) == len(slots.coords) == len(slots.masks):
            raise ShapeError(
                f"prompt slots: expected one place and one mask for each of {len(slots.row)}, "
                f"got {len(slots.coords)} and {len(slots.masks)}."
            )
        if len(self.pixels) != len(self.layout.set):
            raise ShapeError(
                f"frames: expected {len(self.layout.set)} by the layout, got {len(self.pixels)}."
            )

    def to(self, device: torch.device | str) -> "Batch":
        """Return the batch with its tensors on a device.

        The meta device knows shapes and no values; whole numbers, which say what belongs to
        what, stay where they are, so that a whole forward can be tried there.
        """
        meta = torch.device(device).type == "meta"
        return replace(moved(self, device, only_floats=meta), pixels=self.pixels.to(device))


@dataclass(frozen=True, kw_only=True, slots=True)
class Output:
    """What a model returns.

    Attributes:
        mask_logits: (R, hm, wm), one row per target and frame.
        target, frame: (R,) which target, and which flat frame, each mask row is about.
        presence: (M, S) how sure that target m shows in image s of its set, in [0, 1].
        score: (M,) estimated IoU, in [0, 1].
        text_logits: (B, T, V) where the true text was given, else None.
        extra: what the objective of this family needs besides.
    """

    mask_logits: Tensor
    target: Tensor
    frame: Tensor
    presence: Tensor
    score: Tensor
    text_logits: Tensor | None = None
    extra: Any = None
