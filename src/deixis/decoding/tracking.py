"""Frame memory with a bound: masks of all objects along a clip of any length.

SAM 2's tracking (arXiv:2408.00714) as UniPixel uses it (arXiv:2509.18094; specification 5.2): the
first frame is drawn from hidden tokens; each later one from its features, the masks of the first
frame and of the last six, and pointers to the last fifteen. Nothing older is kept. All objects of
an answer are rows of one batch, and the image encoder sees each frame once.

Shapes: O objects, C width, m memory width, h w cells of the grid, K rows of memory.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import Sam2VideoConfig
from transformers.models.sam2_video.modeling_sam2_video import (
    Sam2VideoFeedForward,
    Sam2VideoMemoryEncoder,
)

from deixis.decoding.frame_attention import MemoryAttention
from deixis.decoding.promptable import Drawing, FrameFeatures, Promptable

TEMPERATURE = 10000  # of the sine code of time


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """What is kept of one frame: (O, m, h, w) of its masks, and (O, C) a pointer per object."""

    masks: Tensor | None
    pointer: Tensor


@dataclass(kw_only=True)
class FrameMemory:
    """What was drawn so far: the first frame and the last ones.

    Attributes:
        horizon: how many frames the clip has, at most the number of pointers that are kept; it
            scales the code of time.
        first: the frame that was drawn from hidden tokens.
        recent: (newest last) the frames whose masks are kept.
        pointers: (newest last) pointers of the frames after the first.
        drawn: how many frames were drawn.
    """

    horizon: int
    first: Kept
    recent: deque[Tensor]
    pointers: deque[Tensor]
    drawn: int = field(default=1)

    def add(self, kept: Kept) -> None:
        """Keep one more frame; the oldest goes."""
        assert kept.masks is not None, "only the last frame of a clip is not remembered"
        self.recent.append(kept.masks)
        self.pointers.append(kept.pointer)
        self.drawn += 1

    @property
    def num_bytes(self) -> int:
        """How much is held."""
        tensors = [*self.recent, *self.pointers, self.first.masks, self.first.pointer]
        return sum(t.numel() * t.element_size() for t in tensors if t is not None)


def sine_of_time(distance: Tensor, width: int) -> Tensor:
    """Return (N, width): sines, then cosines, of distances (N,)."""
    half = width // 2
    step = torch.arange(half, device=distance.device, dtype=torch.float32) // 2
    angle = distance.float()[:, None] / TEMPERATURE ** (2 * step / half)
    return torch.cat([angle.sin(), angle.cos()], -1)


class Tracker(nn.Module):
    """Draws masks of hidden tokens along a clip.

    Args:
        config: of SAM 2; memory of any width.
        still_rotation: see ``RotaryAttention``; only to reproduce published gradients.
    """

    def __init__(self, config: Sam2VideoConfig, *, still_rotation: bool = False) -> None:
        super().__init__()
        vision: Any = config.vision_config
        width = vision.fpn_hidden_size
        memory_width = config.memory_encoder_output_channels
        self.config = config
        self.sam = Promptable(config)
        self.memory_attention = MemoryAttention(
            width,
            memory_width,
            config.memory_attention_feed_forward_hidden_size,
            num_layers=config.memory_attention_num_layers,
            num_heads=config.memory_attention_num_attention_heads,
            dropout=float(config.memory_attention_dropout),
            theta=float((config.rope_parameters or {}).get("rope_theta", TEMPERATURE)),
            still=still_rotation,
        )
        self.memory_encoder = Sam2VideoMemoryEncoder(config)
        self.pointer = Sam2VideoFeedForward(width, width, width, 3)
        self.pointer_time = nn.Linear(width, memory_width)
        self.no_memory = nn.Parameter(torch.zeros(1, 1, width))
        self.no_memory_code = nn.Parameter(torch.zeros(1, 1, width))  # in the weights; never read
        self.no_pointer = nn.Parameter(torch.zeros(1, width))
        self.absent_memory = nn.Parameter(torch.zeros(1, memory_width))
        self.distance_code = nn.Parameter(torch.zeros(config.num_maskmem, 1, 1, memory_width))
        self.mask_downsample = nn.Conv2d(1, 1, 4, 4)  # turns a given mask to SAM's own scale

    def track(
        self, hidden: Tensor, frames: Iterable[Tensor], length: int, *, alone: bool = False
    ) -> Iterator[Drawing]:
        """Yield the drawing of each frame as it is made; of all objects at once.

        Args:
            hidden: (O, K, C) hidden tokens.
            frames: chunks (n, 3, H, W) of the clip, of any sizes, in order.
            length: frames of the clip; any number from 16 up means the same.
            alone: draw every frame from the hidden tokens, without memory.
        """
        yield from self.follow(hidden, self.looks(frames), length, alone=alone)

    def follow(
        self,
        hidden: Tensor,
        frames: Iterable[FrameFeatures],
        length: int,
        *,
        alone: bool = False,
    ) -> Iterator[Drawing]:
        """Yield as ``track`` does, for frames that have been looked at, one by one."""
        memory: FrameMemory | None = None
        for index, frame in enumerate(frames):
            if memory is None or alone:
                drawing = self.draw_first(frame, hidden)
            else:
                drawing = self.draw_next(frame, memory)
            yield drawing
            if alone or index + 1 >= length:  # nothing comes that could look back
                continue
            kept = self.remember(frame, drawing)
            if memory is None:
                memory = self.begin(kept, length)
            else:
                memory.add(kept)

    def looks(self, frames: Iterable[Tensor]) -> Iterator[FrameFeatures]:
        """Yield the features of each frame of chunks (n, 3, H, W)."""
        for chunk in frames:
            seen = self.sam.look(chunk)
            yield from (seen[index : index + 1] for index in range(len(seen)))

    def draw_first(self, frame: FrameFeatures, hidden: Tensor) -> Drawing:
        """Draw what hidden tokens (O, K, C) ask for, in one frame or in one per object."""
        features = frame.coarse + self.no_memory[0, :, :, None, None]
        features = features.expand(len(hidden), -1, -1, -1)
        return self.sam.draw(features, frame, hidden, hide_absent=not self.training)

    def draw_next(self, frame: FrameFeatures, memory: FrameMemory) -> Drawing:
        """Draw all objects in the frame that follows."""
        features = self.recall(frame, memory)
        return self.sam.draw(features, frame, hide_absent=not self.training)

    def begin(self, first: Kept, length: int) -> FrameMemory:
        """Return a memory that holds the first frame of a clip."""
        pointers = int(self.config.max_object_pointers_in_encoder)
        return FrameMemory(
            horizon=min(length, pointers),
            first=first,
            recent=deque(maxlen=self.config.num_maskmem - 1),
            pointers=deque(maxlen=min(length, pointers) - 1),
        )

    # -- looking back --------------------------------------------------------------------------

    def recall(self, frame: FrameFeatures, memory: FrameMemory) -> Tensor:
        """Return (O, C, h, w): a frame's features, mixed with what each object's memory holds."""
        assert memory.first.masks is not None
        masks = torch.stack([memory.first.masks, *memory.recent], 1)  # (O, n, m, h, w)
        rows = masks.flatten(3).transpose(2, 3).flatten(1, 2)  # (O, n * h * w, m)
        codes = self._codes_of_masks(masks)
        pointers, times = self._pointers(memory)
        current = frame.coarse.expand(len(rows), -1, -1, -1)
        sine = self._sine(frame.coarse)
        return self.memory_attention(
            current,
            sine,
            torch.cat([rows, pointers], 1),
            torch.cat([codes, times])[None],
            placeless=pointers.shape[1],
        )

    def _codes_of_masks(self, masks: Tensor) -> Tensor:
        """Return (n * h * w, m): where each row of memory is, and how long ago."""
        count = masks.shape[1]
        place = self._memory_sine(masks[:1, 0]).flatten(2)[0].T  # (h * w, m)
        # The last row is the first frame's; a frame n steps ago has row n - 1.
        ago = [self.config.num_maskmem - 1, *range(count - 2, -1, -1)]
        return (place + self.distance_code[ago][:, 0]).flatten(0, 1)

    def _pointers(self, memory: FrameMemory) -> tuple[Tensor, Tensor]:
        """Return (O, K, m) pointers cut to pieces of the memory's width, and (K, m) when."""
        newest_first = list(memory.pointers)[::-1]
        pointers = torch.stack([memory.first.pointer, *newest_first], 1)  # (O, n, C)
        ago = [memory.drawn, *range(1, len(newest_first) + 1)]
        distance = torch.tensor(ago, device=pointers.device) / (memory.horizon - 1)
        code = sine_of_time(distance, pointers.shape[-1]).to(pointers.dtype)
        width = self.distance_code.shape[-1]
        pieces = pointers.shape[-1] // width
        cut = pointers.unflatten(2, (pieces, width)).flatten(1, 2)
        return cut, self.pointer_time(code).repeat_interleave(pieces, 0)

    def _sine(self, like: Tensor) -> Tensor:
        """Return (1, C, h, w), the sine code of places."""
        code = self.sam.vision.neck.position_encoding
        return code(like[:1].shape, like.device, like.dtype)

    def _memory_sine(self, like: Tensor) -> Tensor:
        return self.memory_encoder.position_encoding(like.shape, like.device, like.dtype)

    # -- remembering ---------------------------------------------------------------------------

    def remember(self, frame: FrameFeatures, drawing: Drawing) -> Kept:
        """Return what is kept of a frame that was drawn."""
        return Kept(masks=self.masks_kept(frame, drawing), pointer=self.points_to(drawing))

    def masks_kept(self, frame: FrameFeatures, drawing: Drawing) -> Tensor:
        """Return (O, m, h, w): the masks of a frame as memory."""
        config, side = self.config, self.sam.prompts.canvas
        masks = F.interpolate(drawing.mask_logits[:, None], (side, side), mode="bilinear")
        masks = masks.sigmoid() * config.sigmoid_scale_for_mem_enc
        masks = (masks + config.sigmoid_bias_for_mem_enc).to(frame.coarse.dtype)
        kept, _ = self.memory_encoder(frame.coarse, masks)
        absent = (~drawing.there).to(kept.dtype)[..., None, None]
        return kept + absent * self.absent_memory[..., None, None]

    def points_to(self, drawing: Drawing) -> Tensor:
        """Return (O, C): a pointer to each object, or to nothing."""
        return torch.where(drawing.there, self.pointer(drawing.token), self.no_pointer)
