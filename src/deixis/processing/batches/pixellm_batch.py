"""What PixelLM reads: images on their canvas, and rows of words that may each hold one image.

Shapes: I images, H canvas side, B rows, N tokens, M targets, G tokens per group.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from deixis.errors import ShapeError
from deixis.processing.batch import moved
from deixis.structures.placement import Placement

IMAGE = -200  # stands in the tokens where an image goes; it is no id of any tokenizer
IGNORED = -100  # a label that is not learned


@dataclass(frozen=True, kw_only=True, slots=True)
class GroupSlots:
    """Where the codebook tokens of targets stand in the rows.

    Attributes:
        row: (M,) of each target; rows stand in order, and so do targets within a row.
        column: (M, G) of each of its tokens, counted before an image is spliced in.
    """

    row: Tensor
    column: Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class PixelLMTruth:
    """True answers.

    Attributes:
        labels: (B, N) the token where it is to be learned, IGNORED elsewhere.
        masks: for each target the true mask (H, W) bool in the pixels of its image.
        dropped: targets that were cut off with the ends of rows that are too long.
    """

    labels: Tensor
    masks: tuple[Tensor, ...]
    dropped: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class PixelLMBatch:
    """Questions about single images, or about none; several rows may ask about one image.

    Attributes:
        pixels: (I, 3, H, H) normalised, zeros outside the image; every image once.
        placements: how each image lies on its canvas.
        image: (B,) the image of each row, -1 without one.
        tokens: (B, N) ids, with IMAGE where the image goes; filled from the left.
        held: (B, N) which of them are there.
        slots: the groups among the tokens.
        truth: true answers, where known.

    Raises:
        ShapeError: a row with an image and no place for it, or the other way round; targets
            without true masks.
    """

    pixels: Tensor
    placements: tuple[Placement, ...]
    image: Tensor
    tokens: Tensor
    held: Tensor
    slots: GroupSlots
    truth: PixelLMTruth | None = None

    def __post_init__(self) -> None:
        places = (self.tokens == IMAGE).sum(1).tolist()
        wanted = (self.image >= 0).long().tolist()
        if places != wanted:
            raise ShapeError(
                f"image slots: expected {wanted} in the rows (one for a row with an image), "
                f"got {places}. PixelLM looks at one image per question."
            )
        if self.truth is not None and len(self.truth.masks) != len(self.slots.row):
            raise ShapeError(
                f"true masks: expected one for each of {len(self.slots.row)} groups, "
                f"got {len(self.truth.masks)}."
            )

    @property
    def resized(self) -> Tensor:
        """(I, 2) height and width of each image on its canvas."""
        sizes = [placement.resized for placement in self.placements]
        return torch.tensor(sizes, device=self.tokens.device).reshape(-1, 2)

    @property
    def image_of_target(self) -> Tensor:
        """(M,) the image that each target is drawn on."""
        return self.image[self.slots.row]

    def every(self, step: int) -> "PixelLMBatch":
        """Return the batch with every such target only; its words stay."""
        slots = GroupSlots(row=self.slots.row[::step], column=self.slots.column[::step])
        truth = self.truth and replace(self.truth, masks=self.truth.masks[::step])
        return replace(self, slots=slots, truth=truth)

    def to(self, device: torch.device | str) -> "PixelLMBatch":
        """Return the batch with its tensors on a device."""
        return moved(self, device)
