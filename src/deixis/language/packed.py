"""Reads rows that begin alike, such as several questions about one image, in one go.

What the rows of a group share at their beginning is read once; the rest of each row follows it,
seeing what is shared and its own, as if it stood alone.

Shapes: B rows, T columns, D language width, G groups, P columns of a packed row.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from deixis.nn.attention import sight_mask


@dataclass(frozen=True, kw_only=True, slots=True)
class Sharing:
    """Which rows begin alike.

    Attributes:
        group: (B,) number of each row's group, every number from 0 on.
        common: (B,) columns that a row shares with all rows of its group, held by all of them.
    """

    group: Tensor
    common: Tensor


def find_sharing(tokens: Tensor, held: Tensor, image: Tensor) -> Sharing:
    """Return which rows of tokens (B, N) ask about one image (B,), and how far they agree.

    ``common`` counts tokens here; who splices images in turns it into columns.
    """
    group = image.unique(return_inverse=True)[1]
    first = _first_rows(group)[group]
    same = (tokens == tokens[first]) & held & held[first]
    agree = same.long().cumprod(1).sum(1)  # with the first row of the group
    common = agree.new_full((int(group.max()) + 1 if len(group) else 0,), tokens.shape[1])
    return Sharing(group=group, common=common.scatter_reduce(0, group, agree, "amin")[group])


def read_packed(
    decoder: PreTrainedModel, embedded: Tensor, *, held: Tensor, positions: Tensor, sharing: Sharing
) -> Tensor:
    """Return the states (B, T, D) of a left-to-right reading; zeros where nothing is held.

    Args:
        decoder: the language decoder.
        embedded: (B, T, D); rows of a group are the same in the columns that they share.
        held: (B, T) which columns hold something, filled from the left.
        positions: (B, T).
        sharing: which rows begin alike.
    """
    return read_layers(
        decoder, embedded, held=held, positions=positions, sharing=sharing, layers=[-1]
    )[0]


def read_layers(
    decoder: PreTrainedModel, embedded: Tensor, *, held: Tensor, positions: Tensor,
    sharing: Sharing, layers: Sequence[int],
) -> list[Tensor]:  # fmt: skip
    """Return the states (B, T, D) after each of some layers; arguments as in ``read_packed``.

    Layers count as in transformers' hidden states: 0 what is embedded, -1 what is normalised last.
    """
    if not len(embedded):
        return [embedded for _ in layers]
    own, place, segment = _packing(held, sharing)
    group = sharing.group[:, None].expand_as(place)
    width, groups = int(place[own].max()) + 1, int(sharing.group.max()) + 1
    to = (group[own], place[own])
    kind = place.new_full((groups, width), -1).index_put(to, segment[own])
    read = decoder(
        inputs_embeds=embedded.new_zeros(groups, width, embedded.shape[2]).index_put(
            to, embedded[own]
        ),
        attention_mask=sight_mask(_sight(kind)[:, None], decoder, embedded.dtype),
        position_ids=positions.new_zeros(groups, width).index_put(to, positions[own]),
        use_cache=False,
        output_hidden_states=set(layers) != {-1},  # which would keep all of them
    )
    states = [read.last_hidden_state if i == -1 else read.hidden_states[i] for i in layers]
    index = place.clamp(max=width - 1)  # (B, T)
    return [one[group, index].masked_fill(~held[..., None], 0.0) for one in states]


def _packing(held: Tensor, sharing: Sharing) -> tuple[Tensor, Tensor, Tensor]:
    """Return which columns (B, T) are read, where in the packed row of their group each one's
    state is, and to what it belongs: 0 for what is shared, else the number of the row."""
    rows, columns = held.shape
    column = torch.arange(columns, device=held.device).expand_as(held)
    shared = column < sharing.common[:, None]
    leads = _first_rows(sharing.group)[sharing.group] == torch.arange(rows, device=held.device)
    own = held & (~shared | leads[:, None])
    count = own.sum(1)
    same = sharing.group[:, None] == sharing.group  # (B, B)
    before = (same.tril(-1).long() * count).sum(1)  # columns of the group's rows before this one
    place = torch.where(shared, column, before[:, None] + own.long().cumsum(1) - 1)
    segment = torch.where(shared, 0, 1 + torch.arange(rows, device=held.device)[:, None])
    return own, place, segment


def _sight(kind: Tensor) -> Tensor:
    """Return (G, P, P): what each column sees; what holds nothing sees itself alone."""
    column = torch.arange(kind.shape[1], device=kind.device)
    before = column <= column[:, None]
    alike = kind[:, None, :] == kind[:, :, None]
    shared = (kind == 0)[:, None, :] & (kind >= 0)[:, :, None]
    alone = column == column[:, None]
    return (before & (alike | shared) & (kind >= 0)[:, None, :]) | alone


def _first_rows(group: Tensor) -> Tensor:
    """Return the first row of each group (B,) -> (G,)."""
    count = int(group.max()) + 1 if len(group) else 0
    rows = torch.arange(len(group), device=group.device)
    return rows.new_full((count,), len(group)).scatter_reduce(0, group, rows, "amin")
