"""Frames -> PRIMA's two views; and SAM's mask logits back to a frame's size.

EVA-CLIP sees the whole frame squeezed to a square (specification 2.2, without random crops); SAM
sees it with its longest side fitted to the square, padded right and below (7.3, 7.5). Both are
resized by Pillow, as in the published code, which rounds between its two passes.

Shapes: H W pixels of a frame, M masks, h w cells of mask logits.
"""

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from deixis.structures.images import Frame
from deixis.structures.placement import Placement

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
SAM_MEAN, SAM_STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


def eva_pixels(frame: Frame, side: int) -> Tensor:
    """Return (3, side, side), float: resized by bicubic, aspect ignored, normalised as CLIP's."""
    pixels = _resized(frame, (side, side), Image.Resampling.BICUBIC).float() / 255
    return (pixels - _column(CLIP_MEAN)) / _column(CLIP_STD)


def sam_pixels(frame: Frame, side: int) -> tuple[Tensor, Placement]:
    """Return (3, side, side), float, zeros where there is no image; and how it was placed."""
    placement = sam_placement(frame.size, side)
    pixels = _resized(frame, placement.resized, Image.Resampling.BILINEAR).float()
    height, width = placement.resized
    out = torch.zeros(3, side, side)
    out[:, :height, :width] = (pixels - _column(SAM_MEAN)) / _column(SAM_STD)
    return out, placement


def sam_placement(size: tuple[int, int], side: int) -> Placement:
    """Return how SAM places a frame of (height, width): sides are rounded half up."""
    scale = side / max(size)
    height, width = (min(side, max(1, int(length * scale + 0.5))) for length in size)
    return Placement(original=size, resized=(height, width), canvas=(side, side))


def sam_masks(logits: Tensor, placement: Placement) -> Tensor:
    """Bring SAM's logits (M, h, w) of the canvas to logits (M, H, W) of the original frame.

    Twice bilinear with a cut between, as SAM itself does; differentiable, in float32.
    """
    height, width = placement.resized
    large = F.interpolate(
        logits[:, None].float(), placement.canvas, mode="bilinear", align_corners=False
    )
    whole = F.interpolate(
        large[:, :, :height, :width], placement.original, mode="bilinear", align_corners=False
    )
    return whole[:, 0]


def on_canvas(masks: Tensor, placement: Placement) -> Tensor:
    """Return masks (M, H, W) of a frame where they lie on SAM's canvas (M, S, S), as shares."""
    resized = F.interpolate(masks[:, None].float(), placement.resized, mode="area")[:, 0]
    height, width = (a - b for a, b in zip(placement.canvas, placement.resized, strict=True))
    return F.pad(resized, (0, width, 0, height))


def _resized(frame: Frame, size: tuple[int, int], how: Image.Resampling) -> Tensor:
    """Return uint8 (3, height, width)."""
    resized = Image.fromarray(frame.pixels).resize(size[::-1], how)
    return torch.from_numpy(np.array(resized)).permute(2, 0, 1)


def _column(values: tuple[float, float, float]) -> Tensor:
    return torch.tensor(values)[:, None, None]
