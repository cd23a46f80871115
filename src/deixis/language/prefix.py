"""What has been read once and is gone on from many times: one row's keys and values.

Shapes: B rows, n columns of one prefix, W columns of the longest, A heads, d their width,
D language width.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import PreTrainedModel
from transformers.cache_utils import DynamicCache

from deixis.language.generate import Reading, nothing_read, read_on


@dataclass(frozen=True, kw_only=True, slots=True)
class Prefix:
    """A text, or a text with an image, as the language decoder remembers it.

    Attributes:
        keys, values: of each layer, (A, n, d).
        position: of its last column, -1 where there is none.
        state: (D,) the state that says what comes next.
    """

    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]
    position: int
    state: Tensor

    def __len__(self) -> int:
        return self.keys[0].shape[1] if self.keys else 0


def read_prefixes(
    language: PreTrainedModel, embedded: Tensor, held: Tensor, positions: Tensor
) -> list[Prefix]:
    """Read rows (B, W, D), held (B, W) from the left, from left to right; return each alone."""
    reading = nothing_read(language, held)
    read_on(language, reading, embedded, held, positions)
    lengths = held.sum(1).tolist()
    layers: list[Any] = list(reading.cache.layers)
    return [
        Prefix(
            keys=tuple(layer.keys[row, :, :length] for layer in layers),
            values=tuple(layer.values[row, :, :length] for layer in layers),
            position=int(reading.position[row]),
            state=reading.state[row],
        )
        for row, length in enumerate(lengths)
    ]


def no_prefix(language: PreTrainedModel) -> Prefix:
    """Return a prefix without a column."""
    table = language.get_input_embeddings().get_parameter("weight")
    return Prefix(keys=(), values=(), position=-1, state=table.new_zeros(table.shape[1]))


def go_on_from(language: PreTrainedModel, prefixes: Sequence[Prefix]) -> Reading:
    """Return where the language decoder stands after one prefix per row.

    A prefix may stand in several rows; it is copied only where rows differ in length.
    """
    device = prefixes[0].state.device
    lengths = torch.tensor([len(prefix) for prefix in prefixes], device=device)
    longest = int(lengths.max())
    cache = DynamicCache(config=language.config)
    depth = max(len(prefix.keys) for prefix in prefixes)
    for layer in range(depth):
        keys, values = (
            _stacked([getattr(prefix, name) for prefix in prefixes], layer, longest)
            for name in ("keys", "values")
        )
        cache.update(keys, values, layer)
    return Reading(
        cache=cache,
        held=torch.arange(longest, device=device) < lengths[:, None],
        position=torch.tensor([prefix.position for prefix in prefixes], device=device),
        state=torch.stack([prefix.state for prefix in prefixes]),
    )


def _stacked(rows: Sequence[tuple[Tensor, ...]], layer: int, longest: int) -> Tensor:
    """Return (B, A, W, d) of the rows' tensors (A, n, d) of a layer; empty rows have none."""
    like = next(row[layer] for row in rows if row)
    empty = like[:, :0]
    own = [row[layer] if row else empty for row in rows]
    if all(one is own[0] for one in own):
        return own[0].expand(len(own), -1, -1, -1)
    return torch.stack([F.pad(one, (0, 0, 0, longest - one.shape[1])) for one in own])
