"""Weights that new encoders begin with, so that what they read is heard at their other end."""

from typing import Any

import torch
from torch import nn
from transformers import SamModel

# What ends a branch that is added to what it reads.
ENDS = (
    *("attn.proj", "attn.projection", "o_proj", "out_proj", "output.dense"),  # of attention
    *("proj_out", "down_proj", "fc2", "lin2", "linear2", "output_query.dense", "pointwise_conv2"),
)
LOUDER = 8.0  # than transformers' new words, as loud as what the first layers add to them
ALIKE = 2.0  # how much agreement counts at first of what is projected alike
HALF = 0.5  # of as loud, so that several branches do not drown it


@torch.no_grad()
def begin_audibly(encoder: nn.Module) -> None:
    """Let every linear map and convolution of a new encoder pass things on as loud as they come.

    transformers draws weights with a standard deviation of 0.02, whatever their number of inputs:
    right for a width of 2,500, and nearly silent for one of 100. What ends a branch speaks half as
    loud.
    """
    for name, part in encoder.named_modules():
        if isinstance(part, nn.ConvTranspose2d):
            nn.init.normal_(part.weight, std=part.in_channels**-0.5)  # its steps do not overlap
        elif isinstance(part, nn.Linear | nn.Conv2d):
            share = HALF if name.endswith(ENDS) else 1.0
            nn.init.normal_(part.weight, std=share * part.weight[0].numel() ** -0.5)


@torch.no_grad()
def let_words_be_heard(embeddings: nn.Embedding) -> None:
    """Make new words louder, so that they are not lost in what layers add to them."""
    embeddings.weight *= LOUDER


@torch.no_grad()
def let_neighbours_agree(sam: SamModel) -> None:
    """Give a new SAM's places the frequencies of the published one, in which what lies together has
    like codes. transformers draws them half a width times as high: no two cells are alike."""
    code: Any = sam.shared_image_embedding
    code.positional_embedding /= code.scale
    sam.prompt_encoder.shared_embedding.positional_embedding.copy_(code.positional_embedding)


@torch.no_grad()
def look_where_asked(transformer: nn.Module) -> None:
    """Let tokens of a new two-way transformer (SAM's) look at the cells whose place they carry, and
    cells at the tokens that carry theirs.

    Places are in both, in one code: two that are projected alike agree most where they are one.
    """
    for name, part in transformer.named_modules():
        if name.endswith(("token_to_image", "image_to_token")):
            attention: Any = part
            nn.init.orthogonal_(attention.q_proj.weight, gain=ALIKE**0.5)
            attention.k_proj.weight.copy_(attention.q_proj.weight)
