"""Reads prefixes and answers of many rows at once, without spending time on padding.

Rows are sorted by length and read a few at a time; within these, what a row does not hold is
closed up. Positions and the mask say where everything stands, so the result is the same.

Shapes: B rows, T columns, D language width.
"""

import torch
from torch import Tensor
from transformers import PreTrainedModel

ROWS = 16  # read together


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
    lengths = held.sum(1)
    order = lengths.argsort()
    states = torch.zeros_like(embedded)
    for rows in order.split(ROWS):
        longest = int(lengths[rows].max())
        column = (~held[rows]).to(torch.uint8).argsort(dim=1, stable=True)[:, :longest]  # (b, t)
        there = held[rows].gather(1, column)
        before = column[:, None, :] <= column[:, :, None].clamp(min=prefix - 1)
        index = (rows[:, None], column)
        read = decoder(
            inputs_embeds=embedded[index],
            attention_mask=(before & there[:, None])[:, None].to(embedded.device),
            position_ids=positions[index].to(embedded.device),
            use_cache=False,
        ).last_hidden_state
        kept = (rows[:, None].expand_as(column)[there], column[there])
        states = states.index_put(kept, read[there].to(states.dtype))
    return states
