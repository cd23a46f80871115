"""Frames of any size -> one canvas each, by torch alone; and masks back to the frame's size."""

import torch
import torch.nn.functional as F
from torch import Tensor

from deixis.structures.images import Frame
from deixis.structures.logits import MaskLogits, Step
from deixis.structures.placement import Placement

GREY = 128  # what surrounds an image that does not fill its canvas


def place_frame(frame: Frame, canvas: tuple[int, int]) -> tuple[Tensor, Placement]:
    """Return a frame on its canvas, uint8 (3, H, W), and how it was placed."""
    placement = Placement.fit(frame.size, canvas)
    pixels = torch.tensor(frame.reduced(4 * max(canvas))).permute(2, 0, 1)
    if pixels.shape[1:] != placement.resized:
        resized = F.interpolate(
            pixels[None].float(), placement.resized, mode="bilinear", antialias=True
        )
        pixels = resized[0].round().clamp(0, 255).to(torch.uint8)
    height, width = placement.resized
    out = torch.full((3, *canvas), GREY, dtype=torch.uint8)
    out[:, :height, :width] = pixels
    return out, placement


def place_mask(mask: Tensor, placement: Placement, stride: int) -> Tensor:
    """Return which share of each cell a mask (H, W) covers: (canvas / stride), float.

    Only that part of a cell counts in which the image lies, so that its edges are covered wholly.
    """
    height, width = placement.resized
    out, image = torch.zeros(2, *placement.canvas)
    image[:height, :width] = 1
    if mask.shape == placement.resized:
        out[:height, :width] = mask
    else:
        small = F.interpolate(
            mask[None, None].float(), placement.resized, mode="bilinear", antialias=True
        )
        out[:height, :width] = small[0, 0]
    share, there = F.avg_pool2d(torch.stack([out, image])[:, None], stride)[:, 0]
    return share / there.clamp(min=stride**-2)


def restore_masks(logits: Tensor, placement: Placement) -> Tensor:
    """Bring mask logits (M, h, w) of a canvas to booleans (M, H, W) of the original image."""
    rows, columns = logits.shape[1:]
    size = placement.canvas
    height = placement.resized[0] * rows / size[0]
    width = placement.resized[1] * columns / size[1]
    target_y = (torch.arange(placement.original[0]) + 0.5) * (height / placement.original[0])
    target_x = (torch.arange(placement.original[1]) + 0.5) * (width / placement.original[1])
    return _bilinear(_bilinear(logits, target_y, 1), target_x, 2) > 0


def small_logits(logits: Tensor, placement: Placement) -> MaskLogits:
    """Return the logits (h, w) of one mask with their way to the image, as `restore_masks` goes."""
    share = [now / whole for now, whole in zip(placement.resized, placement.canvas, strict=True)]
    extent = (logits.shape[0] * share[0], logits.shape[1] * share[1])
    step = Step(extent=extent, size=placement.original)
    return MaskLogits(values=logits.detach().float().cpu().numpy(), steps=(step,))


def cut_logits(logits: Tensor, placement: Placement) -> MaskLogits:
    """Return the same for SAM and PixelLM, which resize to the canvas, cut, and resize again."""
    height, width = logits.shape
    steps = (
        Step(extent=(height, width), size=placement.canvas),
        Step(extent=placement.resized, size=placement.original, cut=True),
    )
    return MaskLogits(values=logits.detach().float().cpu().numpy(), steps=steps)


def _bilinear(values: Tensor, at: Tensor, axis: int) -> Tensor:
    """Sample along an axis at continuous places (cell i has its centre at i + 0.5)."""
    length = values.shape[axis]
    at = (at.to(values.device) - 0.5).clamp(0, length - 1)
    low = at.floor().long()
    high = (low + 1).clamp(max=length - 1)
    shape = [1, 1, 1]
    shape[axis] = len(at)
    share = (at - low).view(shape).to(values.dtype)
    return values.index_select(axis, low) * (1 - share) + values.index_select(axis, high) * share
