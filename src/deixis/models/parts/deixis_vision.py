"""The vision of the unified family: each frame alone, once; what it shows and what stands out.

Shapes: F frames, P proposals per frame, H W canvas pixels, h w cells of stride 2.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AutoBackbone

from deixis.decoding.codebook import CodebookConfig, CodebookFusion
from deixis.decoding.pyramid import PyramidConfig, PyramidDecoder
from deixis.errors import ConfigError
from deixis.models.configs.deixis_checks import ready_made
from deixis.models.configs.deixis_config import DeixisConfig
from deixis.nn.backbone import ConvPyramid, FinestFeatures
from deixis.nn.dense import DenseHeads, DenseMaps
from deixis.nn.neck import FeaturePyramid
from deixis.nn.precision import exactly
from deixis.nn.proposals import Proposals, propose
from deixis.relation.likeness import LOOKS
from deixis.relation.objects import Look, part_moments, pool_words

# what the backbones of transformers were trained with: the colours of ImageNet
MEAN, SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class BorrowedPyramid(nn.Module):
    """A backbone of transformers and a neck, in the place of our own pyramid.

    Raises:
        ConfigError: a model of transformers that is no backbone.
    """

    def __init__(self, backbone: dict[str, Any], neck: dict[str, int]) -> None:
        super().__init__()
        made = ready_made("vision_config", backbone)
        try:
            self.body = AutoBackbone.from_config(made)
        except ValueError as error:
            raise ConfigError(
                f"vision_config.model_type: expected a backbone of transformers (convnextv2, "
                f'swinv2, hiera, ...), got "{made.model_type}", which is none.'
            ) from error
        self.neck = FeaturePyramid(self.body.channels, **neck)

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """Return features of stride 2, of the backbone's strides, and the coarsest, of pixels
        (F, 3, H, W) in [0, 1]."""
        mean, spread = (pixels.new_tensor(v)[:, None, None] for v in (MEAN, SPREAD))
        pixels = (pixels - mean) / spread
        return self.neck(pixels, self.body(pixels).feature_maps)


class DeixisVision(nn.Module):
    """A pyramid of features, words for every cell, and proposals of objects."""

    def __init__(self, config: DeixisConfig) -> None:
        super().__init__()
        self.config = config
        words = {kind: len(names) for kind, names in config.words.items()}
        self.backbone: nn.Module
        if config.borrowed:
            self.backbone = BorrowedPyramid(config.vision_config, config.neck_config)
        else:
            self.backbone = ConvPyramid(**config.vision_config)
        self.gains = _gains(config)
        self.heads = DenseHeads(config.fine_width, words, config.identity_width)
        self.finest: FinestFeatures | None = None
        if config.mask_stride == 1:
            self.finest = FinestFeatures(config.fine_width, config.finest_width)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def dense(self, pixels: Tensor) -> tuple[list[Tensor], DenseMaps]:
        """Return features of every stride and what the dense heads say, of uint8 (F, 3, H, W)."""
        dtype = self.heads.out.weight.dtype
        features = self.backbone(pixels.to(dtype, memory_format=torch.channels_last) / 255)
        return features, self.heads(features[0])

    def look(self, pixels: Tensor) -> Look:
        """Look at frames (F, 3, H, W) uint8, each alone."""
        features, maps = self.dense(pixels)
        fine, coarse = features[0].float(), features[-1].float()
        with exactly(pixels.device):  # pooling is measuring
            if self.config.openness:
                maps = maps.opened(self.gains)
            words = {kind: maps.probabilities(kind) for kind in self.config.words}
            with torch.no_grad():
                proposals = propose(
                    maps.foreground("category"),
                    maps.offset,
                    limit=self.config.most_objects,
                    least_votes=self.config.least_votes,
                )
            named = torch.cat(list(words.values()), 1)
            return Look(
                proposals=proposals,
                **self._observed(fine, maps, words, proposals),
                coarse=coarse,
                fine=fine,
                pixels=pixels,
                words=named,
                kept=torch.arange(len(pixels), device=pixels.device),
            )

    def levels(
        self, look: Look, frame: Tensor, dtype: torch.dtype
    ) -> tuple[list[Tensor], Tensor]:
        """Return the features that masks are drawn from, one per level, coarse to fine, and where
        the frame of each mask (R,) stands among theirs."""
        count = self.config.levels
        if self.finest is None:
            return [look.fine.to(dtype)] * count, frame
        frames, place = (frame if len(frame) else frame.new_zeros(1)).unique(return_inverse=True)
        fine = look.fine[frames].to(dtype, memory_format=torch.channels_last)
        pixels = look.pixels[frames].to(dtype, memory_format=torch.channels_last) / 255
        return [*[fine] * (count - 1), self.finest(pixels, fine)], place[: len(frame)]

    def _observed(
        self, fine: Tensor, maps: DenseMaps, words: dict[str, Tensor], proposals: Proposals
    ) -> dict[str, Tensor]:
        """Return what is known of each proposal; without object tokens nobody asks."""
        if not self.config.object_tokens:
            nothing = fine.new_zeros(*proposals.valid.shape, 0)
            return {"observed": nothing, "looks": nothing, "part_moments": nothing}
        identity = torch.einsum(
            "fpn,fen->fpe", proposals.masks.flatten(2), maps.identity.flatten(2)
        )
        observed = pool_words([fine, *words.values()], proposals, words["part"], words["colour"])
        sizes = [fine.shape[1], *(maps.shape[1] for maps in words.values())]
        _, *shares, pairs = observed.split([*sizes, observed.shape[2] - sum(sizes)], 2)
        named = dict(zip(words, shares, strict=True))
        compared = [named[kind] for kind in (*LOOKS, "part") if kind in named]
        return {
            "observed": observed,
            "looks": torch.cat([F.normalize(identity, dim=-1), *compared, pairs], 2),
            "part_moments": part_moments(proposals, words["part"]),
        }


def _gains(config: DeixisConfig) -> list[list[float]]:
    """Return 1 + categories rows of 1 + parts: what parts gain where they were never seen."""
    unusual = [[], *(config.unusual_parts.get(name, []) for name in config.words["category"])]
    parts = ["", *config.words["part"]]
    return [[config.openness * (part in row) for part in parts] for row in unusual]


def drawing(config: DeixisConfig) -> tuple[CodebookFusion, PyramidDecoder]:
    """Return what turns the states of groups into masks on the features that vision gives."""
    width = config.text_config.hidden_size
    codebook = CodebookConfig(
        levels=config.levels,
        tokens_per_level=config.tokens_per_level,
        language_width=width,
        decoder_width=width // 2,
    )
    last = config.finest_width if config.mask_stride == 1 else config.fine_width
    pyramid = PyramidConfig(
        feature_widths=(*[config.fine_width] * (config.levels - 1), last),
        query_width=width // 2,
        mask_width=config.mask_width,
    )
    return CodebookFusion(codebook), PyramidDecoder(pyramid)
