"""PRIMA (arXiv:2412.15209): sets of images in; words, and masks in the right image, out.

EVA-CLIP sees each image alone; relational queries look across the set (SQuARE) and are added to
the Q-Former's queries, which with the question look into each image again; projected, their rows
take the image's place in the prompt. The state that says "[SEG]" next becomes a prompt of SAM.

Shapes: F frames of G sets, S images of a set, B rows (questions), X images of all rows, P patches,
C feature width, Q queries, E Q-Former width, T question tokens, N tokens, W columns with images
spliced in, D language width, M targets, Y rows of all images, V vocabulary, h w cells of masks.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from transformers import InstructBlipQFormerModel, LlamaForCausalLM, PreTrainedModel

from deixis.decoding.segment_anything import SegHead, SegmentAnything
from deixis.language.packed import Packed, Sharing, find_sharing, read_packed
from deixis.language.splice import held_columns, splice_rows, starts_of
from deixis.models.configs.prima_config import (
    PrimaConfig,
    prima_7b,
    prima_scenes,
    prima_tiny,
    prima_v1_7b,
)
from deixis.models.parts.prima_vision import PrimaVision
from deixis.processing.batch import Layout, Output
from deixis.processing.batches.prima_batch import PrimaBatch, SegSlots
from deixis.relation.square import SharedQueries

PRESETS = {
    "prima_7b": prima_7b,
    "prima_v1_7b": prima_v1_7b,
    "prima_scenes": prima_scenes,
    "prima_tiny": prima_tiny,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """What each frame shows, whatever is asked: EVA's features (F, P, C), SAM's (F, C, h, w)."""

    vision: Tensor
    masks: Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """All that is known of the images and the text before the language decoder reads.

    Attributes:
        features: (F, C, h, w) of SAM.
        embedded: (B, W, D) the tokens with the images' rows spliced in.
        rows: (Y, D) what stands for the images in it.
        lengths: (B, N) columns that each token takes.
        sharing: how far all rows begin alike: to the first image at most.
        num_images: S, the most images of a set; image: (F,) the image of each frame in its set.
    """

    features: Tensor
    embedded: Tensor
    rows: Tensor
    lengths: Tensor
    sharing: Sharing
    num_images: int
    image: Tensor

    @property
    def held(self) -> Tensor:
        """(B, W) which columns hold something."""
        return held_columns(self.lengths)


@dataclass(frozen=True, kw_only=True, slots=True)
class Slots:
    """States (M, D) that ask for masks, and the flat frame (M,) in which each is drawn."""

    hidden: Tensor
    frame: Tensor


class PrimaModel(PreTrainedModel):
    """Answers questions about sets of images in words and masks."""

    config_class = PrimaConfig
    main_input_name = "batch"
    _supports_sdpa = True

    def __init__(self, config: PrimaConfig) -> None:
        super().__init__(config)
        width = config.text_config.hidden_size
        self.vision = PrimaVision(config)
        asks = config.image_rows == "queries"  # in place of handing all patches on
        self.relation = SharedQueries(config.square()) if asks else None
        self.qformer = InstructBlipQFormerModel(config.qformer_config) if asks else None
        read = config.qformer_config if asks else config.vision_config
        self.projection = nn.Linear(read.hidden_size, width)
        self.language = LlamaForCausalLM(config.text_config)
        self.seg_head = SegHead(width, config.prompt_width)
        self.decoding = SegmentAnything(config.sam_config)
        self.post_init()
        if config.relation_silent and self.relation is not None:
            self.relation.silence()

    def _init_weights(self, module: nn.Module) -> None:
        """Keep what each part began with; transformers' parts know their own way."""

    def forward(self, batch: PrimaBatch) -> Output:
        """Read images, questions and answers together; one mask for every [SEG] of ``slots``."""
        seen = self.see(batch)  # vision, relation, projection, splice: (B, W, D)
        hidden = self.read(seen)  # language: (B, W, D)
        slots = self.slots(hidden, seen, batch.slots)  # (M, D)
        output = self.point(slots, seen)  # decoding: (M, h, w)
        return replace(output, text_logits=self.speak(hidden, seen))  # (B, N, V)

    def look(self, pixels: Tensor, canvas: Tensor) -> Look:
        """Look at each frame alone, by EVA's view (F, 3, h, w) and SAM's (F, 3, H, W) of it."""
        dtype = self.projection.weight.dtype
        vision = self.vision(pixels.to(dtype))  # (F, P, C)
        return Look(vision=vision, masks=self.decoding.look(canvas.to(dtype)))

    def see(self, batch: PrimaBatch, look: Look | None = None) -> Seen:
        """Look at the images of each set, ask them the question, and lay out what is read.

        Args:
            batch: the questions.
            look: what ``look`` has seen in its frames, where that is known.
        """
        look = look or self.look(batch.pixels, batch.canvas)
        features = look.vision  # (F, P, C)
        asked, there = self.rows(features, batch)  # (X, Q + T, E)
        rows = self.projection(asked[there])  # (Y, D)
        lengths = token_lengths(batch, there)  # (B, N)
        words = self.language.get_input_embeddings()(batch.tokens.masked_fill(batch.images, 0))
        return Seen(
            features=look.masks,
            embedded=splice_rows(words, lengths, batch.images, rows),
            rows=rows,
            lengths=lengths,
            sharing=_same_beginning(batch),
            num_images=int(batch.layout.num_images.max()),
            image=batch.layout.image,
        )

    def rows(self, features: Tensor, batch: PrimaBatch) -> tuple[Tensor, Tensor]:
        """Return what each row reads of each of its images (X, ...), as ``ask`` does; without a
        Q-Former the patches themselves (X, P - 1, C), the class left out."""
        if self.relation is None:
            patches = features[asked_frames(batch)[1], 1:]
            return patches, torch.ones(patches.shape[:2], dtype=torch.bool, device=patches.device)
        sets, there = by_set(features, batch.layout)  # (G, S, P, C), (G, S)
        queries = self.relation.relate(sets, there)  # (G, Q, E)
        known = self.relation.exchange(sets, there)[batch.layout.set, batch.layout.image]
        return self.ask(queries, known, batch)

    def ask(
        self, queries: Tensor, features: Tensor, batch: PrimaBatch
    ) -> tuple[Tensor, Tensor]:
        """Let Gt and the question of each row look into each image of its set.

        Args:
            queries: (G, Q, E) of each set.
            features: (F, P, C) of each frame.
            batch: whose questions are asked.

        Returns:
            Rows (X, Q + T, E) of the Q-Former, images in order, row after row; and which of them
            are handed on (X, Q + T): the queries', with ``keep_text_rows`` the question's too.
        """
        assert self.qformer is not None, "patches are handed on unasked"
        row, frame = asked_frames(batch)  # (X,)
        given = queries[batch.set_of_row[row]]  # (X, Q, E)
        own = torch.ones(given.shape[:2], dtype=torch.bool, device=given.device)
        out = self.qformer(
            input_ids=batch.text,
            attention_mask=torch.cat([own, batch.text_held], 1).long(),
            query_embeds=given,
            encoder_hidden_states=features[frame],
        ).last_hidden_state
        kept = torch.cat([own, batch.text_held & self.config.keep_text_rows], 1)
        return out, kept

    def read(self, seen: Seen) -> Tensor:
        """Return the language decoder's last states (B, W, D); zeros where nothing is held.

        What all rows begin with is read once, and rows of one length together.
        """
        return self.read_layers(seen, [-1])[0].padded()

    def read_layers(self, seen: Seen, layers: Sequence[int]) -> list[Packed]:
        """Return the states (B, W, D) after each of some layers; -1 are those of ``read``."""
        held = seen.held
        columns = torch.arange(held.shape[1], device=held.device).expand(held.shape)
        return read_packed(
            self.language.model, seen.embedded, held=held, positions=columns,
            sharing=seen.sharing, layers=layers,
        )  # fmt: skip

    def slots(self, hidden: Tensor, seen: Seen, slots: SegSlots) -> Slots:
        """Return the states (M, D) from which each [SEG] was predicted: one column before it."""
        column = starts_of(seen.lengths)[slots.row, slots.column] - 1
        return Slots(hidden=hidden[slots.row, column], frame=slots.frame)

    def point(self, slots: Slots, seen: Seen, prompts: Tensor | None = None) -> Output:
        """Draw every target in its image; SAM's own estimate of its IoU is the score.

        ``prompts`` (M, C) are those of the slots where none are given.
        """
        prompts = self.prompts(slots) if prompts is None else prompts
        logits, score = self.decoding.draw(prompts, slots.frame, seen.features)
        count = len(slots.frame)
        image = torch.arange(seen.num_images, device=logits.device)
        return Output(
            mask_logits=logits,
            target=torch.arange(count, device=logits.device),
            frame=slots.frame,
            presence=(seen.image[slots.frame][:, None] == image).float(),
            score=score.float().clamp(0, 1),
            extra=prompts,
        )

    def prompts(self, slots: Slots) -> Tensor:
        """Return what SAM is prompted with (M, C)."""
        prompts: Tensor = self.seg_head(slots.hidden)
        return prompts

    def speak(self, hidden: Tensor, seen: Seen) -> Tensor:
        """Return logits (B, N, V): how each token is predicted by the column before it."""
        before = (starts_of(seen.lengths) - 1).clamp(min=0)
        rows = torch.arange(len(hidden), device=hidden.device)[:, None]
        logits: Tensor = self.language.lm_head(hidden[rows, before])
        return logits


def by_set(features: Tensor, layout: Layout) -> tuple[Tensor, Tensor]:
    """Return frames (F, P, C) as padded sets (G, S, P, C), and which images exist (G, S)."""
    most = int(layout.num_images.max())
    images = torch.arange(most, device=features.device)
    there = images < layout.num_images[:, None]
    out = features.new_zeros(len(layout.num_images), most, *features.shape[1:])
    return out.index_put((layout.set, layout.image), features), there


def asked_frames(batch: PrimaBatch) -> tuple[Tensor, Tensor]:
    """Return the row and the flat frame (X,) of every image that a row asks about, in order."""
    mine = batch.set_of_row[:, None] == batch.layout.set  # (B, F)
    row, frame = torch.nonzero(mine, as_tuple=True)
    return row, frame


def _same_beginning(batch: PrimaBatch) -> Sharing:
    """Return how many tokens all rows begin with alike; each of them takes one column."""
    words = batch.held & (batch.images.cumsum(1) == 0)
    return find_sharing(batch.tokens, words, torch.zeros_like(batch.set_of_row))


def token_lengths(batch: PrimaBatch, there: Tensor) -> Tensor:
    """Return (B, N): how many columns each token takes, an image as many as it has rows."""
    lengths = batch.held.long()
    return lengths.masked_scatter(batch.images, there.sum(1))
