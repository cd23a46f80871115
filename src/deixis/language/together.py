"""Reads prefixes and answers of many rows at once, without spending time on padding.

Rows are sorted by length and read a few at a time; within these, what a row does not hold is
closed up. Positions and the mask say where everything stands, so the result is the same.

Shapes: B rows, T columns, D language width.
"""

from collections.abc import Callable, Sequence
from contextlib import nullcontext

import torch
from torch import Tensor
from transformers import PreTrainedModel

from deixis.language.midway import told_before
from deixis.nn.attention import sight_mask

ROWS = 16  # read together
Change = Callable[[Tensor, Tensor], Tensor]  # states (b, T, D) of rows (b,) to other ones


def read_together(
    decoder: PreTrainedModel, embedded: Tensor, *, held: Tensor, positions: Tensor, prefix: int
) -> Tensor:
    """Return the states (B, T, D) of all columns; zeros where nothing is held.

    Args:
        decoder: the language decoder.
        embedded: (B, T, D).
        held: (B, T) which columns hold something.
        positions: (B, T).
        prefix: so many columns are read in both directions, the rest from left to right.
    """
    (states,) = read_layers(
        decoder, embedded, held=held, positions=positions, prefix=prefix, layers=()
    )
    return states


def read_layers(
    decoder: PreTrainedModel,
    embedded: Tensor,
    *,
    held: Tensor,
    positions: Tensor,
    prefix: int,
    layers: Sequence[int],
    change: Change | None = None,
) -> list[Tensor]:
    """Return what ``read_together`` returns, and the states behind each of these layers, from 1,
    as they are before the last layer's norm; ``change`` alters the states behind the first of
    them, for the layers that follow."""
    lengths = held.sum(1)
    order = lengths.argsort()
    states = [torch.zeros_like(embedded) for _ in (0, *layers)]
    for rows in order.split(ROWS):
        longest = int(lengths[rows].max())
        column = (~held[rows]).to(torch.uint8).argsort(dim=1, stable=True)[:, :longest]  # (b, t)
        there = held[rows].gather(1, column)
        before = column[:, None, :] <= column[:, :, None].clamp(min=prefix - 1)
        index = (rows[:, None], column)
        changed = _changed(change, rows, column, there, embedded.shape[1])
        with told_before(decoder, layers[0], changed) if change else nullcontext():
            sight = (before & there[:, None])[:, None].to(embedded.device)
            read = decoder(
                inputs_embeds=embedded[index],
                attention_mask=sight_mask(sight, decoder, embedded.dtype),
                position_ids=positions[index].to(embedded.device),
                use_cache=False,
                output_hidden_states=bool(layers),
            )
        kept = (rows[:, None].expand_as(column)[there], column[there])
        found = [read.last_hidden_state, *(read.hidden_states[layer] for layer in layers)]
        states = [
            whole.index_put(kept, some[there].to(whole.dtype))
            for whole, some in zip(states, found, strict=True)
        ]
    return states


def _changed(
    change: Change | None, rows: Tensor, column: Tensor, there: Tensor, width: int
) -> Callable[[Tensor], Tensor]:
    """Return a change of states that were closed up to columns (b, t) out of ``width``."""

    def changed(states: Tensor) -> Tensor:
        assert change is not None
        places = column[..., None].to(states.device).expand_as(states)
        held = states * there[..., None].to(states)
        whole = states.new_zeros(len(states), width, states.shape[2])
        whole = change(whole.scatter(1, places, held), rows)
        return whole.gather(1, places)

    return changed
