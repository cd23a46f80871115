"""Reads rows that begin alike, such as several questions about one image, in one go.

What the rows of a group share at their beginning is read once; the rest of each row follows it,
seeing what is shared and its own, as if it stood alone.

Shapes: B rows, T columns, D language width, G groups, P columns that some group shares, S that a
row has for itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import PreTrainedModel
from transformers.cache_utils import DynamicCache

from deixis.language.generate import Reading, nothing_read, read_layers_on

PARTS, FULL = 4, 8  # at most so many, of so many rows at least, are read one after the other by
# length, so that the shortest are not padded to the longest


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
    group, common = sharing.group, sharing.common
    first, column = _first_rows(group), torch.arange(embedded.shape[1], device=held.device)
    width = max(1, int(common.max()))  # a decoder cannot read nothing
    alike = column[:width] < common[first, None].clamp(min=1)
    begun = nothing_read(decoder, alike)
    shared = read_layers_on(
        decoder, begun, embedded[first, :width], alike, positions[first, :width], layers=layers
    )
    lengths = held.sum(1) - common
    most = int(lengths.max())
    own = [one.new_zeros(len(embedded), most, one.shape[2]) for one in shared]
    for rows in _alike_long(lengths):
        size = int(lengths[rows].max())
        place = (common[rows, None] + column[:size]).clamp(max=len(column) - 1)  # (b, S)
        at, there = (rows[:, None], place), column[:size] < lengths[rows, None]
        reading = _taken(begun, group[rows], column[:width] < common[rows, None])
        rest = read_layers_on(decoder, reading, embedded[at], there, positions[at], layers=layers)
        own = [
            whole.index_put((rows,), F.pad(some, (0, 0, 0, most - size)).to(whole.dtype))
            for whole, some in zip(own, rest, strict=True)
        ]
    past = column >= common[:, None]
    place = torch.where(past, column - common[:, None] + width, column)
    place = place.clamp(max=width + most - 1)[..., None]  # (B, T, 1)
    both = [torch.cat([one[group], rest], 1) for one, rest in zip(shared, own, strict=True)]
    return [
        one.gather(1, place.expand(-1, -1, one.shape[2])).masked_fill(~held[..., None], 0.0)
        for one in both
    ]


def _alike_long(lengths: Tensor) -> list[Tensor]:
    """Deal rows (B,) that have any columns to read into parts of about one length."""
    order = lengths.argsort()[(lengths == 0).sum() :]
    parts = max(1, min(PARTS, len(order) // FULL))
    return [part for part in order.tensor_split(parts) if len(part)]


def _taken(reading: Reading, rows: Tensor, held: Tensor) -> Reading:
    """Return a reading of some rows of another, any number of times, that sees of its columns
    what is held (b, P)."""
    layers: list[Any] = list(reading.cache.layers)
    cache = DynamicCache()
    for number, layer in enumerate(layers):
        cache.update(layer.keys[rows], layer.values[rows], number)
    return Reading(
        cache=cache, held=held, position=reading.position[rows], state=reading.state[rows]
    )


def _first_rows(group: Tensor) -> Tensor:
    """Return the first row of each group (B,) -> (G,)."""
    count = int(group.max()) + 1 if len(group) else 0
    rows = torch.arange(len(group), device=group.device)
    return rows.new_full((count,), len(group)).scatter_reduce(0, group, rows, "amin")
