"""What PixelLM takes of CLIP: two of its layers at one canvas, with padded patches unattended.

Shapes: I images, H canvas side, g patches along a side, P = g * g patches, q image tokens along a
side, E CLIP's width, L levels.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import CLIPVisionModel

from deixis.errors import ShapeError
from deixis.nn.shapes import expect_shape


def resize_position_table(table: Tensor, grid: int) -> Tensor:
    """Bring CLIP's position table (1 + P, E) to another number of patches, (1 + grid^2, E).

    As released, which takes the *last* row for the class and resizes all rows before it, the
    class's own among them, as if they were the patches: every patch moves on by one cell. The
    released weights learned with that, so that the right way is wrong for them.

    Raises:
        ShapeError: a table whose patches make no square.
    """
    side = round((len(table) - 1) ** 0.5)
    if side * side + 1 != len(table) or side < 1:
        raise ShapeError(
            f"position table: expected 1 + a square number of rows, got {len(table)}. "
            f"Take the table of CLIP's vision side."
        )
    cells = table[:-1].float().T.unflatten(1, (side, side))[None]  # (1, E, g, g)
    resized = F.interpolate(cells, size=(grid, grid), mode="bilinear", align_corners=False)
    return torch.cat([resized[0].flatten(1).T.to(table.dtype), table[-1:]])


def patch_mask(resized: Tensor, canvas: int, grid: int) -> Tensor:
    """Return (I, g, g) bool: which patches begin inside the image, of sizes (I, 2) (h, w)."""
    corner = torch.arange(grid, device=resized.device) * canvas // grid
    inside = corner[None, None] < resized[:, :, None]  # (I, 2, g)
    return inside[:, 0, :, None] & inside[:, 1, None, :]


def pooled_mask(patches: Tensor, side: int) -> Tensor:
    """Return (I, q, q) bool, nearest-sampled from (I, g, g)."""
    return F.interpolate(patches[:, None].float(), size=(side, side), mode="nearest")[:, 0] > 0


def pooled(features: Tensor, grid: int, side: int) -> Tensor:
    """Return (I, q * q, E): patches (I, P, E) pooled bilinearly, computed in float32."""
    cells = features.transpose(1, 2).unflatten(2, (grid, grid)).float()
    small = F.interpolate(cells, size=(side, side), mode="bilinear", align_corners=False)
    return small.flatten(2).transpose(1, 2).to(features.dtype)


def clip_levels(
    tower: CLIPVisionModel, pixels: Tensor, patches: Tensor, layers: Sequence[int]
) -> Tensor:
    """Return the patches' states (L, I, P, E) after the given layers, without the class.

    Padded patches look at the image but nothing looks at them; no layer past the last one that
    is asked for is computed.

    Args:
        tower: CLIP's vision side.
        pixels: (I, 3, H, H), normalised.
        patches: (I, g, g) bool, which hold something of the image.
        layers: indices into "embeddings, layer 1, ..., last layer".
    """
    expect_shape("pixels", pixels, (len(patches), 3, None, None))
    if not len(pixels):  # rows of words only
        width = int(tower.config.hidden_size)
        return pixels.new_zeros(len(layers), 0, patches.shape[1] * patches.shape[2], width)
    depth = len(tower.encoder.layers)
    wanted = [layer % (depth + 1) for layer in layers]
    hidden = tower.pre_layrnorm(tower.embeddings(pixels))
    states = [hidden]
    mask = _key_mask(patches, hidden)
    for layer in tower.encoder.layers[: max(wanted)]:
        hidden = layer(hidden, mask)
        states.append(hidden)
    return torch.stack([states[index][:, 1:] for index in wanted])


def _key_mask(patches: Tensor, hidden: Tensor) -> Tensor | None:
    """Return what is added to attention (I, 1, 1, 1 + P), or None where nothing is padded."""
    if bool(patches.all()):
        return None
    keys = F.pad(patches.flatten(1), (1, 0), value=True)  # the class is always there
    mask = torch.zeros(keys.shape, dtype=hidden.dtype, device=hidden.device)
    return mask.masked_fill(~keys, torch.finfo(hidden.dtype).min)[:, None, None]
