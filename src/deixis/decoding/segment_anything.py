"""Hidden states as prompts of Segment Anything (arXiv:2304.02643): images once, targets together.

A state, projected to the prompts' width, stands where SAM expects the embedding of a point; there
are no points, boxes or masks. LISA, GLaMM and PRIMA draw like this.

Shapes: F frames, M targets, C prompt width, h w cells of the feature grid.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from transformers import SamConfig, SamModel

from deixis.nn.shapes import expect_shape

MOST_PIXELS, MOST_CELLS = 1024**2, 64**2  # of frames that are seen, or drawn in, at once


class SegmentAnything(nn.Module):
    """Transformers' SAM, prompted by vectors."""

    def __init__(self, config: SamConfig) -> None:
        super().__init__()
        self.sam = SamModel(config)
        inner: Any = config.mask_decoder_config
        self.prompt_width = int(inner.hidden_size)

    def look(self, pixels: Tensor) -> Tensor:
        """Return the features (F, C, h, w) of pixels (F, 3, H, W); one frame of 1024 pixels at a
        time, for which a ViT-H needs gigabytes, or many small ones."""
        few = max(1, MOST_PIXELS // pixels[0, 0].numel())
        encoder = self.sam.vision_encoder
        return torch.cat([encoder(some).last_hidden_state for some in pixels.split(few)])

    def draw(self, prompts: Tensor, frame: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return mask logits (M, 4h, 4w) and estimated IoUs (M,).

        Frames with equally many targets are drawn together, as many as ``look`` takes at once.

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
        dense = self.sam.prompt_encoder.no_mask_embed.weight.reshape(1, -1, 1, 1)
        for mine in self.together(frame, height * width):
            here = features[frame[mine[:, 0]]]  # (G, C, h, w)
            drawn, iou = self.sam.mask_decoder(
                image_embeddings=here,
                image_positional_embeddings=place.expand(len(here), -1, -1, -1),
                sparse_prompt_embeddings=prompts[mine][:, :, None],
                dense_prompt_embeddings=dense.expand(len(here), -1, height, width),
                multimask_output=False,
            )
            flat = mine.flatten()
            logits = logits.index_copy(0, flat, drawn[:, :, 0].flatten(0, 1).to(logits.dtype))
            score = score.index_copy(0, flat, iou[:, :, 0].flatten().to(score.dtype))
        return logits, score

    def code(self, points: Tensor) -> Tensor:
        """Return SAM's own code (M, C) of points (M, 2), as (x, y) in shares of its canvas."""
        coded: Tensor = self.sam.shared_image_embedding(points)
        return coded

    def together(self, frame: Tensor, cells: int) -> Iterator[Tensor]:
        """Yield the targets (G, n) of frames (M,) that have n targets each, as ``draw`` goes
        through them."""
        order = frame.argsort(stable=True)
        _, counts = frame[order].unique_consecutive(return_counts=True)
        apart = order.split(counts.tolist())
        few = max(1, MOST_CELLS // cells)
        for count in counts.unique().tolist():
            alike = torch.stack([targets for targets in apart if len(targets) == count])
            yield from alike.split(few)


class SegHead(nn.Sequential):
    """Projects the states (M, D) that ask for a mask to prompts (M, C), as LISA and GLaMM do."""

    def __init__(self, language_width: int, prompt_width: int) -> None:
        super().__init__(
            nn.Linear(language_width, language_width),
            nn.ReLU(),
            nn.Linear(language_width, prompt_width),
        )
