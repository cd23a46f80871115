"""Turns masks into tokens: what the image shows under each mask.

UniPixel's <mem> tokens (arXiv:2509.18094; specification 4.2). ``pool_regions`` weighs each cell
by the share of it that the mask covers; ``pool_touched`` is the published rule, which takes every
cell that a mask touches, over pairs of frames.

Shapes: N masks, C feature width, H x W mask pixels, h x w feature cells, D language width, T frames
of a clip, t pairs of them, O objects.
"""

import torch
from torch import Tensor, nn

from deixis.nn.shapes import expect_shape


def pool_regions(features: Tensor, masks: Tensor) -> Tensor:
    """Return (N, C): the mean of the features under each mask, weighted by covered area.

    A mask smaller than a cell still counts by the cells it touches. A mask of no pixel gives
    zeros, never NaN.

    Args:
        features: (N, C, h, w), the features of each mask's image.
        masks: (N, H, W) bool, or float shares in [0, 1]; any size.

    Raises:
        ShapeError: not one mask per feature map.
    """
    expect_shape("features under masks", features, (None, None, None, None))
    expect_shape("masks", masks, (len(features), None, None))
    exact = torch.promote_types(features.dtype, torch.float32)
    weights = cover_cells(masks.to(exact), (features.shape[-2], features.shape[-1]))
    pooled = torch.einsum("nchw,nhw->nc", features.to(exact), weights)
    area = weights.sum((1, 2))[:, None]  # (N, 1)
    return (pooled / area.clamp(min=torch.finfo(exact).tiny)).to(features.dtype)


def cover_cells(masks: Tensor, size: tuple[int, int]) -> Tensor:
    """Return (N, h, w): which share of each cell the masks (N, H, W) cover, exact for any sizes."""
    rows = _overlaps(masks.shape[-2], size[0], masks)  # (h, H)
    columns = _overlaps(masks.shape[-1], size[1], masks)  # (w, W)
    return torch.einsum("hy,nyx,wx->nhw", rows, masks, columns)


def _overlaps(pixels: int, cells: int, like: Tensor) -> Tensor:
    """Return (cells, pixels): the share of each cell that lies on each pixel, along one axis."""
    # Edges in units of 1 / (pixels * cells), so that they are whole numbers and exact.
    cell = torch.arange(cells, device=like.device)[:, None] * pixels
    pixel = torch.arange(pixels, device=like.device)[None] * cells
    shared = torch.minimum(cell + pixels, pixel + cells) - torch.maximum(cell, pixel)
    return shared.clamp(min=0).to(like.dtype) / pixels


class RegionPrompts(nn.Module):
    """Projects what was pooled under masks to tokens of the language decoder."""

    def __init__(self, feature_width: int, width: int) -> None:
        super().__init__()
        self.feature_width = feature_width
        self.project = nn.Sequential(
            nn.Linear(feature_width, feature_width), nn.GELU(), nn.Linear(feature_width, width)
        )

    def forward(self, pooled: Tensor) -> Tensor:
        """Return (N, D) of pooled features (N, C), as ``pool_regions`` gives them."""
        expect_shape("pooled regions", pooled, (None, self.feature_width))
        return self.project(pooled)


def pool_touched(features: Tensor, touched: Tensor) -> Tensor:
    """Return (N, C): for each object in turn, and each pair of frames that shows it, the mean.

    UniPixel's released weights were trained with features in the window order of Qwen's vision
    encoder under masks in raster order. Give the features in that order to reproduce them, in
    raster order to mean what the mask says.

    Args:
        features: (t * h * w, C), rows of one clip.
        touched: (t, O, h, w) bool.

    Raises:
        ShapeError: not one row of features per cell.
    """
    expect_shape("touched cells", touched, (None, None, None, None))
    times, objects, *cells = touched.shape  # perhaps of no object
    expect_shape("features of a clip", features, (times * cells[0] * cells[1], None))
    inside = touched.transpose(0, 1).flatten(2).to(features.dtype)  # (O, t, h * w)
    total = torch.einsum("otp,tpc->otc", inside, features.unflatten(0, (times, -1)))
    count = inside.sum(2)  # (O, t)
    assert total.shape[:2] == (objects, times)
    return total[count > 0] / count[count > 0][:, None]
