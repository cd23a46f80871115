"""UniPixel: points, boxes and masks in, words and masks out, for pictures and clips.

arXiv:2509.18094 and its released code: Qwen2.5-VL reads; prompts are tokens <ref> and <mem>; the
state that predicts each <seg> asks SAM 2.1 for a mask, which frame memory carries along the clip.

Shapes: B rows, N tokens, M targets, K hidden tokens per target, D language width, C width of SAM,
P merged cells of all clips, E their width, T frames, h w cells of SAM's masks, V vocabulary.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.cache_utils import DynamicCache
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import (
    Qwen2_5_VisionTransformerPretrainedModel,
    Qwen2_5_VLRMSNorm,
    Qwen2_5_VLTextModel,
)
from transformers.vision_utils import get_vision_window_index

from deixis.decoding.promptable import Drawing, FrameFeatures
from deixis.decoding.tracking import Tracker
from deixis.errors import ShapeError
from deixis.language.generate import Reading
from deixis.models.configs.unipixel_config import (
    UniPixelConfig,
    unipixel_3b,
    unipixel_7b,
    unipixel_scenes,
    unipixel_tiny,
)
from deixis.nn.windows import attend_in_windows
from deixis.processing.batch import Output
from deixis.processing.batches.unipixel_batch import UniPixelBatch
from deixis.prompting.regions import RegionPrompts, pool_touched
from deixis.prompting.sparse import TimedPrompts

PRESETS = {
    "unipixel_tiny": unipixel_tiny,
    "unipixel_scenes": unipixel_scenes,
    "unipixel_3b": unipixel_3b,
    "unipixel_7b": unipixel_7b,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """What the language decoder reads: (B, N, D) with every slot filled, and where it stands.

    ``features`` are the clips' merged cells (P, E), in the order of the picture.
    """

    prefix: Tensor
    held: Tensor
    positions: Tensor
    features: Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class Slots:
    """Hidden tokens (M, K, C) of each <seg>, and (M,) the row that it stands in."""

    hidden: Tensor
    row: Tensor


class UniPixelModel(PreTrainedModel):
    """Answers questions about a clip, or what prompts point at in it, in words and masks."""

    config_class = UniPixelConfig
    main_input_name = "batch"
    _supports_sdpa = True
    _supports_flash_attn = True

    def __init__(self, config: UniPixelConfig) -> None:
        super().__init__(config)
        text: Any = config.text_config
        sam: Any = config.sam_config
        width = text.hidden_size
        self.vision = Qwen2_5_VisionTransformerPretrainedModel._from_config(config.vision_config)
        attend_in_windows(self.vision)
        self.merge = self.vision.merger.mlp  # after the regions have taken their features
        self.vision.merger.mlp = nn.Identity()
        self.prompting = TimedPrompts(width, config.sam_width, int(sam.image_size))
        self.regions = RegionPrompts(config.merged_width, width)
        self.language = Qwen2_5_VLTextModel._from_config(config.text_config)
        self.final_norm = self.language.norm  # after the slots have taken their states
        self.language.norm = nn.Identity()
        self.lm_head = (
            None if config.tie_word_embeddings else nn.Linear(width, text.vocab_size, bias=False)
        )
        self.seg_head = nn.Sequential(
            Qwen2_5_VLRMSNorm(width, eps=1e-6),
            nn.Linear(width, width),
            nn.GELU(),
            nn.Linear(width, config.sam_width * config.hidden_tokens),
        )
        self.tracker = Tracker(sam, still_rotation=config.published_rotation)
        self.post_init()

    def forward(self, batch: UniPixelBatch) -> Output:
        """Read clips, questions and true answers together, for training."""
        seen = self.see(batch)  # vision, prompting: (B, N, D)
        hidden = self.read(seen)  # language: (B, N, D)
        slots = self.slots(hidden, batch.tokens)  # (M, K, C)
        output = self.point(slots, batch)  # decoding: (M * T, h, w)
        return replace(output, text_logits=self.speak(hidden))  # (B, N, V)

    # -- vision, prompting ---------------------------------------------------------------------

    def see(self, batch: UniPixelBatch) -> Seen:
        """Look at the clips and fill every slot of the questions."""
        config, tokens = self.config, batch.tokens
        prefix = self.language.embed_tokens(tokens)
        features = prefix.new_zeros(0, config.merged_width)
        if len(batch.grids):
            features = self.vision(batch.patches, grid_thw=batch.grids).pooler_output  # (P, E)
            prefix = filled(prefix, tokens == config.video_token_id, self.merge(features), "video")
        asked = batch.prompts
        if len(asked.coords):
            refs = self.prompting(asked.coords, asked.is_box, asked.time)  # (R, D)
            prefix = filled(prefix, tokens == config.ref_token_id, refs, "<ref>")
        if any(one is not None for one in batch.regions):
            mems = self.regions(self.pool(features, batch))
            prefix = filled(prefix, tokens == config.mem_token_id, mems, "<mem>")
        return Seen(prefix=prefix, held=batch.held, positions=batch.positions, features=features)

    def pool(self, features: Tensor, batch: UniPixelBatch) -> Tensor:
        """Return (R, E): the mean features of each region and pair of frames that shows it."""
        if not self.config.aligned_pooling:
            features = features[self.window_order(batch.grids)]
        counts = (batch.grids.prod(1) // self.vision.spatial_merge_unit).tolist()
        rows = zip(features.split(counts), batch.regions, strict=True)
        return torch.cat(
            [pool_touched(own, touched) for own, touched in rows if touched is not None]
        )

    def window_order(self, grids: Tensor) -> Tensor:
        """Return (P,): the cells in the order in which the vision encoder works on them."""
        vision = self.vision
        order, _ = get_vision_window_index(
            grids,
            spatial_merge_size=vision.spatial_merge_size,
            window_size=vision.window_size,
            patch_size=vision.patch_size,
        )
        return order.to(grids.device)

    # -- language ------------------------------------------------------------------------------

    def read(self, seen: Seen) -> Tensor:
        """Return (B, N, D), the last states before the final norm."""
        return self.read_layers(seen, [-1])[0]

    def read_layers(self, seen: Seen, layers: Sequence[int]) -> list[Tensor]:
        """Return the states (B, N, D) after each of some layers; -1 are those of ``read``."""
        read = self.language(
            inputs_embeds=seen.prefix,
            attention_mask=seen.held.long(),
            position_ids=seen.positions,
            use_cache=False,
            output_hidden_states=set(layers) != {-1},  # which would keep all of them
        )
        states = read.last_hidden_state
        return [states if layer == -1 else read.hidden_states[layer] for layer in layers]

    def begin(self, seen: Seen) -> tuple[Tensor, Reading]:
        """Read a prefix, padded from the left or not at all; return its states and the place."""
        cache = DynamicCache(config=self.language.config)
        states = self.language(
            inputs_embeds=seen.prefix,
            attention_mask=seen.held.long(),
            position_ids=seen.positions,
            past_key_values=cache,
            use_cache=True,
        ).last_hidden_state
        position = seen.positions.masked_fill(~seen.held, -1).amax((0, 2))
        return states, Reading(cache=cache, held=seen.held, position=position, state=states[:, -1])

    def speak(self, hidden: Tensor) -> Tensor:
        """Return logits (..., V) of the next token."""
        normed = self.final_norm(hidden)
        if self.lm_head is None:
            return F.linear(normed, self.language.embed_tokens.weight)
        return self.lm_head(normed)

    # -- decoding ------------------------------------------------------------------------------

    def slots(self, hidden: Tensor, tokens: Tensor) -> Slots:
        """Return what each <seg> asks for, read from the state that predicts it."""
        row, column = torch.nonzero(tokens == self.config.seg_token_id, as_tuple=True)
        return Slots(hidden=self.ask(hidden[row, column - 1]), row=row)

    def ask(self, states: Tensor) -> Tensor:
        """Return hidden tokens (M, K, C) of states (M, D)."""
        return self.seg_head(states).unflatten(-1, (self.config.hidden_tokens, -1))

    def point(self, slots: Slots, batch: UniPixelBatch) -> Output:
        """Draw all targets of each row along its clip; ``extra`` holds each row's drawings."""
        lengths = [len(clip) for clip in batch.clips]
        tracks: list[tuple[Drawing, ...]] = [()] * len(lengths)
        asked = sorted(set(slots.row.tolist()))
        for length in sorted({lengths[row] for row in asked}):
            rows = [row for row in asked if lengths[row] == length]
            drawn = self._drawn_together(slots, [batch.clips[row] for row in rows], rows)
            for row, track in zip(rows, drawn, strict=True):
                tracks[row] = track
        return gathered(tracks, slots.row, lengths)

    def _drawn_together(
        self, slots: Slots, clips: list[Tensor], rows: list[int]
    ) -> Iterator[tuple[Drawing, ...]]:
        """Yield the drawings of each of some rows, whose clips are equally long."""
        length = len(clips[0])
        seen = self.tracker.sam.look(torch.cat(clips))  # row by row, frame by frame
        mine = [torch.nonzero(slots.row == row)[:, 0] for row in rows]
        first = [torch.full_like(own, place * length) for place, own in enumerate(mine)]
        frames = [seen[torch.cat(first) + step] for step in range(length)]
        drawn = list(self.follow(slots.hidden[torch.cat(mine)], frames, length))
        places = torch.arange(sum(map(len, mine)), device=slots.row.device)
        for own in places.split([len(one) for one in mine]):
            yield tuple(drawing[own] for drawing in drawn)

    def track(self, hidden: Tensor, frames: Iterable[Tensor], length: int) -> Iterator[Drawing]:
        """Yield the drawings of hidden tokens (O, K, C) along a clip; see ``Tracker.track``."""
        yield from self.follow(hidden, self.tracker.looks(frames), length)

    def follow(
        self, hidden: Tensor, frames: Iterable[FrameFeatures], length: int
    ) -> Iterator[Drawing]:
        """Yield as ``track`` does, for frames that have been looked at."""
        if len(hidden):
            yield from self.tracker.follow(hidden, frames, length, alone=self.config.frames_alone)


def filled(prefix: Tensor, where: Tensor, values: Tensor, name: str) -> Tensor:
    """Return prefix (B, N, D) with values (R, D) at the R places of ``where`` (B, N), in order.

    Raises:
        ShapeError: another number of places.
    """
    places = int(where.sum())
    if places != len(values):
        raise ShapeError(
            f"{name} slots: expected {len(values)}, one for each vector, got {places}. "
            f"Let the processor write the question."
        )
    return prefix.masked_scatter(where[..., None], values.to(prefix.dtype))


def gathered(tracks: list[tuple[Drawing, ...]], row: Tensor, lengths: list[int]) -> Output:
    """Return drawings of all rows as one output; frames are counted through all clips."""
    first = torch.tensor([0, *lengths]).cumsum(0)
    target: list[Tensor] = []
    frame: list[Tensor] = []
    for index, track in enumerate(tracks):
        mine = torch.nonzero(row == index)[:, 0]
        target += [mine] * len(track)
        frame += [torch.full_like(mine, int(first[index]) + step) for step in range(len(track))]
    drawn = [track for track in tracks if track]
    presence = [torch.stack([d.presence_logits[:, 0] for d in t]).amax(0) for t in drawn]
    score = [torch.stack([d.score for d in t]).mean(0) for t in drawn]
    masks = [d.mask_logits for t in tracks for d in t]
    none = row.new_zeros(0)
    return Output(
        mask_logits=torch.cat(masks) if masks else row.new_zeros(0, 1, 1, dtype=torch.float32),
        target=torch.cat(target) if target else none,
        frame=torch.cat(frame) if frame else none,
        presence=torch.cat(presence).sigmoid()[:, None] if drawn else none.float()[:, None],
        score=torch.cat(score) if drawn else none.float(),
        extra=tuple(tracks),
    )
