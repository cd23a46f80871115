"""Reads rows that begin alike, such as several questions about one image, in one go.

What the rows of a group share at their beginning is read once; the rest of each row follows it,
seeing what is shared and its own, as if it stood alone.

Shapes: B rows, T columns, N states, D language width, G groups, P columns that some group shares, S
that a row has for itself.
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


@dataclass(frozen=True, kw_only=True, slots=True)
class Packed:
    """States of rows that were read together: what rows share stands there once.

    Attributes:
        states: (N, D).
        positions: (N,) at which they were read; or (3, N), in time, height and width.
        index: (B, T) which of them each column of each row is; 0 where nothing is held.
        held: (B, T).
    """

    states: Tensor
    positions: Tensor
    index: Tensor
    held: Tensor

    def __getitem__(self, place: tuple[Tensor, Tensor]) -> Tensor:
        """Return (..., D) of rows and columns (...), as from a tensor (B, T, D)."""
        return F.embedding(self.index[place], self.states)

    def padded(self) -> Tensor:
        """Return (B, T, D); zeros where nothing is held."""
        return F.embedding(self.index, self.states).masked_fill(~self.held[..., None], 0.0)


def unpacked(states: Tensor, held: Tensor, positions: Tensor) -> Packed:
    """Return states (B, T, D) of rows that were read one beside the other, as packed ones are
    found; held (B, T), positions (B, T) or (3, B, T)."""
    index = torch.arange(held.numel(), device=held.device).view(held.shape)
    return Packed(
        states=states.flatten(0, 1), positions=positions.flatten(-2), index=index, held=held
    )


def read_packed(
    decoder: PreTrainedModel, embedded: Tensor, *, held: Tensor, positions: Tensor,
    sharing: Sharing, layers: Sequence[int] = (-1,),
) -> list[Packed]:  # fmt: skip
    """Return the states of a left-to-right reading after each of some layers.

    Layers count as in transformers' hidden states: 0 what is embedded, -1 what is normalised last.

    Args:
        decoder: the language decoder.
        embedded: (B, T, D); rows of a group are the same in the columns that they share.
        held: (B, T) which columns hold something, filled from the left.
        positions: (B, T).
        sharing: which rows begin alike.
        layers: whose states are wanted.
    """
    if not len(embedded):
        none = torch.zeros_like(positions)
        states, stood = embedded.flatten(0, 1), none.flatten()
        return [Packed(states=states, positions=stood, index=none, held=held) for _ in layers]
    common, pieces = sharing.common, _pieces(held, sharing)
    counts = [piece.held.numel() for piece in pieces]
    where = torch.cat([piece.places(held.shape[1]) for piece in pieces])  # (N,)
    stood = positions.flatten()[where]
    words = embedded.flatten(0, 1).index_select(0, where)
    begun = nothing_read(decoder, pieces[0].held)
    found: list[list[Tensor]] = []
    for piece, some, at in zip(pieces, words.split(counts), stood.split(counts), strict=True):
        reading, shape = begun, piece.held.shape
        if found:
            mine = sharing.group[piece.rows]
            reading = _taken(begun, mine, pieces[0].held[mine] & (common[piece.rows, None] > 0))
        some, at = some.unflatten(0, shape), at.unflatten(0, shape)
        found.append(read_layers_on(decoder, reading, some, piece.held, at, layers=layers))
    index = _index(held, sharing, pieces)
    return [
        Packed(
            states=torch.cat([one.flatten(0, 1) for one in states]),
            positions=stood,
            index=index,
            held=held,
        )
        for states in zip(*found, strict=True)
    ]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Piece:
    """Some columns of some rows, read in one go.

    Attributes:
        rows: (b,).
        start: (b,) the first of the columns in each row.
        held: (b, S) which of the columns, from there, hold something.
    """

    rows: Tensor
    start: Tensor
    held: Tensor

    def places(self, width: int) -> Tensor:
        """Return (b * S,): where they stand among all columns of rows of some width."""
        column = self.start[:, None] + torch.arange(self.held.shape[1], device=self.rows.device)
        return (self.rows[:, None] * width + column.clamp(max=width - 1)).flatten()


def _pieces(held: Tensor, sharing: Sharing) -> list[_Piece]:
    """Return what the rows of each group share, and then what rows have for themselves."""
    common, first = sharing.common, _first_rows(sharing.group)
    lengths = held.sum(1) - common
    # A decoder cannot read nothing: a group that shares nothing reads a column for nothing.
    shared = (first, torch.zeros_like(first), common[first].clamp(min=1))
    own = [(rows, common[rows], lengths[rows]) for rows in _alike_long(lengths)]
    column = torch.arange(held.shape[1], device=held.device)
    return [
        _Piece(rows=rows, start=start, held=column[: int(count.max())] < count[:, None])
        for rows, start, count in (shared, *own)
    ]


def _index(held: Tensor, sharing: Sharing, pieces: Sequence[_Piece]) -> Tensor:
    """Return (B, T): which of the states of pieces, one after the other, each column is."""
    shared, column = pieces[0], torch.arange(held.shape[1], device=held.device)
    begins = -sharing.common  # where each row's own would begin if it shared nothing
    total = shared.held.numel()
    for piece in pieces[1:]:
        rows, size = piece.held.shape
        begins[piece.rows] += total + size * torch.arange(rows, device=held.device)
        total += rows * size
    alike = sharing.group * shared.held.shape[1]
    past = column >= sharing.common[:, None]
    return (torch.where(past, begins[:, None], alike[:, None]) + column).masked_fill(~held, 0)


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
        cache.update(layer.keys.index_select(0, rows), layer.values.index_select(0, rows), number)
    return Reading(
        cache=cache, held=held, position=reading.position[rows], state=reading.state[rows]
    )


def _first_rows(group: Tensor) -> Tensor:
    """Return the first row of each group (B,) -> (G,)."""
    count = int(group.max()) + 1 if len(group) else 0
    rows = torch.arange(len(group), device=group.device)
    return rows.new_full((count,), len(group)).scatter_reduce(0, group, rows, "amin")
