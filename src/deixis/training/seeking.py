"""Where a language decoder looks for what it is about to point at.

From nothing, answers alone hardly teach a decoder to find the tokens of a picture that a question
speaks of: as long as it looks everywhere, what it finds says nothing. So stage 0 tells some heads
of the last two layers where the next target lies, from where its name begins: what they find there
can be named, and passed on to be drawn.

Shapes: M targets, S states that look for one, B rows, N tokens or states, W columns, Q image
tokens, D language width, A heads that are told, E width of a head.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

from deixis.language.packed import Packed
from deixis.training.directions import WordRows

HEADS = 2  # are told in each of the last two layers; the others look where they like
FEW = 4  # states of a short name
REACH = 100  # columns that lie between a picture and an answer about it
SHARP = 0.2  # how much a word that is asked for and shown counts at first


@torch.no_grad()
def seek_alike(language: Any, depth: int, pairs: Sequence[tuple[Tensor, Tensor]]) -> None:
    """Let the told heads of a layer of a new decoder begin by looking at what shows what is asked
    for, in those dimensions that places hardly turn.

    Args:
        language: the decoder.
        depth: of the layer; -1: the last.
        pairs: for each told head the directions (T, D) in which a state asks for words, and those
            in which image tokens show them.
    """
    attention = language.layers[depth].self_attn
    size = attention.head_dim
    rates = language.rotary_emb.inv_freq  # (E / 2,) radians from a column to the next
    still = (rates * REACH < 1).repeat(2)  # (E,)
    for head, (asked, shown) in enumerate(pairs):
        mix = torch.zeros(size, len(shown))
        mix[still] = nn.init.orthogonal_(torch.empty(int(still.sum()), len(shown)))
        mix *= (SHARP * size**0.5) ** 0.5
        own = slice(head * size, (head + 1) * size)
        attention.q_proj.weight[own] = mix @ asked
        attention.k_proj.weight[own] = mix @ shown


def seek_words(language: Any, encode: Callable[[str], Sequence[int]]) -> None:
    """Let the told heads of the last two layers begin by looking at what shows the category and the
    colour that a state knows, as many words as a head tells apart."""
    words = WordRows(encode)(language.get_input_embeddings().weight)
    few = torch.cat([words["category"], words["colour"]])
    for depth in (-2, -1):
        seek_alike(language, depth, [(few, few)] * HEADS)


@torch.no_grad()
def pass_on_what_is_found(language: Any) -> None:
    """Let the told heads of the last two layers of a new decoder begin by adding what they look at
    to the state that looks, as it is: each some of its dimensions, together all that they can."""
    width = language.config.hidden_size
    directions, taken = nn.init.orthogonal_(torch.empty(width, width)), 0
    for depth in (-2, -1):
        attention = language.layers[depth].self_attn
        size = attention.head_dim
        for head in range(HEADS):
            own = slice(head * size, (head + 1) * size)
            rows = directions[torch.arange(taken, taken + size) % width]
            attention.v_proj.weight[own] = rows
            attention.o_proj.weight[:, own] = rows.T
            taken += size


def seeking_loss(
    language: Any, states: Sequence[Packed], wanted: Tensor,
    looking: tuple[Tensor, Tensor, Tensor],
) -> Tensor:  # fmt: skip
    """Return how far the told heads of the last layers look from the targets, in nats; 0 without
    any.

    They look for a target from where its name begins to the last token that draws it.

    Args:
        language: the decoder.
        states: (B, W, D) that each of its last layers reads.
        wanted: (M, W) how much each column of a target's row shows of it.
        looking: which states look for which target, from ``lookers``.
    """
    if not len(wanted):
        return states[0].states.sum() * 0.0
    row, column, target = looking
    looks = [
        _looks(language, depth - len(states), one, row, column)
        for depth, one in enumerate(states)
    ]
    logs = torch.cat(looks, 1)  # (S, A, W)
    return _missed(logs, wanted[target], _weights(target))


def _missed(logs: Tensor, wanted: Tensor, weight: Tensor) -> Tensor:
    """Return the cross-entropy of looks (S, A, W) with what is wanted (S, W), where anything is;
    each state with its weight (S,)."""
    total = wanted.sum(1, keepdim=True)
    weight = weight * (total[:, 0] > 0)
    share = wanted / total.clamp(min=1e-6)
    each = -(share[:, None] * logs.masked_fill(logs.isinf(), 0.0)).sum(2).mean(1)
    return (each * weight).sum() / weight.sum().clamp(min=1)


def _weights(target: Tensor) -> Tensor:
    """Return how much each state (S,) counts that looks for a target, in their order.

    Every word that follows says more of the target; which one is meant must be known before the
    first. So the first state counts as much as all that follow, and as ``FEW`` at least.
    """
    first = F.pad(target[1:] != target[:-1], (1, 0), value=True)
    run = first.long().cumsum(0) - 1
    count = torch.bincount(run)[run].clamp(min=FEW)
    return torch.where(first, count, 1).float()


def lookers(
    starts: Tensor, learned: Tensor, row: Tensor, ends: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the rows and columns of states that name or draw a target, and that target (S,).

    Args:
        starts: (B, N) the column where each token begins.
        learned: (B, N) which tokens are of answers.
        row: (M,) of each target, in the order in which answers draw them.
        ends: (M,) the last token that draws it.
    """
    mine, place = torch.nonzero(learned, as_tuple=True)
    later = (row == mine[:, None]) & (ends >= place[:, None])  # (S, M): still to come
    some = later.any(1)
    target = later.long().cumsum(1).eq(0).sum(1)  # the next
    return mine[some], (starts[mine, place] - 1)[some], target[some]


def _looks(language: Any, depth: int, read: Packed, row: Tensor, column: Tensor) -> Tensor:
    """Return (S, A, W): the logarithm of how much the told heads of a layer look at each column,
    from the states (S,) of some rows and columns."""
    layer = language.layers[depth]
    attention, size = layer.self_attn, layer.self_attn.head_dim
    index = read.index[row, column]
    normal = layer.input_layernorm(read.states)
    asks = attention.q_proj(normal[index]).unflatten(1, (-1, size))[:, :HEADS]
    keys = attention.k_proj(normal).unflatten(1, (-1, size))
    keys = keys.repeat_interleave(attention.num_key_value_groups, dim=1)[:, :HEADS]
    cos, sin = language.rotary_emb(normal, read.positions[..., None, :])  # (1, N, E)
    asks, _ = apply_rotary_pos_emb(asks, asks, cos[0, index], sin[0, index])
    keys, _ = apply_rotary_pos_emb(keys, keys, cos[0], sin[0])
    scores = asks.transpose(0, 1) @ keys.permute(1, 2, 0) * attention.scaling  # (A, S, N)
    columns = read.index[row].expand(HEADS, -1, -1)
    mine = scores.gather(2, columns).float().transpose(0, 1)  # (S, A, W)
    seen = (torch.arange(columns.shape[2], device=row.device) <= column[:, None]) & read.held[row]
    return mine.masked_fill(~seen[:, None], -torch.inf).log_softmax(-1)
