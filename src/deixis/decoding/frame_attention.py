"""Memory attention of SAM 2: the frame at hand looks at frames that went before.

transformers has it for memories of width 64 and one size of grid; here both come with the inputs.
Places are told by rotation (axial, arXiv:2403.13298); object pointers have no place.

Shapes: O objects, P cells of the grid (h * w), K rows of memory, C width, m memory width, A heads.
"""

from contextlib import nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deixis.nn.precision import exactly
from deixis.nn.shapes import expect_shape

SINE_SHARE = 0.1  # how much of the sine code of places is added to the frame at the input


class RotaryAttention(nn.Module):
    """Attention whose queries and keys are turned by their place on the grid.

    Args:
        width: C.
        memory_width: of keys and values before projection.
        num_heads: A.
        dropout: of attention weights, in training.
        still: compute the turn without gradients, as the published code did: queries, and keys
            that are turned, then learn nothing. Only to reproduce published gradients.
    """

    def __init__(
        self, width: int, memory_width: int, *, num_heads: int, dropout: float, still: bool
    ) -> None:
        super().__init__()
        self.num_heads, self.dropout, self.still = num_heads, dropout, still
        self.q_proj = nn.Linear(width, width)
        self.k_proj = nn.Linear(memory_width, width)
        self.v_proj = nn.Linear(memory_width, width)
        self.out_proj = nn.Linear(width, width)

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, table: Tensor, placeless: int = 0
    ) -> Tensor:
        """Return (O, P, C).

        Args:
            query: (O, P, C); key, value: (O, K, memory_width).
            table: (P, C / A / 2) angles of the grid's places; repeated for every frame of keys.
            placeless: how many of the last keys have no place.
        """
        asked, known, told = (
            projection(x).unflatten(2, (self.num_heads, -1)).transpose(1, 2)  # (O, A, ., C / A)
            for projection, x in ((self.q_proj, query), (self.k_proj, key), (self.v_proj, value))
        )
        placed = known.shape[2] - placeless
        with torch.no_grad() if self.still else nullcontext():
            asked = turn(asked, table)
            turned = turn(known[:, :, :placed], table.repeat(placed // len(table), 1))
        known = torch.cat([turned, known[:, :, placed:]], 2)
        dropout = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(asked, known, told, dropout_p=dropout)
        return self.out_proj(mixed.transpose(1, 2).flatten(2))


def turn(rows: Tensor, table: Tensor) -> Tensor:
    """Return rows (..., P, d) with each pair of channels turned by angles (P, d / 2)."""
    with exactly(rows.device):
        pairs = torch.view_as_complex(rows.float().unflatten(-1, (-1, 2)).contiguous())
        turned = pairs * torch.polar(torch.ones_like(table), table)
        return torch.view_as_real(turned).flatten(-2).to(rows.dtype)


def axial_rates(width: int, theta: float) -> Tensor:
    """Return (width / 4,) radians by which a head of some width turns from a cell to the next."""
    return 1 / theta ** (torch.arange(0, width, 4, dtype=torch.float32) / width)


def axial_angles(size: tuple[int, int], width: int, theta: float, device: torch.device) -> Tensor:
    """Return (h * w, width / 2): half of the angles tell the column, half the row."""
    rates = axial_rates(width, theta).to(device)
    place = torch.arange(size[0] * size[1], device=device)
    column, row = place % size[1], place // size[1]
    return torch.cat([column[:, None] * rates, row[:, None] * rates], 1)


class MemoryLayer(nn.Module):
    """Self-attention, attention to memory, and a small network; each after a norm."""

    def __init__(
        self,
        width: int,
        memory_width: int,
        hidden_width: int,
        *,
        num_heads: int,
        dropout: float,
        still: bool,
    ) -> None:
        super().__init__()
        self.self_attn = RotaryAttention(
            width, width, num_heads=num_heads, dropout=dropout, still=still
        )
        self.cross_attn_image = RotaryAttention(
            width, memory_width, num_heads=num_heads, dropout=dropout, still=still
        )
        self.linear1 = nn.Linear(width, hidden_width)
        self.linear2 = nn.Linear(hidden_width, width)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(width) for _ in range(3))
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, rows: Tensor, memory: Tensor, codes: Tensor, table: Tensor, placeless: int
    ) -> Tensor:
        """Return (O, P, C); see ``MemoryAttention``."""
        own = self.norm1(rows)
        rows = rows + self.dropout(self.self_attn(own, own, own, table))
        asked = self.norm2(rows)
        looked = self.cross_attn_image(asked, memory + codes, memory, table, placeless)
        rows = rows + self.dropout(looked)
        inner = self.dropout(F.relu(self.linear1(self.norm3(rows))))
        return rows + self.dropout(self.linear2(inner))


class MemoryAttention(nn.Module):
    """Mixes what was drawn before into the features of a frame.

    Args:
        width, memory_width, hidden_width: C, m and the inner width of each layer.
        num_layers, num_heads, dropout, theta: as in SAM 2's configuration.
        still: see ``RotaryAttention``.
    """

    def __init__(
        self,
        width: int,
        memory_width: int,
        hidden_width: int,
        *,
        num_layers: int,
        num_heads: int,
        dropout: float,
        theta: float,
        still: bool = False,
    ) -> None:
        super().__init__()
        self.head_width, self.theta = width // num_heads, theta
        self.layers = nn.ModuleList(
            MemoryLayer(
                width,
                memory_width,
                hidden_width,
                num_heads=num_heads,
                dropout=dropout,
                still=still,
            )
            for _ in range(num_layers)
        )
        self.norm = nn.LayerNorm(width)

    def forward(
        self, features: Tensor, sine: Tensor, memory: Tensor, codes: Tensor, placeless: int
    ) -> Tensor:
        """Return (O, C, h, w).

        Args:
            features: (O, C, h, w), the frame at hand; sine: (1, C, h, w), the code of its places.
            memory: (O, K, m): frames of h * w rows each, then rows without a place.
            codes: (O or 1, K, m), what says where and when the rows are.
            placeless: how many rows at the end have no place.

        Raises:
            ShapeError: memory and codes of different length.
        """
        expect_shape("codes of frame memory", codes, (None, *memory.shape[1:]))
        size = (features.shape[-2], features.shape[-1])
        table = axial_angles(size, self.head_width, self.theta, features.device)
        rows = (features + SINE_SHARE * sine).flatten(2).transpose(1, 2)  # (O, P, C)
        for layer in self.layers:
            rows = layer(rows, memory, codes, table, placeless)
        return self.norm(rows).transpose(1, 2).unflatten(2, size)
