"""Attention as plain products, for learning in bfloat16 on CPUs.

There torch's fused attention takes two to four times as long backwards as two products and a
softmax, as long as the weights of all pairs fit into memory: 16 images of 257 patches and 4 heads
of 32 take 34 ms forwards and backwards in it, 13 ms so (two cores).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, PreTrainedModel
from transformers.masking_utils import AttentionMaskInterface, eager_mask

PLAIN = "deixis_plain"  # the name that transformers knows it by


def plain_attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None,
    *, scaling: float | None = None, dropout: float = 0.0, **_: Any,
) -> tuple[Tensor, None]:  # fmt: skip
    """Return what queries (B, A, N, E) find among keys and values (B, K, S, E), (B, N, A, E).

    As transformers calls it. Heads of keys and values may be shared by several of queries; the
    mask (B, 1 or A, N, S) is added to the logits, or says which keys may be seen.
    """
    batch, heads = query.shape[:2]
    shared = heads // key.shape[1]
    if shared > 1:
        key, value = (each.repeat_interleave(shared, dim=1) for each in (key, value))
    nothing = query.new_empty(1, 1, 1)
    logits = torch.baddbmm(
        nothing, query.flatten(0, 1), key.flatten(0, 1).transpose(1, 2), beta=0,
        alpha=query.shape[-1] ** -0.5 if scaling is None else scaling,
    )  # fmt: skip
    if attention_mask is not None:
        seen, logits = attention_mask[..., : key.shape[2]], logits.unflatten(0, (batch, heads))
        if seen.dtype == torch.bool:
            logits = logits.masked_fill(~seen, torch.finfo(logits.dtype).min)
        else:
            logits = logits + seen.to(logits.dtype)
        logits = logits.flatten(0, 1)
    weights = nn.functional.dropout(logits.softmax(-1), dropout, module.training)
    mixed = torch.bmm(weights, value.flatten(0, 1)).unflatten(0, (batch, heads))
    return mixed.transpose(1, 2).contiguous(), None


def sight_mask(sight: Tensor, model: PreTrainedModel, dtype: torch.dtype) -> Tensor:
    """Return what each column may see, (..., N, S) bool, as the attention of a model takes it.

    The "eager" one of transformers adds its mask to the scores: booleans would hide nothing.
    """
    if model.config._attn_implementation != "eager":
        return sight
    return torch.zeros_like(sight, dtype=dtype).masked_fill(~sight, torch.finfo(dtype).min)


AttentionInterface.register(PLAIN, plain_attention)
AttentionMaskInterface.register(PLAIN, eager_mask)


@contextmanager
def attending_plainly(model: nn.Module) -> Iterator[None]:
    """Let all parts of a model that use torch's fused attention through transformers use this."""
    configs: list[Any] = [getattr(module, "config", None) for module in model.modules()]
    fused = [one for one in configs if getattr(one, "_attn_implementation", None) == "sdpa"]
    for config in fused:
        config._attn_implementation = PLAIN
    try:
        yield
    finally:
        for config in fused:
            config._attn_implementation = "sdpa"
