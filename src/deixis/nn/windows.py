"""Qwen2.5-VL's vision blocks, with all windows of one length at once.

Without flash attention transformers goes through the windows of a batch one by one, and reads its
patches as a convolution in three dimensions whose steps do not overlap: both are products of
matrices here, with the same parameters under the same names.

Shapes: N patches of a batch, W windows of one length, L patches in each, A heads of size E.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import (
    Qwen2_5_VisionPatchEmbed,
    Qwen2_5_VisionTransformerPretrainedModel,
    Qwen2_5_VLVisionAttention,
    eager_attention_forward,
)
from transformers.utils.generic import is_flash_attention_requested


class WindowedAttention(Qwen2_5_VLVisionAttention):
    """Attention within windows; see the module."""

    def forward(
        self, hidden_states: Tensor, cu_seqlens: Tensor,
        position_embeddings: tuple[Tensor, Tensor] | None = None, max_seqlen: int | None = None,
        **kwargs: Any,
    ) -> Tensor:  # fmt: skip
        """Return (N, width) of patches (N, width), whose windows begin and end at ``cu_seqlens``.

        ``position_embeddings`` are cosines and sines (N, E).
        """
        if is_flash_attention_requested(self.config) or position_embeddings is None:
            return super().forward(
                hidden_states, cu_seqlens, position_embeddings, max_seqlen, **kwargs
            )
        states = self.qkv(hidden_states).unflatten(1, (3, self.num_heads, -1))  # (N, 3, A, E)
        looks = turned(states[:, :2], *position_embeddings)  # queries and keys (N, 2, A, E)
        query, key, value = *looks.unbind(1), states[:, 2]
        attend = ALL_ATTENTION_FUNCTIONS.get_interface(
            self.config._attn_implementation, eager_attention_forward
        )
        windows = Windows.of(cu_seqlens.tolist(), query.device)
        mixed = []
        parts = (windows.parted(each) for each in (query, key, value))
        for together in zip(*parts, strict=True):  # three of (W, A, L, E)
            found, _ = attend(
                self, *together, attention_mask=None, scaling=self.scaling,
                dropout=self.attention_dropout if self.training else 0.0, is_causal=False,
                **kwargs,
            )  # fmt: skip
            mixed.append(found.flatten(2).flatten(0, 1))  # (W * L, width)
        return self.proj(windows.joined(mixed))


class FlatPatches(Qwen2_5_VisionPatchEmbed):
    """Reads pixels of patches; see the module."""

    def forward(self, hidden_states: Tensor) -> Tensor:
        """Return (N, width) of patches (N, 3 * frames * side * side)."""
        weight = self.proj.weight.flatten(1)
        return F.linear(hidden_states.to(weight.dtype), weight, self.proj.bias)


def attend_in_windows(vision: Qwen2_5_VisionTransformerPretrainedModel) -> None:
    """Let an encoder do its work so; its parameters stay what they are."""
    vision.patch_embed.__class__ = FlatPatches
    for block in vision.blocks:
        block.attn.__class__ = WindowedAttention


def turned(states: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Return queries and keys (N, 2, A, E), turned by their places (N, E), in float32."""
    first, second = states.float().chunk(2, -1)
    cos, sin = (each[:, None, None].float() for each in (cos, sin))
    moved = states.float() * cos + torch.cat([-second, first], -1) * sin
    return moved.to(states.dtype)


@dataclass(frozen=True, kw_only=True, slots=True)
class Windows:
    """Which patches attend together.

    Attributes:
        counts: (W, L) of each length, the shortest first.
        order: (N,) the patches in this order, None where it is their own.
    """

    counts: tuple[tuple[int, int], ...]
    order: Tensor | None

    @classmethod
    def of(cls, ends: Sequence[int], device: torch.device) -> "Windows":
        """Sort windows that begin and end at ``ends`` by their length."""
        lengths = [end - start for start, end in pairwise(ends)]
        counts = tuple((lengths.count(one), one) for one in sorted(set(lengths)))
        order = None
        if len(counts) > 1:
            each = torch.tensor(lengths, device=device)
            order = each.repeat_interleave(each).argsort(stable=True)
        return cls(counts=counts, order=order)

    def parted(self, states: Tensor) -> list[Tensor]:
        """Return (W, A, L, E) of each length, of (N, A, E)."""
        if self.order is not None:
            states = states.index_select(0, self.order)
        each = states.split([count * length for count, length in self.counts])
        return [
            part.unflatten(0, count).transpose(1, 2)
            for part, count in zip(each, self.counts, strict=True)
        ]

    def joined(self, mixed: Sequence[Tensor]) -> Tensor:
        """Return (N, width) in the patches' own order, of (W * L, width) of each length."""
        if self.order is None:
            return mixed[0]
        return torch.cat(list(mixed)).index_select(0, self.order.argsort())
