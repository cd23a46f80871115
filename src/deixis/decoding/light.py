"""PixelLM's pixel decoder as published: one two-way transformer per level, masks that modulate.

Follows the released code of arXiv:2312.02228. Level l reads its features at the grid's side times
2^l and draws at twice that; its mask weighs the features of the next level, and the masks of all
levels are added (``pyramid.py`` has both steps). The blocks are those of SAM's mask decoder.

Shapes: M targets, I images, L levels, C decoder width, T mask tokens, E mask width, h x w cells.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import SamMaskDecoderConfig
from transformers.models.sam.modeling_sam import SamFeedForward, SamTwoWayTransformer

from deixis.decoding.pyramid import Modulation, add_levels, mask_gain
from deixis.nn.prompt_codes import FourierCode, PromptCodes
from deixis.nn.shapes import expect_shape

CHUNK = 16  # targets whose features are in memory together: what a cache holds


@dataclass(frozen=True, kw_only=True, slots=True)
class LightConfig:
    levels: int = 2
    width: int = 256
    mlp_width: int = 2048
    depth: int = 2
    heads: int = 8
    mask_tokens: int = 4
    mask_width: int | None = None  # None: an eighth of the width, as released
    modulation: Modulation = "one_plus_sigmoid"
    learnable_fusion: bool = False  # the released code keeps 1 / L for ever
    constant: float | None = None  # another weight of each level than 1 / L


@dataclass(frozen=True, kw_only=True, slots=True)
class Level:
    """What one level knows of its targets.

    Attributes:
        logits: (M, h, w) of the first mask token.
        tokens: (M, 1 + T, C) the states of the overlap token and of the mask tokens.
        pixels: (M, E, h, w) what mask tokens are held against.
    """

    logits: Tensor
    tokens: Tensor
    pixels: Tensor


class ChannelNorm(nn.Module):
    """LayerNorm over the channels of (I, C, h, w), added up in the order of the released code.

    torch's own rounds otherwise: after the neck by 1e-5, which is all that its recordings allow.
    """

    def __init__(self, width: int, epsilon: float = 1e-6) -> None:
        super().__init__()
        self.epsilon = epsilon
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, features: Tensor) -> Tensor:
        """Return the features with mean 0 and deviation 1 in every cell, weighed and moved."""
        return self.last(features.movedim(1, -1)).movedim(-1, 1).contiguous()

    def last(self, features: Tensor) -> Tensor:
        """Return the same of features (..., C): one fused pass over memory in place of eight."""
        return F.layer_norm(features, features.shape[-1:], self.weight, self.bias, self.epsilon)


class Doubling(nn.Sequential):
    """Makes four cells (I, E, 2h, 2w) of each (I, C, h, w): a transposed convolution whose steps do
    not overlap, a norm over channels, GELU.

    A step without overlap is a matrix product over channels. What comes of it keeps the channels of
    a cell together in memory, as the norm and all that reads it want them.
    """

    def __init__(self, in_width: int, width: int) -> None:
        super().__init__(nn.ConvTranspose2d(in_width, width, 2, 2), ChannelNorm(width), nn.GELU())

    def forward(self, features: Tensor) -> Tensor:
        """Return the features of finer cells."""
        convolution, norm, gelu = cast(tuple[nn.ConvTranspose2d, ChannelNorm, nn.GELU], tuple(self))
        assert convolution.bias is not None
        weight = convolution.weight.permute(2, 3, 1, 0).flatten(0, 2)  # (2 * 2 * E, C)
        fine = F.linear(features.movedim(1, -1), weight, convolution.bias.repeat(4))
        fine = gelu(norm.last(fine.unflatten(-1, (2, 2, -1))))  # (I, h, w, 2, 2, E)
        return fine.transpose(2, 3).flatten(3, 4).flatten(1, 2).movedim(-1, 1)


class FeatureNeck(nn.Sequential):
    """Brings projected features (I, D, h, w) to the decoder's width (I, C, h, w)."""

    def __init__(self, in_width: int, width: int) -> None:
        super().__init__(
            nn.Conv2d(in_width, width, 1, bias=False),
            ChannelNorm(width),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            ChannelNorm(width),
        )


class LightPixelDecoder(nn.Module):
    """Draws the masks of all targets at once, from coarse to fine."""

    def __init__(self, config: LightConfig) -> None:
        super().__init__()
        self.config = config
        width, mask_width = config.width, config.mask_width or config.width // 8
        sam = SamMaskDecoderConfig(
            hidden_size=width,
            mlp_dim=config.mlp_width,
            num_hidden_layers=config.depth,
            num_attention_heads=config.heads,
            layer_norm_eps=1e-5,  # as torch's own, unlike SAM in transformers
        )
        sam._attn_implementation = "sdpa"
        self.transformer = nn.ModuleList(SamTwoWayTransformer(sam) for _ in range(config.levels))
        self.iou_token = nn.Embedding(1, width)
        self.mask_tokens = nn.Embedding(config.mask_tokens, width)
        self.level_embed = nn.Embedding(config.levels, width)
        self.output_upscaling = Doubling(width, mask_width)
        self.upsample_2x = Doubling(width, width)  # shared by the levels above the first
        self.pe1 = FourierCode(2, width)  # their code of places
        self.output_hypernetworks_mlps = nn.ModuleList(
            SamFeedForward(width, width, mask_width, 3) for _ in range(config.mask_tokens)
        )
        self.iou_prediction_head = SamFeedForward(width, width, config.mask_tokens, 3)
        if config.learnable_fusion:
            self.gamma = nn.Parameter(torch.full((config.levels,), self._weight))

    def forward(
        self, queries: Tensor, features: Sequence[Tensor], image_index: Tensor, prompts: PromptCodes
    ) -> Tensor:
        """Return mask logits (M, h, w) at the size of the last level.

        Args:
            queries: (M, L, C), from codebook fusion.
            features: L tensors (I, C, h, w) of one size, from the neck.
            image_index: (M,) which image each target is drawn on.
            prompts: gives the places of the first level and what stands for "no mask yet".

        Raises:
            ShapeError: queries, features and index do not fit together.
        """
        expect_shape("queries", queries, (None, self.config.levels, self.config.width))
        expect_shape("image index of each query", image_index, (len(queries),))
        drawn = []
        for some, index in zip(queries.split(CHUNK), image_index.split(CHUNK), strict=True):
            shown, place = index.unique(return_inverse=True)
            levels = self.draw(some, [feature[shown] for feature in features], place, prompts)
            drawn.append(self.fuse([level.logits for level in levels]))
        return torch.cat(drawn)

    def draw(
        self, queries: Tensor, features: Sequence[Tensor], image_index: Tensor, prompts: PromptCodes
    ) -> list[Level]:
        """Return what every level draws; arguments as in ``forward``."""
        config = self.config
        levels: list[Level] = []
        for number, feature in enumerate(features):
            expect_shape(f"features of level {number}", feature, (None, config.width, None, None))
            for _ in range(number):
                feature = self.upsample_2x(feature)  # per image, not per target
            source = feature[image_index]  # (M, C, h, w)
            if levels:
                gain = mask_gain(levels[-1].logits, source, config.modulation)
                source = source * gain[:, None].to(source.dtype)
            levels.append(self._level(number, queries[:, number], source, prompts))
        return levels

    def _level(self, number: int, query: Tensor, source: Tensor, prompts: PromptCodes) -> Level:
        """Let the tokens of one level look at its features, and the features at them."""
        size = (source.shape[-2], source.shape[-1])
        own = torch.cat([self.iou_token.weight, self.mask_tokens.weight])  # (1 + T, C)
        tokens = torch.cat([own.expand(len(query), -1, -1), query[:, None].to(own.dtype)], 1)
        tokens = tokens + self.level_embed.weight[number]
        states, pixels = self.transformer[number](
            point_embeddings=tokens[:, None],
            image_embeddings=source + prompts.no_mask().to(source.dtype),
            image_positional_embeddings=self.code(number, prompts).grid(size).to(source.dtype),
            attention_similarity=None,
        )
        states = states[:, 0, : len(own)]  # (M, 1 + T, C)
        pixels = pixels[:, 0].transpose(1, 2).unflatten(2, size)
        pixels = self.output_upscaling(pixels)  # (M, E, 2h, 2w)
        return Level(logits=self._masks(states, pixels, 1)[:, 0], tokens=states, pixels=pixels)

    def code(self, number: int, prompts: PromptCodes) -> FourierCode:
        """Return what tells the places of a level's cells."""
        return self.pe1 if number else prompts.pe_layer

    def candidates(self, level: Level) -> tuple[Tensor, Tensor]:
        """Return the masks (M, T, h, w) of every mask token and their estimated overlaps (M, T).

        The released models were never trained to estimate, and draw the first mask only.
        """
        masks = self._masks(level.tokens, level.pixels, self.config.mask_tokens)
        return masks, self.iou_prediction_head(level.tokens[:, 0])

    def _masks(self, tokens: Tensor, pixels: Tensor, count: int) -> Tensor:
        heads = list(self.output_hypernetworks_mlps)[:count]
        vectors = torch.stack([head(tokens[:, 1 + i]) for i, head in enumerate(heads)], 1)
        masks = vectors @ pixels.flatten(2)  # (M, T, h * w)
        return masks.unflatten(2, pixels.shape[2:]).float()

    def fuse(self, levels: Sequence[Tensor]) -> Tensor:
        """Return the weighted sum of the levels' logits (M, h_l, w_l) at the size of the last."""
        if self.config.learnable_fusion:
            return add_levels(levels, self.gamma)
        return add_levels(levels, levels[0].new_full((len(levels),), self._weight))

    @property
    def _weight(self) -> float:
        constant = self.config.constant
        return 1 / self.config.levels if constant is None else constant
