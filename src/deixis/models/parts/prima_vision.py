"""PRIMA's view of each image alone: EVA-CLIP-G; in the first version it also attends to DINOv2.

Shapes: F frames, H W pixels, P patches with the class token, C feature width.
"""

import torch
from torch import Tensor, nn
from transformers import Dinov2WithRegistersModel, InstructBlipVisionModel

from deixis.models.configs.prima_config import PrimaConfig
from deixis.processing.frames.prima_pixels import CLIP_MEAN, CLIP_STD
from deixis.relation.square import CrossAttention

DINO_MEAN, DINO_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class PrimaVision(nn.Module):
    """Pixels (F, 3, H, W), normalised as CLIP's -> features (F, P, C)."""

    def __init__(self, config: PrimaConfig) -> None:
        super().__init__()
        self.eva = InstructBlipVisionModel(config.vision_config)
        self.fuse = FuseDino(config) if config.dino_config is not None else None

    def forward(self, pixels: Tensor) -> Tensor:
        features: Tensor = self.eva(pixels).last_hidden_state
        return features if self.fuse is None else self.fuse(features, pixels)


class FuseDino(nn.Module):
    """Attention of EVA's features to DINOv2's patches, with a residual.

    The figure of the first version shows which attends to which, no more; the residual is ours.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, config: PrimaConfig) -> None:
        super().__init__()
        assert config.dino_config is not None
        self.dino = Dinov2WithRegistersModel(config.dino_config)
        self.skipped = 1 + config.dino_config.num_register_tokens
        self.attention = CrossAttention(
            config.vision_config.hidden_size, config.dino_config.hidden_size, config.fuse_heads
        )
        mean, std = torch.tensor(CLIP_MEAN), torch.tensor(CLIP_STD)
        scale = std / torch.tensor(DINO_STD)
        shift = (mean - torch.tensor(DINO_MEAN)) / torch.tensor(DINO_STD)
        self.register_buffer("scale", scale[:, None, None], persistent=False)
        self.register_buffer("shift", shift[:, None, None], persistent=False)

    def forward(self, features: Tensor, pixels: Tensor) -> Tensor:
        """Return (F, P, C) of EVA's features (F, P, C) and the pixels that it saw."""
        seen = self.dino(pixels * self.scale + self.shift).last_hidden_state
        return features + self.attention(features, seen[:, self.skipped :])
