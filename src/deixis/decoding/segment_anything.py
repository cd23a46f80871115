"""Hidden states as prompts of Segment Anything (arXiv:2304.02643): images once, targets together.

A state, projected to the prompts' width, stands where SAM expects the embedding of a point; there
are no points, boxes or masks. LISA, GLaMM and PRIMA draw like this.

Shapes: F frames, M targets, C prompt width, h w cells of the feature grid.
"""

from typing import Any

import torch
from torch import Tensor, nn
from transformers import SamConfig, SamModel

from deixis.nn.shapes import expect_shape


class SegmentAnything(nn.Module):
    """Transformers' SAM, prompted by vectors."""

    def __init__(self, config: SamConfig) -> None:
        super().__init__()
        self.sam = SamModel(config)
        inner: Any = config.mask_decoder_config
        self.prompt_width = int(inner.hidden_size)

    def look(self, pixels: Tensor) -> Tensor:
        """Return the features (F, C, h, w) of pixels (F, 3, H, W); one frame at a time, for a
        ViT-H at 1024 pixels needs gigabytes for each."""
        encoder = self.sam.vision_encoder
        return torch.cat([encoder(frame[None]).last_hidden_state for frame in pixels])

    def draw(self, prompts: Tensor, frame: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return mask logits (M, 4h, 4w) and estimated IoUs (M,), one decoder call per frame.

        Args:
            prompts: (M, C).
            frame: (M,) in which frame each target is drawn.
            features: (F, C, h, w).

        Raises:
            ShapeError: prompts of another width, or not one frame for each.
        """
        expect_shape("mask prompts", prompts, (None, self.prompt_width))
        expect_shape("frame of each prompt", frame, (len(prompts),))
        height, width = features.shape[2:]
        logits = prompts.new_zeros(len(prompts), 4 * height, 4 * width)
        score = prompts.new_zeros(len(prompts))
        place = self.sam.get_image_wide_positional_embeddings()
        for index in frame.unique().tolist():
            mine = torch.nonzero(frame == index)[:, 0]
            dense = self.sam.prompt_encoder.no_mask_embed.weight.reshape(1, -1, 1, 1)
            drawn, iou = self.sam.mask_decoder(
                image_embeddings=features[index : index + 1],
                image_positional_embeddings=place,
                sparse_prompt_embeddings=prompts[mine][None, :, None],
                dense_prompt_embeddings=dense.expand(1, -1, height, width),
                multimask_output=False,
            )
            logits = logits.index_copy(0, mine, drawn[0, :, 0].to(logits.dtype))
            score = score.index_copy(0, mine, iou[0, :, 0].to(score.dtype))
        return logits, score


class SegHead(nn.Sequential):
    """Projects the states (M, D) that ask for a mask to prompts (M, C), as LISA and GLaMM do."""

    def __init__(self, language_width: int, prompt_width: int) -> None:
        super().__init__(
            nn.Linear(language_width, language_width),
            nn.ReLU(),
            nn.Linear(language_width, prompt_width),
        )
