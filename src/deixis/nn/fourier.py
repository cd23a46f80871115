"""Writes coordinates as sines and cosines, so that a linear layer can tell places apart.

Deterministic octaves instead of SAM's random matrix: nothing to store, nothing to load.

Shapes: n coordinates per place, w bands per coordinate, h x w' cells of a grid.
"""

import math

import torch
from torch import Tensor


def fourier_code(coords: Tensor, bands: int) -> Tensor:
    """Return (..., 2 * n * bands): sin and cos of 2^k pi x for every coordinate x in [0, 1].

    All sines come first, coordinate by coordinate and band by band; then all cosines.
    Computed in float32 at least, whatever the input, and returned in that type.
    """
    exact = coords if coords.dtype == torch.float64 else coords.float()
    octaves = math.pi * 2.0 ** torch.arange(bands, device=coords.device, dtype=exact.dtype)
    angles = (exact[..., None] * octaves).flatten(-2)  # (..., n * bands)
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


def grid_code(
    size: tuple[int, int], bands: int, *, device: torch.device, dtype: torch.dtype
) -> Tensor:
    """Return the code (2 + 4 * bands, height, width) of a grid's cell centres: x, y, Fourier."""
    height, width = size
    exact = torch.promote_types(dtype, torch.float32)
    ys = (torch.arange(height, device=device, dtype=exact) + 0.5) / height
    xs = (torch.arange(width, device=device, dtype=exact) + 0.5) / width
    centres = torch.stack(torch.meshgrid(xs, ys, indexing="xy"), dim=-1)  # (height, width, 2)
    code = torch.cat([centres, fourier_code(centres, bands)], dim=-1)
    return code.permute(2, 0, 1).to(dtype)
