"""Points, boxes and masks as SAM encodes them: random Fourier codes with a learned kind.

One such encoder asks SAM 2 for masks (decoding), another one writes UniPixel's <ref> tokens
(prompting), each with its own weights and its own random matrix; the matrices are saved.

Shapes: N prompts, P points of one prompt, C width, H W pixels of the SAM canvas, h w grid cells.
"""

from math import pi

import torch
from torch import Tensor, nn
from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoLayerNorm

from deixis.nn.precision import exactly
from deixis.nn.shapes import expect_shape

NOT_A_POINT = -1  # the label of a padding row; 0 and 1 are clicks off and on an object
TOP_LEFT, BOTTOM_RIGHT = 2, 3
MASK_CHANNELS = 16


class FourierCode(nn.Module):
    """Coordinates in [0, 1] as sines and cosines of random directions, always in float32."""

    def __init__(self, axes: int, width: int) -> None:
        super().__init__()
        self.positional_encoding_gaussian_matrix = nn.Buffer(torch.randn(axes, width // 2))

    def forward(self, coords: Tensor) -> Tensor:
        """Return (..., C) codes of coords (..., axes), in the type of the matrix."""
        matrix = self.positional_encoding_gaussian_matrix
        with exactly(coords.device):
            angle = 2 * pi * ((2 * coords.float() - 1) @ matrix.float())
            return torch.cat([angle.sin(), angle.cos()], -1).to(matrix.dtype)

    def grid(self, size: tuple[int, int]) -> Tensor:
        """Return (1, C, h, w), the codes of the centres of a grid's cells, of (x, y)."""
        device = self.positional_encoding_gaussian_matrix.device
        y = (torch.arange(size[0], device=device, dtype=torch.float32) + 0.5) / size[0]
        x = (torch.arange(size[1], device=device, dtype=torch.float32) + 0.5) / size[1]
        grid_y, grid_x = torch.meshgrid(y, x, indexing="ij")
        return self(torch.stack([grid_x, grid_y], -1)).permute(2, 0, 1)[None]


class PromptCodes(nn.Module):
    """Turns points, boxes and masks on a square canvas into rows and grids of one width.

    Args:
        width: C.
        canvas: side of the canvas in pixels; coordinates are given in these.
    """

    def __init__(self, width: int, canvas: int) -> None:
        super().__init__()
        self.canvas = canvas
        self.pe_layer = FourierCode(2, width)
        self.point_embeddings = nn.ModuleList(nn.Embedding(1, width) for _ in range(4))
        self.not_a_point_embed = nn.Embedding(1, width)
        self.no_mask_embed = nn.Embedding(1, width)
        self.mask_downscaling = _mask_downscaling(width)

    def points(self, coords: Tensor, labels: Tensor, *, pad: bool = True) -> Tensor:
        """Return (N, P, C), with ``pad`` (N, P + 1, C) whose last row is no point.

        Args:
            coords: (N, P, 2) as (x, y) in pixels of the canvas.
            labels: (N, P) 0 or 1 for clicks, 2 and 3 for corners, -1 for no point.
        """
        expect_shape("prompt points", coords, (None, None, 2))
        expect_shape("labels of points", labels, tuple(coords.shape[:2]))
        if pad:
            coords = torch.cat([coords, coords.new_zeros(len(coords), 1, 2)], 1)
            labels = torch.cat([labels, labels.new_full((len(labels), 1), NOT_A_POINT)], 1)
        codes = self.pe_layer((coords.float() + 0.5) / self.canvas)
        kinds = torch.cat(list(self.point_embeddings.parameters()))
        codes = codes + kinds[labels.long().clamp(min=0)]
        return torch.where((labels == NOT_A_POINT)[..., None], self.not_a_point_embed.weight, codes)

    def boxes(self, boxes: Tensor) -> Tensor:
        """Return (N, 2, C) of corners (N, 4) as x0, y0, x1, y1 in pixels of the canvas."""
        labels = torch.tensor([TOP_LEFT, BOTTOM_RIGHT], device=boxes.device)
        return self.points(boxes.unflatten(1, (2, 2)), labels.expand(len(boxes), -1), pad=False)

    def masks(self, masks: Tensor) -> Tensor:
        """Return (N, C, h, w) of mask logits (N, 1, 4h, 4w)."""
        return self.mask_downscaling(masks)

    def no_mask(self) -> Tensor:
        """Return (1, C, 1, 1), what stands for "no mask is given"."""
        return self.no_mask_embed.weight[:, :, None, None]

    def no_points(self, count: int, rows: int) -> Tensor:
        """Return (count, rows, C) rows that are no points."""
        return self.not_a_point_embed.weight.expand(count, rows, -1)

    def grid(self, size: tuple[int, int]) -> Tensor:
        """Return (1, C, h, w), the codes of the centres of a grid's cells."""
        return self.pe_layer.grid(size)


def _mask_downscaling(width: int) -> nn.Sequential:
    few = MASK_CHANNELS // 4
    return nn.Sequential(
        nn.Conv2d(1, few, 2, 2),
        Sam2VideoLayerNorm(few, data_format="channels_first"),
        nn.GELU(),
        nn.Conv2d(few, MASK_CHANNELS, 2, 2),
        Sam2VideoLayerNorm(MASK_CHANNELS, data_format="channels_first"),
        nn.GELU(),
        nn.Conv2d(MASK_CHANNELS, width, 1),
    )
