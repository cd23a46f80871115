"""The bases that a PRIMA of our scenes begins with, in place of EVA-CLIP, InstructBLIP and SAM.

EVA learns what its patches show (``prima_looking``), SAM to draw what words ask for
(``prima_sketching``), and the Q-Former's rows to resemble the words of what each part of their
image shows, in the language decoder's own table (``prima_gathering``): apart, since each alone
takes many more steps in a minute. Then what reads learns to answer, and every [SEG] to ask what SAM
understands (``prima_speaking``); what is asked is drawn as soon as it can be understood
(``PrimaObjective``).

Shapes: F frames, H W pixels, C width, h w cells, X images of all questions, D language width,
M targets, K targets that are drawn for SAM's sake.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isqrt
from random import Random
from re import findall
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deixis.language.packed import Packed
from deixis.language.splice import starts_of
from deixis.models.prima import Look, PrimaConfig, Seen, asked_frames
from deixis.nn.cells import cell_cross_entropy, read_cells
from deixis.nn.losses import bce_per_mask, dice_per_mask
from deixis.processing.batch import moved
from deixis.processing.batches.prima_batch import PrimaBatch
from deixis.processing.frames.prima_pixels import eva_pixels, sam_masks, sam_pixels
from deixis.processing.prima import IGNORED, PrimaProcessor
from deixis.processing.words.prima_words import slots_written
from deixis.scenes.questions import Scene
from deixis.structures.images import Frame
from deixis.structures.placement import Placement
from deixis.training.directions import (
    KINDS,
    LABELS,
    NOTHING,
    SHARP,
    WORDS,
    Directions,
    LabelRows,
    Said,
    WordRows,
    likeness,
    said_of,
    short_words,
    words_of,
)
from deixis.training.objective import DenseObjective, pixel_labels
from deixis.training.prima.prima_objective import (
    PrimaObjective,
    readable,
    text_loss,
)
from deixis.training.seeking import lookers, seeking_loss

THINGS = 3  # of a frame that SAM is asked for
LEAST = 30  # pixels of a thing that is asked for
WAYS = ("row", "found")  # words are asked of rows, and rows of words
SHARES = {kind: DenseObjective.weights[kind] for kind in LABELS}


class Teaching(nn.Module):
    """Says of every cell of SAM which word of each kind it shows."""

    def __init__(self, config: PrimaConfig) -> None:
        super().__init__()
        self.cells = nn.Conv2d(config.prompt_width, sum(LABELS.values()), 1)

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        """Return logits (F, n, h, w) by kind of SAM's features (F, C, h, w)."""
        logits = self.cells(features).split(list(LABELS.values()), 1)
        return dict(zip(LABELS, logits, strict=True))


# -- looking and drawing -------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Pictures:
    """Frames as EVA reads them, and what their pixels show.

    Attributes:
        pixels: (F, 3, h, w).
        words: kind -> (F, H, W) 1 + index of the word, 0 for none.
    """

    pixels: Tensor
    words: Mapping[str, Tensor]

    def to(self, device: torch.device | str) -> "Pictures":
        """Return all of it on a device."""
        return moved(self, device)


class PrimaLooking:
    """Teaches EVA what every patch shows: its layer half-way and its last say it."""

    weights: Mapping[str, float] = SHARES

    def __init__(self, processor: PrimaProcessor) -> None:
        config: Any = processor.config.vision_config
        self.side, self.midway = config.image_size, config.num_hidden_layers // 2
        self.labels = LabelRows(config.hidden_size)

    def collate(self, scenes: Sequence[Scene]) -> Pictures:
        """Turn renderings into pixels and labels; all frames have one size."""
        pixels = [eva_pixels(frame, self.side) for frame in _frames(scenes)]
        return Pictures(pixels=torch.stack(pixels), words=_shown(scenes))

    def __call__(self, model: Any, batch: Pictures) -> dict[str, Tensor]:
        """Return the parts of the loss, weighted."""
        seen = model.vision.eva(batch.pixels, output_hidden_states=True)
        levels = [
            _unknown(self.labels(states[:, 1:]), batch.words)
            for states in (seen.hidden_states[self.midway], seen.last_hidden_state)
        ]
        return {
            name: torch.stack([level[name] for level in levels]).mean() * share
            for name, share in self.weights.items()
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Sketches:
    """Frames as SAM reads them, what their pixels show, and what is asked for in them.

    Attributes:
        canvas: (F, 3, S, S); placement: how every frame lies there.
        words: kind -> (F, H, W) 1 + index of the word, 0 for none.
        said: (K, 3) words of things by kind; frame: (K,) where they are drawn.
        masks: (K, H, W) float.
    """

    canvas: Tensor
    placement: Placement
    words: Mapping[str, Tensor]
    said: Tensor
    frame: Tensor
    masks: Tensor

    def to(self, device: torch.device | str) -> "Sketches":
        """Return all of it on a device."""
        return moved(self, device)


class PrimaSketching:
    """Teaches SAM what every cell shows, and to draw what words ask for."""

    def __init__(self, processor: PrimaProcessor) -> None:
        self.side = processor.config.sam_config.vision_config.image_size
        self.directions = Directions(processor.config.prompt_width)
        self.weights: Mapping[str, float] = {**SHARES, "bce": 2.0, "dice": 1.0}

    def collate(self, scenes: Sequence[Scene]) -> Sketches:
        """Turn renderings into pixels and labels, and ask for some things; all frames have one
        size."""
        placed = [sam_pixels(frame, self.side) for frame in _frames(scenes)]
        words = _shown(scenes)
        random = Random(f"{scenes[0].samples[0].id}/bases")
        called = [
            (said, frame, torch.from_numpy(mask))
            for frame, (view, rendering) in enumerate(_views(scenes))
            for said, mask in _called(view, rendering, random)
        ]
        masks = [mask for _, _, mask in called]
        return Sketches(
            canvas=torch.stack([pixels for pixels, _ in placed]),
            placement=placed[0][1],
            words=words,
            said=torch.tensor([said for said, _, _ in called]).reshape(-1, len(KINDS)),
            frame=torch.tensor([frame for _, frame, _ in called], dtype=torch.long),
            masks=torch.stack(masks).float()
            if masks
            else torch.zeros(0, *words["category"].shape[1:]),
        )

    def __call__(self, model: Any, batch: Sketches) -> dict[str, Tensor]:
        """Return the parts of the loss, weighted."""
        features = model.decoding.look(batch.canvas)
        height, width = (
            a / b for a, b in zip(batch.placement.resized, batch.placement.canvas, strict=True)
        )
        parts = _unknown(model.teaching(features), batch.words, (height, width))
        parts |= self._drawn(model, features, batch)
        return {name: part * self.weights[name] for name, part in parts.items()}

    def _drawn(self, model: Any, features: Tensor, batch: Sketches) -> dict[str, Tensor]:
        """Return how far SAM's masks are from the things that words ask for."""
        if not len(batch.said):
            return {name: features.sum() * 0 for name in ("bce", "dice")}
        prompts = self.directions(batch.said).to(features)
        logits, _ = model.decoding.draw(prompts, batch.frame, features)
        whole = sam_masks(logits, batch.placement)  # (K, H, W)
        return {
            "bce": bce_per_mask(whole, batch.masks).mean(),
            "dice": dice_per_mask(whole, batch.masks).mean(),
        }


# -- reading -------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Questions:
    """Questions about sets of images, and what the images show.

    Attributes:
        asked: the questions with their true answers.
        words: kind -> (F, H, W) 1 + index of the word, 0 for none.
        phrases: (M, 3) words of the phrase of each [SEG], 0 where none is known.
        heard: (M, 3) those of them that its question says too.
    """

    asked: PrimaBatch
    words: Mapping[str, Tensor]
    phrases: Tensor
    heard: Tensor

    def to(self, device: torch.device | str) -> "Questions":
        """Return all of it on a device."""
        return moved(self, device)


class PrimaGathering(PrimaObjective):
    """Teaches the rows that are read of an image the words of their part of it, and EVA on."""

    def __init__(self, processor: PrimaProcessor) -> None:
        super().__init__(processor)
        self.named = WordRows(processor.words.vocabulary.encode)
        self.labels = LabelRows(processor.config.vision_config.hidden_size)
        both = {f"{way}_{kind}": SHARES[kind] for way in WAYS for kind in KINDS}
        self.weights: Mapping[str, float] = {**SHARES, **both}

    def collate(self, scenes: Sequence[Scene]) -> Any:
        """Encode the questions, and look up what every pixel shows; all frames have one size.

        Raises:
            DataError: as ``PrimaObjective.collate``.
        """
        asked = super().collate(scenes)
        read = [scene for scene in scenes if readable(scene)]
        samples = [sample for scene in read for sample in readable(scene)]
        phrases = _phrases(samples, asked)
        return Questions(
            asked=asked, words=_shown(read), phrases=phrases, heard=_told(samples, asked, phrases)
        )

    def __call__(self, model: Any, batch: Questions) -> dict[str, Tensor]:
        """Return the parts of the loss, weighted."""
        features = model.vision(batch.asked.pixels)
        read, _ = model.rows(features, batch.asked)  # (X, Q + T, E)
        rows = model.projection(read[:, : self.processor.config.rows_per_image])
        parts = _unknown(self.labels(features[:, 1:]), batch.words)
        parts |= self.unlike(model, rows, batch)
        return {name: part * self.weights[name] for name, part in parts.items()}

    def unlike(self, model: Any, rows: Tensor, batch: Questions) -> dict[str, Tensor]:
        """Return how far the rows (X, Q, D) of images are from the words of their part of them, and
        words from the rows that show them; the parts are the cells of the largest square grid that
        has a row for each, row by row."""
        side = isqrt(rows.shape[1])
        frame = asked_frames(batch.asked)[1]  # (X,)
        table = model.language.get_input_embeddings().weight
        parts = {}
        rows = rows[:, : side**2]
        for kind, words in self.named(table).items():
            grid = likeness(rows, words).mT.unflatten(2, (side, side))
            labels = read_cells(batch.words[kind], (side, side))[frame]  # (X, P, h, w)
            parts[f"row_{kind}"] = cell_cross_entropy(grid, labels)
            parts[f"found_{kind}"] = _unfound(rows, words, labels)
        return parts


class PrimaSpeaking(PrimaGathering):
    """Teaches reading and writing around bases that see and draw already; nothing is drawn.

    Beside words, the state of every [SEG] learns what SAM was taught to understand: "asks". What
    pre-training brings is told: "numbered", two layers before the last the rows of an image know
    its number; "heard", there what names or draws a target knows its words that the question says;
    and "sought", the last two layers look where the target lies (``training/seeking.py``).
    """

    def __init__(self, processor: PrimaProcessor) -> None:
        super().__init__(processor)
        rows = {name: share for name, share in self.weights.items() if name.startswith(WAYS)}
        self.directions = Directions(processor.config.prompt_width)
        told = {"numbered": 0.5, "heard": 1.0, "sought": 1.0}
        self.weights = {"text": 1.0, "asks": 5.0, **told, **rows}
        encode = processor.words.vocabulary.encode
        self.numbers = [encode(f" {1 + n}")[-1] for n in range(processor.config.most_images)]

    def __call__(self, model: Any, batch: Questions) -> dict[str, Tensor]:
        """Return the parts of the loss, weighted."""
        asked = batch.asked
        assert asked.truth is not None
        vision = model.vision(asked.pixels)
        seen = model.see(asked, Look(vision=vision, masks=vision.new_zeros(0)))
        early, before, last = model.read_layers(seen, [-3, -2, -1])
        hidden = last.padded()
        prompts = model.prompts(model.slots(hidden, seen, asked.slots))  # (M, C)
        wanted = self.directions(batch.phrases).to(prompts)
        known = batch.phrases.any(1)
        off = (prompts.float() - wanted.float()).square().mean(1)
        columns = self._columns(seen, asked)
        starts, slots = starts_of(seen.lengths), asked.slots
        looking = lookers(starts, asked.truth.labels != IGNORED, slots.row, slots.column)
        parts = {
            "text": text_loss(model.speak(hidden, seen), asked.truth.labels),
            "asks": (off * known).sum() / known.sum().clamp(min=1),
            "heard": self._unheard(model, early, batch, looking),
            "numbered": self._unnumbered(model, early, columns, asked),
            "sought": seeking_loss(
                model.language.model, [early, before], self._wanted(columns, seen, asked), looking
            ),
            **self.unlike(model, self._read(seen, asked), batch),
        }
        return {name: part * self.weights[name] for name, part in parts.items()}

    def _read(self, seen: Seen, asked: PrimaBatch) -> Tensor:
        """Return (X, Q, D), the rows that are read of each image, those of its question left
        out."""
        counts = seen.lengths[asked.images]  # (X,) rows of each image, maybe with its question's
        queries = torch.arange(self.processor.config.rows_per_image, device=counts.device)
        return seen.rows[(counts.cumsum(0) - counts)[:, None] + queries]

    def _columns(self, seen: Seen, asked: PrimaBatch) -> Tensor:
        """Return (X, Q): where the rows of each image of each question stand."""
        queries = torch.arange(self.processor.config.rows_per_image, device=seen.rows.device)
        return starts_of(seen.lengths)[asked.images][:, None] + queries

    def _unnumbered(
        self, model: Any, states: Packed, columns: Tensor, asked: PrimaBatch
    ) -> Tensor:
        """Return how far the states of rows are from the number of their image, in nats."""
        row, frame = asked_frames(asked)  # (X,)
        table = model.language.get_input_embeddings().weight
        words = F.normalize(table[self.numbers].float(), dim=1)  # (S, D)
        own = F.normalize(states[row[:, None], columns].float(), dim=-1)  # (X, Q, D)
        logits = SHARP * own @ words.T
        number = asked.layout.image[frame][:, None].expand(columns.shape)
        return F.cross_entropy(logits.flatten(0, 1), number.flatten())

    def _unheard(
        self, model: Any, states: Packed, batch: Questions,
        looking: tuple[Tensor, Tensor, Tensor],
    ) -> Tensor:  # fmt: skip
        """Return how far states that look for targets are from the words that their question
        says of them, in nats."""
        row, column, target = looking
        if not len(target):
            return states.states.sum() * 0
        own = F.normalize(states[row, column].float(), dim=-1)  # (S, D)
        table = self.named(model.language.get_input_embeddings().weight)
        said = batch.heard[target]  # (S, 3)
        losses = [
            F.cross_entropy(SHARP * own @ table[kind].T, ids - 1, ignore_index=-1, reduction="sum")
            for kind, ids in zip(KINDS, said.T, strict=True)
        ]
        return torch.stack(losses).sum() / (said > 0).sum().clamp(min=1)

    def _wanted(self, columns: Tensor, seen: Seen, asked: PrimaBatch) -> Tensor:
        """Return (M, W): how much each column of a target's row shows of it."""
        assert asked.truth is not None
        row, frame = asked_frames(asked)  # (X,)
        slots, side = asked.slots, isqrt(columns.shape[1])
        wanted = seen.rows.new_zeros(len(slots.row), seen.embedded.shape[1], dtype=torch.float)
        if not len(slots.row):
            return wanted
        here = (row == slots.row[:, None]) & (frame == slots.frame[:, None])  # (M, X)
        shares = [F.adaptive_avg_pool2d(one[None].float(), side) for one in asked.truth.masks]
        cover = torch.cat(shares).flatten(1)  # (M, h * w)
        return wanted.scatter(1, columns[here.long().argmax(1), : side**2], cover)


# -- what scenes show ----------------------------------------------------------------------------


def _frames(scenes: Sequence[Scene]) -> Iterator[Frame]:
    return (frame for scene in scenes for frame in scene.samples[0].images)


def _views(scenes: Sequence[Scene]) -> Iterator[tuple[Any, Any]]:
    """Yield each view of each world, and its rendering."""
    for scene in scenes:
        yield from zip(scene.world.views, scene.renderings, strict=True)


def _shown(scenes: Sequence[Scene]) -> dict[str, Tensor]:
    """Return, by kind, what every pixel shows: (F, H, W) 1 + index of the word, 0 for none."""
    labels = [pixel_labels(view, rendering) for view, rendering in _views(scenes)]
    return {kind: torch.from_numpy(np.stack([one[kind] for one in labels])) for kind in LABELS}


def _unknown(
    logits: Mapping[str, Tensor],
    words: Mapping[str, Tensor],
    extent: tuple[float, float] = (1.0, 1.0),
) -> dict[str, Tensor]:
    """Return, by kind, what cells do not know yet of what they show; see ``read_cells``."""
    return {
        kind: cell_cross_entropy(
            logits[kind], read_cells(ids, (logits[kind].shape[2], logits[kind].shape[3]), extent)
        )
        for kind, ids in words.items()
    }


def _called(view: Any, rendering: Any, random: Random) -> list[tuple[Said, np.ndarray]]:
    """Return some things of a picture that words mean alone, each with its mask (H, W)."""
    words = {placed.thing.id: words_of(placed.thing) for placed in view.placed}
    ids, counts = np.unique(rendering.things, return_counts=True)
    clear = [int(i) for i, n in zip(ids, counts, strict=True) if i and n >= LEAST]
    called = list[tuple[Said, np.ndarray]]()
    for one in random.sample(clear, len(clear)):
        others = [own for other, own in words.items() if other != one]
        said = short_words(words[one], others, random)
        if said != NOTHING:
            called.append((said, rendering.things == one))
        if len(called) == THINGS:
            break
    return called


def _phrases(samples: Sequence[Any], asked: PrimaBatch) -> Tensor:
    """Return (M, 3) the words of the phrase of each [SEG] that a row holds."""
    held = torch.bincount(asked.slots.row, minlength=len(samples)).tolist()
    said = [
        said_of(target.phrase)
        for sample, count in zip(samples, held, strict=True)
        for target, _ in (slots_written(sample.answer) if sample.answer else [])[:count]
    ]
    return torch.tensor(said, dtype=torch.long).reshape(-1, len(KINDS))


def _unfound(rows: Tensor, words: Tensor, labels: Tensor) -> Tensor:
    """Return how far words (n, D) are from finding the rows (X, h * w, D) that show them, among
    all, in nats; labels (X, P, h, w) of their cells."""
    own = F.normalize(rows.flatten(0, 1).float(), dim=1)  # (X * h * w, D)
    logs = (2 * SHARP * own @ words.T).log_softmax(0)  # (X * h * w, n)
    cells = labels.flatten(2).mT.flatten(0, 1)  # (X * h * w, P)
    counts = F.one_hot(cells.clamp(min=0), len(words) + 1)[..., 1:].sum(1).float()
    total = counts.sum(0)
    missed = -(counts * logs).sum(0) / total.clamp(min=1)
    return missed.sum() / (total > 0).sum().clamp(min=1)


def _told(samples: Sequence[Any], asked: PrimaBatch, phrases: Tensor) -> Tensor:
    """Return (M, 3) those words of phrases that their questions say too, 0 for the others."""
    said = [set(findall("[a-z]+", sample.question.text.lower())) for sample in samples]
    texts = [words | {word.removesuffix("s") for word in words} for words in said]
    rows = zip(asked.slots.row.tolist(), phrases.tolist(), strict=True)
    told = [
        [
            own if own and table[own - 1] in texts[row] else 0
            for own, table in zip(words, WORDS.values(), strict=True)
        ]
        for row, words in rows
    ]
    return torch.tensor(told, dtype=torch.long).reshape(-1, len(KINDS))
