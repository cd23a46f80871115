"""What UniPixel reads: tokens with slots, patches for Qwen2.5-VL, frames for SAM 2.

Shapes: B rows, N tokens, V clips, R prompts, T frames, S side of SAM's canvas, t h w merged cells,
O objects.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from deixis.errors import ShapeError
from deixis.processing.batch import moved


@dataclass(frozen=True, kw_only=True, slots=True)
class RefPrompts:
    """Points and boxes, in the order of their <ref> slots.

    Attributes:
        coords: (R, 2, 2) corners (x, y) in pixels of SAM's canvas; a point twice.
        is_box: (R,) bool.
        time: (R,) in [0, 1], when in the clip.
    """

    coords: Tensor
    is_box: Tensor
    time: Tensor

    def __post_init__(self) -> None:
        if not len(self.coords) == len(self.is_box) == len(self.time):
            raise ShapeError(
                f"prompts: expected one kind and one time for each of {len(self.coords)}, "
                f"got {len(self.is_box)} and {len(self.time)}."
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class UniPixelTruth:
    """True answers.

    Attributes:
        labels: (B, N) token ids; -100 where nothing is to be learned.
        masks: for each row (T, O, S, S) bool, one object per <seg>.
    """

    labels: Tensor
    masks: tuple[Tensor, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class UniPixelBatch:
    """Questions about clips; a picture is a clip of one frame.

    Attributes:
        tokens: (B, N) ids; held: (B, N) which of them are there; positions: (3, B, N).
        patches: (P, 1176) of all clips; grids: (V, 3) patches (t, h, w) of each.
        clips: for each row its frames (T, 3, S, S) as SAM reads them.
        sizes: for each row (height, width) of its frames.
        prompts: points and boxes.
        regions: for each clip (t, O, h, w) bool, the cells of given masks.
        truth: true answers, where known.

    Raises:
        ShapeError: frames or sizes of another number of rows.
    """

    tokens: Tensor
    held: Tensor
    positions: Tensor
    patches: Tensor
    grids: Tensor
    clips: tuple[Tensor, ...]
    sizes: tuple[tuple[int, int], ...]
    prompts: RefPrompts
    regions: tuple[Tensor | None, ...]
    truth: UniPixelTruth | None = None

    def __post_init__(self) -> None:
        if not len(self.clips) == len(self.sizes) == len(self.tokens):
            raise ShapeError(
                f"clips: expected one clip and one size for each of {len(self.tokens)} rows, "
                f"got {len(self.clips)} and {len(self.sizes)}."
            )
        if len(self.regions) != len(self.grids):
            raise ShapeError(
                f"regions: expected masks or None for each of {len(self.grids)} clips, "
                f"got {len(self.regions)}."
            )

    def to(self, device: torch.device | str) -> "UniPixelBatch":
        """Return the batch with its tensors on a device."""
        return moved(self, device)
