"""Where a language decoder looks for what it is about to point at.

From nothing, answers alone hardly teach a decoder to find the picture's tokens that a question
speaks of: as long as it looks everywhere, what it finds says nothing. So stage 0 tells some heads
of the last layer where the target of the next group lies. What they find there, they pass on.

Shapes: M targets, G tokens of a group, B rows, N tokens, W columns, Q image tokens, D language
width, A heads that are told, E width of a head.
"""

from typing import Any

import torch
from torch import Tensor
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

from deixis.models.pixellm import Laid
from deixis.processing.batches.pixellm_batch import IMAGE, GroupSlots, PixelLMBatch

HEADS = 2  # are told; the others look where they like


def seeking_loss(
    language: Any, states: Tensor, laid: Laid, batch: PixelLMBatch, cover: Tensor,
    read: Tensor,
) -> Tensor:  # fmt: skip
    """Return how far the heads look from the targets, in nats; 0 without targets.

    Args:
        language: the decoder.
        states: (B, W, D) that its last layer reads.
        laid: what lies where.
        batch: the questions.
        cover: (M, Q) how much of each image token is of each target.
        read: (I, Q) which image tokens are read.
    """
    wanted = _wanted(laid, batch, cover, read)  # (M, W)
    shown = wanted.sum(1) > 0
    if not shown.any():
        return states.sum() * 0.0
    logs = _looks(language, states, laid, batch.slots)  # (M, G, A, W)
    share = wanted / wanted.sum(1, keepdim=True).clamp(min=1e-6)
    lacks = -(share[:, None, None] * logs.masked_fill(logs.isinf(), 0.0)).sum(-1)
    return lacks[shown].mean()


def _looks(language: Any, states: Tensor, laid: Laid, slots: GroupSlots) -> Tensor:
    """Return (M, G, A, W): the logarithm of how much each told head looks at each column."""
    layer = language.layers[-1]
    normal = layer.input_layernorm(states)
    heads = (*states.shape[:2], -1, layer.self_attn.head_dim)
    asks = layer.self_attn.q_proj(normal).view(heads)[:, :, :HEADS]  # (B, W, A, E)
    keys = layer.self_attn.k_proj(normal).view(heads)
    keys = keys.repeat_interleave(layer.self_attn.num_key_value_groups, dim=2)[:, :, :HEADS]
    cos, sin = language.rotary_emb(normal, laid.positions)
    asks, keys = apply_rotary_pos_emb(asks, keys, cos, sin, unsqueeze_dim=2)
    row = slots.row[:, None]
    column = laid.starts[row, slots.column] - 1  # (M, G)
    scores = torch.einsum("mgae,mwae->mgaw", asks[row, column].float(), keys[slots.row].float())
    index = torch.arange(states.shape[1], device=states.device)
    seen = (index <= column[..., None]) & laid.held[slots.row][:, None]  # (M, G, W)
    scores = scores * layer.self_attn.scaling
    return scores.masked_fill(~seen[:, :, None], -torch.inf).log_softmax(-1)


def _wanted(laid: Laid, batch: PixelLMBatch, cover: Tensor, read: Tensor) -> Tensor:
    """Return (M, W): how much of what stands in each column of its row is of each target."""
    place = ((batch.tokens == IMAGE) & batch.held).long().argmax(1)  # (B,)
    first = laid.starts.gather(1, place[:, None])[:, 0][batch.slots.row]  # (M,)
    mine = read[batch.image_of_target]  # (M, Q)
    column = first[:, None] + mine.long().cumsum(1) - 1
    width = laid.embedded.shape[1]
    wanted = cover.new_zeros(len(cover), width + 1)  # the last for what is not read
    column = column.masked_fill(~mine, width)
    return wanted.scatter(1, column, cover)[:, :width]
