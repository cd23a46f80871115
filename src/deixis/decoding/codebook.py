"""Fuses the codebook tokens of each target into one query per feature level.

PixelLM writes a target as L groups of K tokens; group l addresses feature level l of the
pixel decoder (arXiv:2312.02228, "segmentation codebook" and "token fusion").

Shapes: M targets, L levels, K tokens per level, D language width, C decoder width.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from deixis.errors import ConfigError, ShapeError
from deixis.nn.shapes import expect_shape


@dataclass(frozen=True, kw_only=True, slots=True)
class CodebookConfig:
    levels: int = 2
    tokens_per_level: int = 3
    language_width: int = 4096
    decoder_width: int = 256
    # The paper learns the K weights. The released code keeps them in a plain list, so that they
    # stay 1 / (K * L) for ever; False gives exactly that, without an entry in the state dict.
    learnable_weights: bool = True
    constant: float | None = None  # another weight than 1 / (K * L), where they are not learned

    def __post_init__(self) -> None:
        for name in ("levels", "tokens_per_level", "language_width", "decoder_width"):
            if getattr(self, name) < 1:
                raise ConfigError(
                    f"codebook {name}: expected at least 1, got {getattr(self, name)}."
                )


class CodebookFusion(nn.Module):
    """Projects every codebook token, then weighs the K tokens of each level into one query."""

    def __init__(self, config: CodebookConfig) -> None:
        super().__init__()
        self.config = config
        self.group = (config.levels, config.tokens_per_level)
        self.project = nn.Sequential(
            nn.Linear(config.language_width, config.language_width),
            nn.ReLU(),
            nn.Linear(config.language_width, config.decoder_width),
        )
        if config.learnable_weights:
            self.weight = nn.Parameter(
                torch.full((config.tokens_per_level,), 1 / config.tokens_per_level)
            )

    def forward(self, hidden: Tensor) -> Tensor:
        """Return the queries (M, L, C) of hidden states (M * L * K, D) given in reading order.

        Raises:
            ShapeError: the tokens do not fill whole groups, so some target was cut short.
        """
        expect_shape("codebook tokens", hidden, (None, self.config.language_width))
        per_target = self.group[0] * self.group[1]
        if len(hidden) % per_target:
            raise ShapeError(
                f"codebook tokens: expected a multiple of {per_target} (L * K), "
                f"got {len(hidden)}. Drop unfinished targets before fusion."
            )
        targets = len(hidden) // per_target
        tokens = self.project(hidden).unflatten(0, (targets, *self.group))  # (M, L, K, C)
        return self.fuse(tokens)

    def fuse(self, tokens: Tensor) -> Tensor:
        """Return one query per level (M, L, C) of projected tokens (M, L, K, C)."""
        return torch.einsum("mlkc,k->mlc", tokens, self._weights(tokens))

    def _weights(self, tokens: Tensor) -> Tensor:
        """The K weights of a level; constants are made here, for they belong to no state."""
        if self.config.learnable_weights:
            return self.weight
        levels, count = self.group
        released = 1.0 if count == 1 else 1 / (count * levels)
        constant = self.config.constant
        return tokens.new_full((count,), released if constant is None else constant)
