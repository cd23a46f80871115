"""PixelLM (arXiv:2312.02228): one image and a question in, words with codebook groups out, and a
mask for every group. Exact to the released code; ``docs/pixellm.md`` lists where it differs.

CLIP sees the image at one canvas; two of its layers are kept. The later one, pooled, is what the
LLaMA decoder reads in the place of the image. Where it writes a group, the states that *predict*
the group's tokens are projected and fused into one query per level, and the light pixel decoder
draws the mask from both layers.

State: ``vision`` (CLIP), ``projector``, ``pixel_projector``, ``language`` (LLaMA), ``lm_head``,
``codebook.project``, ``neck``, ``prompts``, ``pyramid``; ``pixellm_keys.py`` maps the published
names onto them. All buffers of random Fourier codes are part of it.

Shapes: I images, L levels, P patches, E CLIP's width, B rows, N tokens, Q image tokens, W columns
with images spliced in, D language width, M targets, C decoder width, h w cells of masks, V words.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import CLIPVisionModel, LlamaModel, PreTrainedModel

from deixis.decoding.codebook import CodebookConfig, CodebookFusion
from deixis.decoding.light import FeatureNeck, LightConfig, LightPixelDecoder
from deixis.language.packed import Packed, Sharing, find_sharing, read_packed
from deixis.language.splice import held_columns, splice_rows, starts_of
from deixis.models.configs.pixellm_config import (
    PixelLMConfig,
    pixellm_7b,
    pixellm_13b,
    pixellm_tiny,
)
from deixis.models.parts.pixellm_vision import clip_levels, patch_mask, pooled, pooled_mask
from deixis.nn.prompt_codes import PromptCodes
from deixis.processing.batch import Output
from deixis.processing.batches.pixellm_batch import IGNORED, IMAGE, GroupSlots, PixelLMBatch

PRESETS = {"pixellm_7b": pixellm_7b, "pixellm_13b": pixellm_13b, "pixellm_tiny": pixellm_tiny}


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """What images show.

    Attributes:
        features: (L, I, P, E) CLIP's states, one set per level.
        rows: (I, Q, D) what the language decoder reads of each image; zeros where it does not.
        read: (I, Q) bool, which of these hold something of the image.
    """

    features: Tensor
    rows: Tensor
    read: Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class Laid:
    """Rows as the language decoder reads them: closed up, with padded image tokens left out.

    Attributes:
        embedded: (B, W, D).
        held: (B, W) which columns hold something.
        positions: (B, W); those of padded image tokens are passed over, as published.
        starts: (B, N) the column of each token, or of the first row of its image.
        sharing: which rows begin alike, since they ask about one image; counted in columns.
    """

    embedded: Tensor
    held: Tensor
    positions: Tensor
    starts: Tensor
    sharing: Sharing


class PixelLM(PreTrainedModel):
    """Answers questions about an image in words and masks."""

    config_class = PixelLMConfig
    main_input_name = "batch"
    _supports_sdpa = True
    # Stored in float32 in the published checkpoints; masks keep that precision in any type.
    _keep_in_fp32_modules_strict = ["codebook", "neck", "prompts", "pyramid"]  # noqa: RUF012

    def __init__(self, config: PixelLMConfig) -> None:
        super().__init__(config)
        width = config.text_config.hidden_size
        self.vision = CLIPVisionModel(config.vision_config)
        self.projector = _projector(config.vision_config.hidden_size, width)
        self.pixel_projector = _projector(config.vision_config.hidden_size, width)
        self.language = LlamaModel(config.text_config)
        self.lm_head = nn.Linear(width, config.text_config.vocab_size, bias=False)
        self.codebook = CodebookFusion(
            CodebookConfig(
                levels=config.levels,
                tokens_per_level=config.tokens_per_level,
                language_width=width,
                decoder_width=config.decoder_width,
                learnable_weights=config.learnable_fusion,
                constant=config.token_weight,
            )
        )
        self.neck = FeatureNeck(width, config.decoder_width)
        self.prompts = PromptCodes(config.decoder_width, config.canvas)
        self.pyramid = LightPixelDecoder(
            LightConfig(
                levels=config.levels,
                width=config.decoder_width,
                mlp_width=config.decoder_mlp_width,
                depth=config.decoder_depth,
                heads=config.decoder_heads,
                mask_tokens=config.mask_tokens,
                mask_width=config.mask_width,
                modulation=config.modulation,
                learnable_fusion=config.learnable_fusion,
                constant=config.level_weight,
            )
        )
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """Keep what each part began with; transformers' parts know their own way."""

    def get_input_embeddings(self) -> nn.Module:
        """Return the table of the words."""
        return self.language.embed_tokens

    def forward(self, batch: PixelLMBatch) -> Output:
        """Read images, questions and answers together; one mask for every group.

        ``text_logits`` are those of the labelled tokens only, (T, V), and ``extra`` their labels
        (T,); masks (M, h, w) are at the size of the last level.
        """
        look = self.see(batch.pixels, batch.resized)  # vision: (L, I, P, E), (I, Q, D)
        laid = self.lay_out(batch.tokens, batch.held, batch.image, look)  # (B, W, D)
        (hidden,) = self.read_layers(laid, [-1])  # language: (B, W, D)
        queries = self.queries(group_states(hidden, laid, batch.slots))  # codebook: (M, L, C)
        masks = self.point(queries, look, batch.image_of_target)  # pixel decoder: (M, h, w)
        states, labels = self.labelled(hidden, laid, batch)
        output = self.drawn(masks, batch.image_of_target)
        return replace(output, text_logits=self.speak(states), extra=labels)

    def drawn(self, masks: Tensor, image_index: Tensor) -> Output:
        """Return an output of masks (M, h, w) on their images (M,), without words."""
        return Output(
            mask_logits=masks,
            target=torch.arange(len(masks), device=masks.device),
            frame=image_index,
            presence=torch.ones(len(masks), 1, device=masks.device),
            score=torch.ones(len(masks), device=masks.device),
        )

    # -- stations ---------------------------------------------------------------------------------

    def see(self, pixels: Tensor, resized: Tensor) -> Look:
        """Look at images (I, 3, H, H) that fill (h, w) = resized (I, 2) of their canvas."""
        config = self.config
        patches = patch_mask(resized.to(pixels.device), config.canvas, config.grid)
        features = clip_levels(self.vision, pixels, patches, config.feature_layers)
        small = pooled(features[0], config.grid, config.image_grid)  # (I, Q, E)
        read = pooled_mask(patches, config.image_grid).flatten(1)  # (I, Q)
        told = self.projector(small[read])  # no padded token is projected
        rows = told.new_zeros(*read.shape, told.shape[1])
        return Look(features=features, rows=rows.index_put((read,), told), read=read)

    def lay_out(self, tokens: Tensor, held: Tensor, image: Tensor, look: Look) -> Laid:
        """Embed tokens (B, N), and put what is read of each row's image in its place."""
        places = (tokens == IMAGE) & held  # (B, N)
        words = self.language.embed_tokens(tokens.clamp(min=0))
        mine = image[places.any(1)]  # (images of the rows that have one,)
        count = look.read.sum(1)[mine]
        lengths = held.long().masked_scatter(places, count)
        whole = held.long().masked_fill(places, look.read.shape[1])  # as if all were read
        read = look.read[mine]
        embedded = splice_rows(words, lengths, places, look.rows[mine][read])
        alike = find_sharing(tokens, held, image)
        ends = lengths.cumsum(1)  # (B, N)
        columns = F.pad(ends, (1, 0)).gather(1, alike.common[:, None])[:, 0]
        return Laid(
            embedded=embedded,
            held=held_columns(lengths),
            positions=_positions(lengths, whole, places, read),
            starts=starts_of(lengths),
            sharing=Sharing(group=alike.group, common=columns),
        )

    def read(self, laid: Laid) -> Tensor:
        """Return the language decoder's last states (B, W, D); zeros where nothing is held.

        What the questions about one image have in common is read once.
        """
        return self.read_layers(laid, [-1])[0].padded()

    def read_layers(self, laid: Laid, layers: Sequence[int]) -> list[Packed]:
        """Return the states (B, W, D) after each of some layers; -1 are those of ``read``."""
        return read_packed(
            self.language, laid.embedded, held=laid.held, positions=laid.positions,
            sharing=laid.sharing, layers=layers,
        )  # fmt: skip

    def speak(self, states: Tensor) -> Tensor:
        """Return the logits (..., V) of what comes next."""
        return self.lm_head(states)

    def queries(self, states: Tensor) -> Tensor:
        """Return one query per level (M, L, C) of the states (M, L * K, D) of groups."""
        weight = next(self.codebook.parameters())
        return self.codebook(states.flatten(0, 1).to(weight.dtype))

    def pixel_features(self, look: Look) -> Tensor:
        """Return what the pixel decoder reads (L, I, C, g, g); needed only where masks are."""
        projected = self.pixel_projector(look.features)  # (L, I, P, D)
        grid = (self.config.grid, self.config.grid)
        cells = projected.transpose(2, 3).unflatten(3, grid).flatten(0, 1)
        weight = next(self.neck.parameters())
        return self.neck(cells.to(weight.dtype)).unflatten(0, projected.shape[:2])

    def point(self, queries: Tensor, look: Look, image_index: Tensor) -> Tensor:
        """Draw targets (M, L, C) on their images (M,); logits (M, h, w), float32."""
        if not len(queries):
            side = self.config.grid * 2**self.config.levels
            return queries.new_zeros(0, side, side, dtype=torch.float32)
        drawn, index = image_index.unique(return_inverse=True)
        shown = Look(features=look.features[:, drawn], rows=look.rows, read=look.read)
        features = self.pixel_features(shown)  # only of images with targets
        return self.pyramid(queries, features.unbind(0), index, self.prompts)

    def labelled(
        self, hidden: Tensor | Packed, laid: Laid, batch: PixelLMBatch
    ) -> tuple[Tensor, Tensor]:
        """Return the states (T, D) before labelled tokens, and these tokens (T,)."""
        assert batch.truth is not None, "forward learns from true answers; to ask, use see"
        row, column = torch.nonzero(batch.truth.labels != IGNORED, as_tuple=True)
        return hidden[row, laid.starts[row, column] - 1], batch.truth.labels[row, column]


def group_states(hidden: Tensor | Packed, laid: Laid, slots: GroupSlots) -> Tensor:
    """Return (M, G, D): the states that predict the tokens of each group, one column before."""
    row = slots.row[:, None].expand_as(slots.column)
    return hidden[row, laid.starts[row, slots.column] - 1]


def _positions(lengths: Tensor, whole: Tensor, places: Tensor, read: Tensor) -> Tensor:
    """Return (B, W): where each column stands if no image token were left out.

    Args:
        lengths: (B, N) columns that each token takes; whole: with all tokens of an image.
        places: (B, N) where images go.
        read: (rows with an image, Q) which of the image's tokens are read.
    """
    first = starts_of(whole)  # (B, N)
    index = torch.arange(read.shape[1], device=read.device).expand_as(read)
    own = (first[places][:, None] + index)[read]  # of all image tokens
    return splice_rows(first[..., None], lengths, places, own[:, None])[..., 0]


def _projector(in_width: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(in_width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
