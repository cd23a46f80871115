"""Vision transformers that begin as convolutions: every head looks at one neighbour of its patch.

From random weights, a vision transformer is slow to find out that what lies next to a patch matters
most. That can be said before the first step: with sines of places among its inputs, a head of
attention can look at any given offset (arXiv:1911.03584); where places turn queries and keys, their
biases are enough for that. All of it learns on as any weight does.

Shapes: P patches, g along a side, E width, F frequencies along an axis.
"""

from collections.abc import Iterable
from math import pi
from typing import Any

import torch
from torch import Tensor, nn
from transformers import CLIPVisionModel, InstructBlipVisionModel
from transformers.models.sam.modeling_sam import SamVisionEncoder

NEIGHBOURS = ((-1, 0), (1, 0), (0, -1), (0, 1), (-1, -1), (1, 1), (-1, 1), (1, -1))  # dy, dx
HIGHEST, LOWEST = pi / 2, pi / 16  # frequencies, radians from a patch to the next
LOUDNESS = 1.4  # of places beside what a patch shows
FOCUS = 4.0  # how sharply a head looks at its neighbour
MEMORY = 4.0  # how sharply a cell looks at the memory of its place
NOISE = 0.02


@torch.no_grad()
def look_nearby(tower: CLIPVisionModel | InstructBlipVisionModel | SamVisionEncoder) -> None:
    """Let every head of the layers of a new CLIP, EVA or SAM look at one neighbour of each patch,
    turn by turn.

    Places take the first dimensions of the patches' embeddings, as many as a head has.
    """
    config: Any = tower.config
    size: int = config.hidden_size // config.num_attention_heads  # of a head
    rates = HIGHEST * (LOWEST / HIGHEST) ** torch.linspace(0, 1, size // 4)
    places, patches, layers = _parts(tower)
    sines = _sines(config.image_size // config.patch_size, rates)
    places.normal_(std=NOISE)[-len(sines) :, : 4 * len(rates)] += LOUDNESS * sines
    nn.init.normal_(patches, std=patches[0].numel() ** -0.5)
    patches[: 4 * len(rates)] = 0  # these dimensions are of places
    for depth, attention in enumerate(layers):
        query, key = _looks(attention)
        for weight in (query, key):
            nn.init.normal_(weight, std=NOISE)
        for head in range(config.num_attention_heads):
            offset = NEIGHBOURS[(head + depth * config.num_attention_heads) % len(NEIGHBOURS)]
            turn = _turn(offset, rates)
            own = slice(head * size, head * size + len(turn))
            query[own, : len(turn)] += FOCUS**0.5 * turn
            key[own, : len(turn)] += FOCUS**0.5 * torch.eye(len(turn))


def _parts(tower: Any) -> tuple[Tensor, Tensor, list[Any]]:
    """Return the places (P, E) of all positions, those of patches last; the weights of patches; the
    attention of each layer."""
    if isinstance(tower, SamVisionEncoder):
        assert tower.pos_embed is not None, "a SAM without places"
        return (
            tower.pos_embed.view(-1, tower.pos_embed.shape[-1]),
            tower.patch_embed.projection.weight,
            [layer.attn for layer in tower.layers],
        )
    places = tower.embeddings.position_embedding
    places = getattr(places, "weight", places)
    return (
        places.view(-1, places.shape[-1]),
        tower.embeddings.patch_embedding.weight,
        [layer.self_attn for layer in tower.encoder.layers],
    )


def _looks(attention: Any) -> tuple[Tensor, Tensor]:
    """Return the weights of queries and of keys, as parts of the joined ones where they are."""
    if hasattr(attention, "qkv"):
        query, key, _ = attention.qkv.weight.chunk(3)
        return query, key
    return attention.q_proj.weight, attention.k_proj.weight


@torch.no_grad()
def look_nearby_turning(blocks: Iterable[Any], rates: Tensor) -> None:
    """Let every head of Qwen's new vision blocks look at one neighbour of each patch.

    Args:
        blocks: have ``attn.qkv``, whose queries and keys are turned by rows and columns.
        rates: (F,) of the turns, radians from a patch to the next; a head has 4 * F dimensions.
    """
    strength = rates.clamp(max=HIGHEST)  # what turns slowly tells no neighbours apart
    for depth, block in enumerate(blocks):
        attention: Any = block.attn
        heads = attention.num_heads
        width = attention.qkv.in_features
        nn.init.normal_(attention.qkv.weight[: 2 * width], std=NOISE)
        query, key, _ = attention.qkv.bias.unflatten(0, (3, heads, -1)).unbind(0)  # (heads, 4 * F)
        loud = (FOCUS * query.shape[1] ** 0.5 * strength) ** 0.5
        for head in range(heads):
            offset = NEIGHBOURS[(head + depth * heads) % len(NEIGHBOURS)]
            angles = torch.cat([step * rates for step in offset])  # (2 * F,)
            both = torch.cat([loud, loud])
            query[head] = torch.cat([both * angles.cos(), both * angles.sin()])
            key[head] = torch.cat([both, torch.zeros_like(both)])


def _sines(side: int, rates: Tensor) -> Tensor:
    """Return (P, 4 * F): sines and cosines of the rows, then of the columns, of patches."""
    steps = torch.arange(side)
    rows, columns = torch.meshgrid(steps, steps, indexing="ij")
    angles = torch.stack([rows.flatten(), columns.flatten()], 1)[..., None] * rates  # (P, 2, F)
    return torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)


def _turn(offset: tuple[int, int], rates: Tensor) -> Tensor:
    """Return the matrix (4 * F, 4 * F) that takes the sines of a place to those at an offset."""
    blocks = []
    for step in offset:
        cos, sin = (step * rates).cos().diag(), (step * rates).sin().diag()
        blocks.append(torch.cat([torch.cat([cos, sin], 1), torch.cat([-sin, cos], 1)]))
    return torch.block_diag(*blocks)


@torch.no_grad()
def look_where_it_was(layers: Iterable[Any], rates: Tensor) -> None:
    """Let every cell of SAM 2's new memory attention look at the memory of its own place.

    Biases that are one agree most where places turn both alike.

    Args:
        layers: have ``cross_attn_image``, whose queries and keys are turned by columns and rows.
        rates: (F,) of the turns, radians from a cell to the next; a head has 4 * F dimensions.
    """
    for layer in layers:
        attention: Any = layer.cross_attn_image
        loud = (MEMORY * (4 * len(rates)) ** 0.5 * rates).sqrt().repeat(2)
        bias = torch.stack([loud, torch.zeros_like(loud)], 1).flatten()  # pairs of channels
        for part in (attention.q_proj, attention.k_proj):
            nn.init.normal_(part.weight, std=NOISE)
            part.bias.copy_(bias.repeat(attention.num_heads))
