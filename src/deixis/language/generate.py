"""Greedy decoding after a prefix: batched, streaming, keeping the hidden states of slots.

Decoding is handed the language decoder, not the model. Rows may stand in one batch with prefixes
and groups of different lengths: what is not held is masked, so a row never sees padding.

Shapes: B rows, W columns of the prefix, T columns of what is written, D language width.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.cache_utils import Cache, DynamicCache

from deixis.nn.attention import sight_mask


@dataclass(kw_only=True, slots=True)
class Reading:
    """Where the language decoder stands in each row.

    Attributes:
        cache: keys and values of all columns so far.
        held: (B, W) which of these columns hold something.
        position: (B,) position of the last one.
        state: (B, D) the state that says what comes next.
    """

    cache: Cache
    held: Tensor
    position: Tensor
    state: Tensor


def read_prefix(
    language: PreTrainedModel, prefix: Tensor, held: Tensor, positions: Tensor
) -> tuple[Tensor, Reading]:
    """Read a prefix (B, W, D) in both directions; return its states and where this leads."""
    cache = DynamicCache(config=language.config)
    sight = held[:, None, None].expand(-1, 1, prefix.shape[1], -1).to(prefix.device)
    states = language(
        inputs_embeds=prefix,
        attention_mask=sight_mask(sight, language, prefix.dtype),
        position_ids=positions.to(prefix.device),
        past_key_values=cache,
        use_cache=True,
    ).last_hidden_state
    reading = Reading(
        cache=cache, held=held, position=positions[:, -1].clone(), state=states[:, -1]
    )
    return states, reading


def nothing_read(language: PreTrainedModel, held: Tensor) -> Reading:
    """Return where the language decoder stands before the first column of rows (B, W)."""
    table = language.get_input_embeddings().get_parameter("weight")
    return Reading(
        cache=DynamicCache(config=language.config),
        held=held[:, :0],
        position=torch.full((len(held),), -1, device=held.device),
        state=table.new_zeros(len(held), table.shape[1]),
    )


def read_on(
    language: PreTrainedModel,
    reading: Reading,
    embedded: Tensor,
    held: Tensor,
    positions: Tensor | None = None,
) -> Tensor:
    """Read columns (B, T, D) that follow, held (B, T) from the left; return their states.

    They stand one after the other, or at ``positions`` (B, T), which may pass places over; or
    (3, B, T) in time, height and width, of which the highest of the last column counts on.
    """
    return read_layers_on(language, reading, embedded, held, positions, layers=[-1])[0]


def read_layers_on(
    language: PreTrainedModel,
    reading: Reading,
    embedded: Tensor,
    held: Tensor,
    positions: Tensor | None = None,
    *,
    layers: Sequence[int],
) -> list[Tensor]:
    """Read on as ``read_on`` does; return the states after each of some layers.

    Layers count as in transformers' hidden states: 0 what is embedded, -1 what is normalised last.
    """
    before, after = reading.held.shape[1], embedded.shape[1]
    index = torch.arange(before + after, device=held.device)
    causal = index[None] <= index[before:, None]
    reading.held = torch.cat([reading.held, held], 1)
    if positions is None:
        steps = torch.arange(after, device=held.device) + 1
        positions = reading.position[:, None] + steps
    sight = (causal & reading.held[:, None])[:, None].to(embedded.device)
    read = language(
        inputs_embeds=embedded,
        attention_mask=sight_mask(sight, language, embedded.dtype),
        position_ids=positions.to(embedded.device),
        past_key_values=reading.cache,
        use_cache=True,
        output_hidden_states=set(layers) != {-1},  # which would keep all of them
    )
    states = read.last_hidden_state
    count = held.sum(1)
    row = torch.arange(len(states), device=held.device)
    flat = positions.amax(0) if positions.dim() == 3 else positions
    final = flat[row, (count - 1).clamp(min=0)]
    reading.position = torch.where(count > 0, final, reading.position)
    last = states[row, (count - 1).clamp(min=0)]
    reading.state = torch.where((count > 0)[:, None].to(last.device), last, reading.state)
    return [states if layer == -1 else read.hidden_states[layer] for layer in layers]


def generate(
    language: PreTrainedModel,
    speak: Callable[[Tensor], Tensor],
    reading: Reading,
    *,
    most: int,
    end: int,
    forbidden: Tensor | None = None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Write one token per step and row until all rows have ended.

    Args:
        language: the decoder.
        speak: states (B, D) to logits (B, V).
        reading: where to go on; it is moved along.
        most: tokens at most.
        end: the token that ends a row; afterwards the row repeats it.
        forbidden: (V,) tokens that must not be written.

    Yields:
        Tokens (B,) and the states (B, D) at them.
    """
    ended = torch.zeros(len(reading.held), dtype=torch.bool, device=reading.held.device)
    for _ in range(most):
        logits = speak(reading.state)
        if forbidden is not None:
            logits = logits.masked_fill(forbidden, -torch.inf)
        token = torch.where(ended, end, logits.argmax(1))
        ended = ended | (token == end)
        embedded = language.get_input_embeddings()(token)[:, None]
        states = read_on(language, reading, embedded, ~ended[:, None])
        yield token, states[:, 0]
        if bool(ended.all()):
            return


def foretell(
    language: PreTrainedModel,
    speak: Callable[[Tensor], Tensor],
    reading: Reading,
    *,
    most: Tensor,
    end: int,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Write one token per step and row; nothing is read on that no further token needs.

    Args:
        language, speak, reading, end: as in ``generate``.
        most: (B,) tokens of each row at most; afterwards the row repeats ``end``.

    Yields:
        Tokens (B,) and the states (B, D) that *predict* them.
    """
    ended = most <= 0
    for step in range(int(most.max()) if len(most) else 0):
        token = torch.where(ended, end, speak(reading.state).argmax(1))
        yield token, reading.state
        ended = ended | (token == end) | (most <= step + 1)
        if bool(ended.all()):
            return
        embedded = language.get_input_embeddings()(token)[:, None]
        read_on(language, reading, embedded, ~ended[:, None])
