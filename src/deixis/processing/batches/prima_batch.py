"""What PRIMA reads: two views of every frame, a prompt with placeholders, the bare question.

Shapes: F frames of G image sets, B rows (questions), X images of all rows, N tokens, T tokens of
the Q-Former's text, M targets, H W pixels of a frame.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from deixis.errors import ShapeError
from deixis.processing.batch import Layout, moved
from deixis.structures.placement import Placement


@dataclass(frozen=True, kw_only=True, slots=True)
class SegSlots:
    """The [SEG] tokens that are drawn.

    Attributes:
        row, column: (M,) which token it is, counted before images are spliced in.
        frame: (M,) flat frame that it is drawn in.
    """

    row: Tensor
    column: Tensor
    frame: Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class PrimaTruth:
    """True answers.

    Attributes:
        labels: (B, N) the token where it is to be learned, -100 elsewhere.
        masks: for each slot the true mask (H, W) float in the pixels of its frame.
        alike: (M,) one number for all slots that show one object, or share a phrase.
    """

    labels: Tensor
    masks: tuple[Tensor, ...]
    alike: Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class PrimaBatch:
    """Questions about image sets; several rows may ask about one set.

    Attributes:
        pixels: (F, 3, h, w) for EVA-CLIP; canvas: (F, 3, H, W) for SAM; both normalised.
        layout: where each frame belongs.
        set_of_row: (B,).
        tokens: (B, N) prompt, and the answer where it is known; filled from the left.
        images: (B, N) bool, which of them stand for an image; held: which are there at all.
        text, text_held: (X, T) the question in the Q-Former's own words, for every image of every
            row.
        slots: the [SEG] tokens of the answer.
        placements: how each frame lies on SAM's canvas.
        truth: true answers, where known.

    Raises:
        ShapeError: placeholders and images differ in number, or slots and true masks.
    """

    pixels: Tensor
    canvas: Tensor
    layout: Layout
    set_of_row: Tensor
    tokens: Tensor
    images: Tensor
    held: Tensor
    text: Tensor
    text_held: Tensor
    slots: SegSlots
    placements: tuple[Placement, ...]
    truth: PrimaTruth | None = None

    def __post_init__(self) -> None:
        wanted = self.layout.num_images[self.set_of_row].tolist()
        got = self.images.sum(1).tolist()
        if wanted != got:
            raise ShapeError(
                f"image slots: expected {wanted} placeholders in the rows, got {got}. "
                f"Every image of the set needs one <image> in the prompt."
            )
        if self.truth is not None and len(self.truth.masks) != len(self.slots.row):
            raise ShapeError(
                f"true masks: expected one for each of {len(self.slots.row)} [SEG] slots, "
                f"got {len(self.truth.masks)}."
            )

    @property
    def device(self) -> torch.device:
        """Where its tensors are."""
        return self.tokens.device

    def to(self, device: torch.device | str) -> "PrimaBatch":
        """Return the batch with its tensors on a device."""
        return moved(self, device)
