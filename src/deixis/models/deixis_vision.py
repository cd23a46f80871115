"""The vision of the unified family: each frame alone, once; what it shows and what stands out.

Shapes: F frames, P proposals per frame, H W canvas pixels, h w cells of stride 2.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deixis.models.deixis_config import DeixisConfig
from deixis.nn.backbone import ConvPyramid
from deixis.nn.dense import DenseHeads, DenseMaps
from deixis.nn.proposals import propose
from deixis.relation.objects import Look, part_moments, pool_words


class DeixisVision(nn.Module):
    """A pyramid of features, words for every cell, and proposals of objects."""

    def __init__(self, config: DeixisConfig) -> None:
        super().__init__()
        self.config = config
        words = {kind: len(names) for kind, names in config.words.items()}
        self.backbone = ConvPyramid(**config.vision_config)
        self.heads = DenseHeads(config.fine_width, words, config.identity_width)
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
        with torch.autocast(pixels.device.type, enabled=False):  # pooling is measuring: exact
            words = {kind: maps.probabilities(kind) for kind in self.config.words}
            with torch.no_grad():
                proposals = propose(
                    maps.foreground("category"),
                    maps.offset,
                    limit=self.config.most_objects,
                    least_votes=self.config.least_votes,
                )
            named = torch.cat(list(words.values()), 1)
            identity = torch.einsum(
                "fpn,fen->fpe", proposals.masks.flatten(2), maps.identity.flatten(2)
            )
            return Look(
                proposals=proposals,
                observed=pool_words(
                    torch.cat([fine, named], 1), proposals, words["part"], words["colour"]
                ),
                identity=F.normalize(identity, dim=-1),
                part_moments=part_moments(proposals, words["part"]),
                coarse=coarse,
                fine=fine,
                words=named,
                kept=torch.arange(len(pixels), device=pixels.device),
            )


def describe(look: Look) -> Tensor:
    """Return (F, 2 C): mean and spread of each coarse feature over a frame."""
    coarse = look.coarse.float().flatten(2)
    return torch.cat([coarse.mean(2), coarse.std(2)], 1)


def strangeness(described: Tensor, mean: Tensor, scale: Tensor) -> Tensor:
    """Return (F,): the mean square of how far descriptions (F, 2 C) lie from familiar ones."""
    return ((described - mean) / scale).square().mean(1)
