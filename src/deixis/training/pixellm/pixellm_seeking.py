"""Where a language decoder looks for what it is about to point at.

From nothing, answers alone hardly teach a decoder to find the picture's tokens that a question
speaks of: as long as it looks everywhere, what it finds says nothing. So stage 0 tells some heads
of the last layer where the next target lies, from where its name begins: what they find there can
be named, and passed on to be drawn.

Shapes: M targets, S states that look for one, B rows, N tokens, W columns, Q image tokens, D
language width, A heads that are told, E width of a head.
"""

from typing import Any

import torch
from torch import Tensor
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

from deixis.models.pixellm import Laid
from deixis.processing.batches.pixellm_batch import IGNORED, IMAGE, PixelLMBatch

HEADS = 2  # are told; the others look where they like
REACH = 100  # columns that lie between a picture and an answer about it
SHARP = 1.0  # of the looks at first


@torch.no_grad()
def seek_alike(language: Any) -> None:
    """Let the told heads of a new decoder begin by looking at what resembles the state that looks.

    Queries and keys are one projection, onto those dimensions that places hardly turn.
    """
    attention = language.layers[-1].self_attn
    size = attention.head_dim
    rates = language.rotary_emb.inv_freq  # (E / 2,) radians from a column to the next
    still = (rates * REACH < 1).repeat(2)  # (E,)
    for head in range(HEADS):
        own = torch.randn(size, language.config.hidden_size) * still[:, None]
        own *= (SHARP / size) ** 0.5
        for projection in (attention.q_proj, attention.k_proj):
            projection.weight[head * size : (head + 1) * size] = own


def seeking_loss(
    language: Any, states: Tensor, laid: Laid, batch: PixelLMBatch, cover: Tensor, read: Tensor
) -> Tensor:
    """Return how far the heads look from the targets, in nats; 0 without targets.

    They look for a target from where its name begins to the end of its group.

    Args:
        language: the decoder.
        states: (B, W, D) that its last layer reads.
        laid: what lies where.
        batch: the questions and their answers.
        cover: (M, Q) how much of each image token is of each target.
        read: (I, Q) which image tokens are read.
    """
    if not len(cover):
        return states.sum() * 0.0
    row, column, target = _lookers(laid, batch)  # (S,) each
    wanted = _wanted(laid, batch, cover, read)  # (M, W)
    shown = wanted.sum(1)[target] > 0
    if not shown.any():
        return states.sum() * 0.0
    row, column, target = row[shown], column[shown], target[shown]
    logs = _looks(language, states, laid)[row, :, column]  # (S, A, W)
    share = wanted[target] / wanted[target].sum(1, keepdim=True)
    return -(share[:, None] * logs.masked_fill(logs.isinf(), 0.0)).sum(-1).mean()


def _lookers(laid: Laid, batch: PixelLMBatch) -> tuple[Tensor, Tensor, Tensor]:
    """Return the rows and columns of states that name or draw a target, and that target (S,)."""
    assert batch.truth is not None
    slots = batch.slots
    row, place = torch.nonzero(batch.truth.labels != IGNORED, as_tuple=True)
    ends = slots.column.amax(1)  # (M,)
    mine = (slots.row == row[:, None]) & (ends >= place[:, None])  # (S, M): still to come
    target = mine.long().argmax(1)  # the next
    some = mine.any(1)
    return row[some], (laid.starts[row, place] - 1)[some], target[some]


def _looks(language: Any, states: Tensor, laid: Laid) -> Tensor:
    """Return (B, A, W, W): the logarithm of how much each told head looks at each column."""
    layer = language.layers[-1]
    normal = layer.input_layernorm(states)
    heads = (*states.shape[:2], -1, layer.self_attn.head_dim)
    asks = layer.self_attn.q_proj(normal).view(heads)[:, :, :HEADS]  # (B, W, A, E)
    keys = layer.self_attn.k_proj(normal).view(heads)
    keys = keys.repeat_interleave(layer.self_attn.num_key_value_groups, dim=2)[:, :, :HEADS]
    cos, sin = language.rotary_emb(normal, laid.positions)
    asks, keys = apply_rotary_pos_emb(asks, keys, cos, sin, unsqueeze_dim=2)
    asks, keys = asks.transpose(1, 2).float(), keys.transpose(1, 2).float()  # (B, A, W, E)
    scores = asks @ keys.transpose(2, 3) * layer.self_attn.scaling
    index = torch.arange(states.shape[1], device=states.device)
    seen = (index <= index[:, None]) & laid.held[:, None]  # (B, W, W)
    return scores.masked_fill(~seen[:, None], -torch.inf).log_softmax(-1)


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
