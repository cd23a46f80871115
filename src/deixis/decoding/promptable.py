"""SAM 2 on single frames: the image encoder, the prompts, and the mask decoder.

Built of transformers' parts; here too is what they lack: hidden states of a language decoder as
prompts (UniPixel, arXiv:2509.18094; specification 5.2). Every object is a row of one batch.

Shapes: S frames, O objects, K hidden tokens per object, C width, h w cells of the image grid; masks
are four times as fine.
"""

from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModel, Sam2VideoConfig
from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoMaskDecoder

from deixis.nn.prompt_codes import PromptCodes
from deixis.nn.shapes import expect_shape

NO_OBJECT = -1024.0  # the mask logit where an object is not in the frame
EMPTY_ROWS = 2  # rows "no point" before the hidden tokens: an empty click and its padding


@dataclass(frozen=True, kw_only=True, slots=True)
class FrameFeatures:
    """What the image encoder saw: (S, C / 8, 4h, 4w), (S, C / 4, 2h, 2w) and (S, C, h, w)."""

    fine: Tensor
    middle: Tensor
    coarse: Tensor

    def __getitem__(self, index: slice | Tensor) -> "FrameFeatures":
        return FrameFeatures(
            fine=self.fine[index], middle=self.middle[index], coarse=self.coarse[index]
        )

    def __len__(self) -> int:
        return len(self.coarse)


@dataclass(frozen=True, kw_only=True, slots=True)
class Drawing:
    """The masks of all objects in one frame.

    Attributes:
        candidates: (O, 3, 4h, 4w) mask logits.
        candidate_scores: (O, 3) estimated IoU of each, in [0, 1].
        presence_logits: (O, 1) whether the object is there at all.
        mask_logits: (O, 4h, 4w), the candidate of the best score.
        token: (O, C), the decoder's token of that candidate.
        features: (O, C, h, w), the image as it was drawn from.
    """

    candidates: Tensor
    candidate_scores: Tensor
    presence_logits: Tensor
    mask_logits: Tensor
    token: Tensor
    features: Tensor

    def __getitem__(self, rows: Tensor) -> "Drawing":
        return Drawing(**{one.name: getattr(self, one.name)[rows] for one in fields(self)})

    @property
    def score(self) -> Tensor:
        """(O,) estimated IoU of the chosen candidate."""
        return self.candidate_scores.amax(1)

    @property
    def there(self) -> Tensor:
        """(O, 1) whether the object is in the frame."""
        return self.presence_logits > 0


class Promptable(nn.Module):
    """Looks at frames, and draws masks of what hidden tokens ask for."""

    def __init__(self, config: Sam2VideoConfig) -> None:
        super().__init__()
        vision: Any = config.vision_config
        decoder: Any = config.mask_decoder_config
        side: Any = config.image_size
        self.vision = AutoModel.from_config(vision)
        self.prompts = PromptCodes(vision.fpn_hidden_size, side)
        decoder._attn_implementation = config._attn_implementation or "sdpa"
        self.mask_decoder = Sam2VideoMaskDecoder(decoder)

    def look(self, pixels: Tensor) -> FrameFeatures:
        """Return the features of frames (S, 3, H, W)."""
        fine, middle, coarse = self.vision(pixels).fpn_hidden_states
        return FrameFeatures(
            fine=self.mask_decoder.conv_s0(fine),
            middle=self.mask_decoder.conv_s1(middle),
            coarse=coarse,
        )

    def sparse(self, hidden: Tensor | None, count: int) -> Tensor:
        """Return (O, 2 + K, C) prompts of hidden tokens (O, K, C), or (O, 2, C) without any."""
        empty = self.prompts.no_points(count, EMPTY_ROWS)
        if hidden is None:
            return empty
        expect_shape("hidden tokens", hidden, (count, None, empty.shape[-1]))
        return torch.cat([empty, hidden.to(empty.dtype)], 1)

    def draw(
        self,
        features: Tensor,
        frame: FrameFeatures,
        hidden: Tensor | None = None,
        *,
        hide_absent: bool,
        dense: Tensor | None = None,
    ) -> Drawing:
        """Draw every object in one frame, or each object in a frame of its own.

        Args:
            features: (O, C, h, w), the coarse features, with whatever memory each object has.
            frame: features of one frame for all objects, or of one per object.
            hidden: (O, K, C) what asks for the masks; None goes by the features alone.
            hide_absent: where presence is denied, let every mask logit be ``NO_OBJECT``.
            dense: (O, C, h, w) of masks that are given.
        """
        size = (features.shape[-2], features.shape[-1])
        masks, scores, tokens, presence = self.mask_decoder(
            image_embeddings=features,
            image_positional_embeddings=self.prompts.grid(size),
            sparse_prompt_embeddings=self.sparse(hidden, len(features))[:, None],
            dense_prompt_embeddings=self.prompts.no_mask() if dense is None else dense,
            multimask_output=True,
            high_resolution_features=[frame.fine, frame.middle],
        )
        masks, scores, tokens = masks[:, 0].float(), scores[:, 0], tokens[:, 0]
        presence = presence[:, 0]
        if hide_absent:
            masks = torch.where((presence > 0)[..., None, None], masks, NO_OBJECT)
        best = scores.argmax(1)
        row = torch.arange(len(best), device=best.device)
        return Drawing(
            candidates=masks,
            candidate_scores=scores,
            presence_logits=presence,
            mask_logits=masks[row, best],
            token=tokens[row, best],
            features=features,
        )
