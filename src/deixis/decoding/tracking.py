"""Frame memory with a bound: masks of all objects along a clip of any length.

SAM 2's tracking (arXiv:2408.00714) as UniPixel uses it (arXiv:2509.18094; specification 5.2): the
first frame is drawn from hidden tokens; each later one from its features, the masks of the first
frame and of the last six, and pointers to the last fifteen. Nothing older is kept. All objects of
an answer are rows of one batch, and the image encoder sees each frame once. Beside the first frame
others may be known, and a clip may be followed backward; ``decoding/sweeping.py`` does.

Shapes: O objects, C width, m memory width, h w cells of the grid, K rows of memory.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
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
MOST_ANCHORS = 4  # known frames that a frame is compared with: the nearest, of both sides
SURE, UNSURE = 10.0, -10.0  # logits of a mask that a person gave, as in SAM 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """What is kept of one frame: (O, m, h, w) of its masks, and (O, C) a pointer per object."""

    masks: Tensor | None
    pointer: Tensor


@dataclass(kw_only=True)
class FrameMemory:
    """What was drawn so far: the frames that were known from the start, and the last ones.

    Attributes:
        horizon: how many frames the clip has, at most the number of pointers that are kept; it
            scales the code of time.
        anchors: frame -> what was drawn there from hidden tokens, or given.
        recent: (newest last) the frames whose masks are kept, and these.
        pointers: (newest last) the frames whose pointers are kept, and these.
        last: the frame that was drawn last.
        step: 1, or -1 where a clip is followed backward.
    """

    horizon: int
    anchors: dict[int, Kept]
    recent: deque[tuple[int, Tensor]]
    pointers: deque[tuple[int, Tensor]]
    last: int
    step: int = 1

    def add(self, kept: Kept) -> None:
        """Keep one more frame; the oldest goes."""
        assert kept.masks is not None, "only the last frame of a clip is not remembered"
        self.pass_by()
        self.recent.append((self.last, kept.masks))
        self.pointers.append((self.last, kept.pointer))

    def pass_by(self) -> None:
        """Go on by a frame that is known already."""
        self.last += self.step

    def ago(self, frame: int) -> int:
        """Return how many steps before the next frame another one lies."""
        return (self.last + self.step - frame) * self.step

    def near(self) -> list[int]:
        """Return the known frames nearest to the next one, of both sides if there are."""
        ranked = sorted(self.anchors, key=lambda frame: abs(self.ago(frame)))
        sides = [[f for f in ranked if (self.ago(f) > 0) is past][:1] for past in (True, False)]
        first = [frame for side in sides for frame in side]
        return [*first, *(frame for frame in ranked if frame not in first)][:MOST_ANCHORS]

    @property
    def num_bytes(self) -> int:
        """How much is held."""
        known = [tensor for kept in self.anchors.values() for tensor in (kept.masks, kept.pointer)]
        tensors = [*known, *(tensor for _, tensor in (*self.recent, *self.pointers))]
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
        return self.begin_at({0: first}, length, last=0)

    def begin_at(
        self, anchors: dict[int, Kept], length: int, *, last: int, step: int = 1
    ) -> FrameMemory:
        """Return a memory that holds known frames of a clip, and goes on after ``last``."""
        pointers = int(self.config.max_object_pointers_in_encoder)
        return FrameMemory(
            horizon=min(length, pointers),
            anchors=anchors,
            recent=deque(maxlen=self.config.num_maskmem - 1),
            pointers=deque(maxlen=max(0, min(length, pointers) - 1)),
            last=last,
            step=step,
        )

    def given(self, frame: FrameFeatures, masks: Tensor) -> tuple[Drawing, Kept]:
        """Return a person's masks (O, S, S) of 0 and 1 in one frame as if they had been drawn.

        As in SAM 2, the mask itself is remembered, and the decoder, shown it, makes the pointer.
        """
        canvas = masks[:, None].to(frame.coarse.dtype)  # (O, 1, S, S)
        features = frame.coarse.expand(len(masks), -1, -1, -1)
        dense = self.sam.prompts.masks(self.mask_downsample(canvas))
        drawn = self.sam.draw(features, frame, hide_absent=True, dense=dense)
        there = masks.flatten(1).any(1)[:, None]
        logits = canvas.float() * (SURE - UNSURE) + UNSURE
        size = drawn.mask_logits.shape[-2:]
        small = F.interpolate(logits, size, mode="bilinear", antialias=True)
        drawing = replace(
            drawn,
            candidates=small,
            candidate_scores=torch.ones_like(drawn.candidate_scores[:, :1]),
            presence_logits=torch.where(there, SURE, UNSURE).to(drawn.presence_logits.dtype),
            mask_logits=small[:, 0],
        )
        pointer = torch.where(there, self.points_to(drawn), self.no_pointer)
        return drawing, Kept(masks=self._encoded(frame, logits, there), pointer=pointer)

    # -- looking back --------------------------------------------------------------------------

    def recall(self, frame: FrameFeatures, memory: FrameMemory) -> Tensor:
        """Return (O, C, h, w): a frame's features, mixed with what each object's memory holds."""
        held = [(0, memory.anchors[frame].masks) for frame in memory.near()]
        past = [(memory.ago(frame), masks) for frame, masks in memory.recent]
        held += [(ago, masks) for ago, masks in past if ago < self.config.num_maskmem]
        masks = torch.stack([masks for _, masks in held if masks is not None], 1)  # (O, n, m, h, w)
        rows = masks.flatten(3).transpose(2, 3).flatten(1, 2)  # (O, n * h * w, m)
        codes = self._codes_of_masks(masks, [ago for ago, _ in held])
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

    def _codes_of_masks(self, masks: Tensor, ago: list[int]) -> Tensor:
        """Return (n * h * w, m): where each row of memory is, and how long ago; 0 is known."""
        place = self._memory_sine(masks[:1, 0]).flatten(2)[0].T  # (h * w, m)
        # A frame n steps ago has row n - 1; the last row, which is row -1, is that of known ones.
        rows = [steps - 1 for steps in ago]
        return (place + self.distance_code[rows][:, 0]).flatten(0, 1)

    def _pointers(self, memory: FrameMemory) -> tuple[Tensor, Tensor]:
        """Return (O, K, m) pointers cut to pieces of the memory's width, and (K, m) when.

        Of the known frames only those that were passed point, as in SAM 2.
        """
        passed = [frame for frame in memory.near() if memory.ago(frame) > 0]
        held = [(memory.ago(frame), memory.anchors[frame].pointer) for frame in passed]
        past = [(memory.ago(frame), pointer) for frame, pointer in reversed(memory.pointers)]
        held += [(ago, pointer) for ago, pointer in past if ago < memory.horizon]
        pointers = torch.stack([pointer for _, pointer in held], 1)  # (O, n, C)
        ago = [steps for steps, _ in held]
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
        side = self.sam.prompts.canvas
        masks = F.interpolate(drawing.mask_logits[:, None], (side, side), mode="bilinear")
        return self._encoded(frame, masks, drawing.there)

    def _encoded(self, frame: FrameFeatures, logits: Tensor, there: Tensor) -> Tensor:
        """Return (O, m, h, w) of mask logits (O, 1, S, S) and whether each object is there."""
        masks = logits.sigmoid() * self.config.sigmoid_scale_for_mem_enc
        masks = (masks + self.config.sigmoid_bias_for_mem_enc).to(frame.coarse.dtype)
        kept, _ = self.memory_encoder(frame.coarse, masks)
        absent = (~there).to(kept.dtype)[..., None, None]
        return kept + absent * self.absent_memory[..., None, None]

    def points_to(self, drawing: Drawing) -> Tensor:
        """Return (O, C): a pointer to each object, or to nothing."""
        return torch.where(drawing.there, self.pointer(drawing.token), self.no_pointer)
