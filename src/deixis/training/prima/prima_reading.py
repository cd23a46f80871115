"""How a PRIMA of our scenes learns to read, once it sees: rows of words, then answers.

The Q-Former's rows learn to resemble the words of what each part of their image shows, in the
language decoder's own table, and which parts the question means: the Q-Former reads it while it
looks (``prima_gathering``). Then what reads learns to answer, and every [SEG] to ask what SAM
understands (``prima_speaking``); what is asked is drawn as soon as it can be understood
(``PrimaObjective``).

Shapes: F frames, H W pixels, h w cells, P points of a cell, X images of all questions, Q rows of
an image, D language width, W columns, M targets, S states that look for one, n words of a kind.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isqrt
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from deixis.language.splice import starts_of
from deixis.models.prima import Look, Seen, asked_frames
from deixis.nn.cells import cell_cross_entropy, read_cells
from deixis.processing.batch import moved
from deixis.processing.batches.prima_batch import PrimaBatch
from deixis.processing.prima import PrimaProcessor
from deixis.processing.words.prima_words import slots_written
from deixis.scenes.knowing.asked import Asked
from deixis.scenes.knowing.facts import Facts
from deixis.scenes.knowing.meaning import Which
from deixis.scenes.questions import Scene
from deixis.training.directions import (
    KINDS,
    SHARP,
    WORDS,
    LabelRows,
    Said,
    WordRows,
    likeness,
    shares_of,
    unfound,
    unheard,
)
from deixis.training.prima.prima_aims import aims_of, deciding, looking_at
from deixis.training.prima.prima_asking import ASKED, Asking, asked_by, middles_on_canvas
from deixis.training.prima.prima_bases import SHARES, shown, unknown
from deixis.training.prima.prima_objective import PrimaObjective, readable, text_loss
from deixis.training.prima.prima_standing import ALL, COUNT, asked_of, true_of
from deixis.training.seeking import seeking_loss
from deixis.training.standing import descriptions, directions_of_sayings, in_cells

WAYS = ("row", "found")  # words are asked of rows, and rows of words


@dataclass(frozen=True, kw_only=True, slots=True)
class Questions:
    """Questions about sets of images, and what the images show.

    Attributes:
        asked: the questions with their true answers.
        words: kind -> (F, H, W) 1 + index of the word, 0 for none.
        said: (M, 4) words of the phrase of each [SEG]; middle: (M, 2) where it lies; see
            ``Asking``.
        heard: (M, 3) those that its question says of it.
        sayings: (M, kinds) 1 + index of what should be true of it among others, 0 for none.
        true: (F, h * w, S) how much of each part of a frame is of things of which each saying is
            true.
        meant: (X, h * w) how much each part of an image shows of what is to be drawn there; all
            targets of a question alike, however large.
        aims: (B, N) what each token of an answer is about; see ``prima_aims.py``.
    """

    asked: PrimaBatch
    words: Mapping[str, Tensor]
    said: Tensor
    middle: Tensor
    heard: Tensor
    sayings: Tensor
    true: Tensor
    meant: Tensor
    aims: Tensor

    def to(self, device: torch.device | str) -> "Questions":
        """Return all of it on a device."""
        return moved(self, device)


class PrimaGathering(PrimaObjective):
    """Teaches the rows that are read of an image the words of their part of it, its place, and
    whether the question means it; and EVA on."""

    def __init__(self, processor: PrimaProcessor) -> None:
        super().__init__(processor)
        self.named = WordRows(processor.words.vocabulary.encode)
        self.labels = LabelRows(processor.config.vision_config.hidden_size)
        self.side = isqrt(processor.config.rows_per_image)  # of the grid whose parts rows show
        both = {f"{way}_{kind}": SHARES[kind] for way in WAYS for kind in KINDS}
        self.weights: Mapping[str, float] = {
            **SHARES, **both, "found_sayings": 0.5, "meant": 1.0, "placed": 0.5,
        }  # fmt: skip
        width, places = processor.config.text_config.hidden_size, self.side**2
        self.standing, self.meaning, self.places = directions_of_sayings(
            width, COUNT + 1 + places
        ).split([COUNT, 1, places])

    def collate(self, scenes: Sequence[Scene]) -> Any:
        """Encode the questions, and look up what every pixel shows; all frames have one size.

        Raises:
            DataError: as ``PrimaObjective.collate``.
        """
        asked = super().collate(scenes)
        read = [scene for scene in scenes if readable(scene)]
        samples = [sample for scene in read for sample in readable(scene)]
        facts = [Facts(scene.world, scene.renderings) for scene in read]
        told = _descriptions(read, facts, asked)
        return Questions(
            asked=asked,
            words=shown(read),
            said=_said(samples, asked),
            middle=_middles(asked),
            heard=_rows([_words_of(which) for _, which in told], len(KINDS)),
            sayings=_rows([asked_of(*one) for one in told], len(ALL)),
            true=torch.stack([
                in_cells(own.renderings[frame].things, true_of(own, frame), self.side)
                for own in facts for frame in own.frames
            ]),
            meant=_meant(asked, self.side),
            aims=aims_of(asked, self.processor.words),
        )

    def __call__(self, model: Any, batch: Questions) -> dict[str, Tensor]:
        """Return the parts of the loss, weighted."""
        features = model.vision(batch.asked.pixels)
        read, _ = model.rows(features, batch.asked)  # (X, Q + T, E)
        rows = model.projection(read[:, : self.processor.config.rows_per_image])
        parts = unknown(self.labels(features[:, 1:]), batch.words)
        parts |= self.unlike(model, rows, batch)
        return {name: part * self.weights[name] for name, part in parts.items()}

    def unlike(self, model: Any, rows: Tensor, batch: Questions) -> dict[str, Tensor]:
        """Return how far the rows (X, Q, D) of images are from the words of their part of them, and
        words from the rows that show them; the parts are the cells of the largest square grid that
        has a row for each, row by row."""
        frame = asked_frames(batch.asked)[1]  # (X,)
        table = model.language.get_input_embeddings().weight
        parts = {}
        side = self.side
        rows = rows[:, : side**2]
        for kind, words in self.named(table).items():
            grid = likeness(rows, words).mT.unflatten(2, (side, side))
            labels = read_cells(batch.words[kind], (side, side))[frame]  # (X, P, h, w)
            parts[f"row_{kind}"] = cell_cross_entropy(grid, labels)
            parts[f"found_{kind}"] = unfound(rows, words, shares_of(labels, len(words)))
        directions = self.standing.to(rows.device)
        parts["found_sayings"] = unfound(rows, directions, batch.true[frame])
        return parts | {"meant": self._unmeant(rows, batch), "placed": self._unplaced(rows)}

    def _unplaced(self, rows: Tensor) -> Tensor:
        """Return how far rows (X, h * w, D) are from the one direction of their place, in nats."""
        logits = SHARP * F.normalize(rows.float(), dim=2) @ self.places.to(rows.device).T
        each = torch.arange(rows.shape[1], device=rows.device).expand(rows.shape[:2])
        return F.cross_entropy(logits.mT, each)

    def _unmeant(self, rows: Tensor, batch: Questions) -> Tensor:
        """Return how far the one direction of what a question means is from finding it among the
        rows (X, h * w, D) of all its images, in nats; 0 where nothing is to be drawn."""
        row, frame = asked_frames(batch.asked)  # (X,)
        image = batch.asked.layout.image[frame]
        shape = len(batch.asked.tokens), int(image.max()) + 1, rows.shape[1]
        alike = F.normalize(rows.float(), dim=-1) @ self.meaning[0].to(rows.device)  # (X, h * w)
        logits = alike.new_full(shape, -torch.inf).index_put((row, image), 2 * SHARP * alike)
        logs = logits.flatten(1).log_softmax(1).unflatten(1, shape[1:])[row, image]
        return -(batch.meant * logs).sum() / batch.meant.sum().clamp(min=1)


class PrimaSpeaking(PrimaGathering):
    """Teaches reading and writing around bases that see and draw already; nothing is drawn.

    Few tokens decide where an answer goes on, and they count once more: "decided". Beside words,
    the state of every [SEG] learns what SAM was taught to understand, words and a place: "asks".
    What pre-training brings is told: "numbered", two layers before the last the rows of an image
    know its number; "heard", there what names or draws a target knows its words that the question
    says; and "sought", the last two layers look where the target lies (``training/seeking.py``).
    """

    def __init__(self, processor: PrimaProcessor) -> None:
        super().__init__(processor)
        rows = {name: share for name, share in self.weights.items() if name not in SHARES}
        self.asking = Asking(processor.config.prompt_width)
        told = {"numbered": 0.5, "heard": 1.0, "sought": 1.0}
        self.weights = {"text": 1.0, "decided": 1.0, "asks": 5.0, **told, **rows}
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
        with torch.no_grad():
            wanted = self.asking(model, batch.said, batch.middle).float()
        known = batch.said.any(1)
        off = (prompts.float() - wanted).square().mean(1)
        row, frame = asked_frames(asked)  # (X,)
        columns = self._columns(seen, asked)
        here = row[:, None], columns  # (X, Q)
        table = model.language.get_input_embeddings().weight
        looking = looking_at(batch.aims, seen)
        naming = tuple(one[looking[2] >= 0] for one in looking)
        knows = early[naming[:2]]
        logits, labels = model.speak(hidden, seen), asked.truth.labels
        decided = deciding(batch.aims)
        parts = {
            "text": text_loss(logits, labels),
            "decided": text_loss(logits[decided], labels[decided]),
            "asks": (off * known).sum() / known.sum().clamp(min=1),
            "heard": unheard(knows, self.named(table), batch.heard[naming[2]])
            + unheard(knows, self._said(early.states), batch.sayings[naming[2]]),
            "numbered": self._unnumbered(model, early[here], asked.layout.image[frame]),
            "sought": seeking_loss(
                model.language.model, [early, before], self._wanted(columns, seen, asked), looking
            ),
            **self.unlike(model, seen.embedded[here], batch),
        }
        return {name: part * self.weights[name] for name, part in parts.items()}

    def _said(self, states: Tensor) -> dict[str, Tensor]:
        """Return the directions (n, D) of each kind of sayings."""
        sizes = [len(said) for said in ALL.values()]
        return dict(zip(ALL, self.standing.to(states.device).split(sizes), strict=True))

    def _columns(self, seen: Seen, asked: PrimaBatch) -> Tensor:
        """Return (X, Q): where the rows of each image of each question stand, those of its text
        left out."""
        queries = torch.arange(self.processor.config.rows_per_image, device=seen.rows.device)
        return starts_of(seen.lengths)[asked.images][:, None] + queries

    def _unnumbered(self, model: Any, rows: Tensor, number: Tensor) -> Tensor:
        """Return how far states (X, Q, D) of rows are from the number (X,) of their image, in
        nats."""
        table = model.language.get_input_embeddings().weight
        words = F.normalize(table[self.numbers].float(), dim=1)  # (S, D)
        logits = SHARP * F.normalize(rows.float(), dim=-1) @ words.T  # (X, Q, S)
        return F.cross_entropy(logits.mT, number[:, None].expand(rows.shape[:2]))

    def _wanted(self, columns: Tensor, seen: Seen, asked: PrimaBatch) -> Tensor:
        """Return (M + 1, W): how much each column of a target's row shows of it; last where to look
        when there is NOTHING, at the first column of all."""
        assert asked.truth is not None
        row, frame = asked_frames(asked)  # (X,)
        slots, side = asked.slots, self.side
        wanted = seen.rows.new_zeros(len(slots.row), seen.embedded.shape[1], dtype=torch.float)
        nowhere = F.one_hot(slots.row.new_zeros(1), wanted.shape[1]).float()
        if not len(slots.row):
            return nowhere
        here = (row == slots.row[:, None]) & (frame == slots.frame[:, None])  # (M, X)
        masks = torch.stack(asked.truth.masks)  # (M, H, W)
        cover = F.adaptive_avg_pool2d(masks, side).flatten(1)  # (M, h * w)
        wanted = wanted.scatter(1, columns[here.long().argmax(1), : side**2], cover)
        return torch.cat([wanted, nowhere])


def _meant(asked: PrimaBatch, side: int) -> Tensor:
    """Return (X, side * side): what of each image of each question is to be drawn; the targets of
    a question have one sum together."""
    assert asked.truth is not None
    row, frame = asked_frames(asked)  # (X,)
    slots = asked.slots
    meant = torch.zeros(len(row), side**2)
    if not len(slots.row):
        return meant
    cover = F.adaptive_avg_pool2d(torch.stack(asked.truth.masks).float(), side).flatten(1)
    count = torch.bincount(slots.row, minlength=len(asked.tokens))[slots.row]
    share = cover / cover.sum(1, keepdim=True).clamp(min=1e-6) / count[:, None]
    here = (row == slots.row[:, None]) & (frame == slots.frame[:, None])  # (M, X)
    return meant.index_add(0, here.long().argmax(1), share)


def _said(samples: Sequence[Any], asked: PrimaBatch) -> Tensor:
    """Return (M, 4) the words of the phrase of each [SEG] that a row holds."""
    held = torch.bincount(asked.slots.row, minlength=len(samples)).tolist()
    said = [
        asked_by(target.phrase)
        for sample, count in zip(samples, held, strict=True)
        for target, _ in (slots_written(sample.answer) if sample.answer else [])[:count]
    ]
    return _rows(said, len(ASKED))


def _middles(asked: PrimaBatch) -> Tensor:
    """Return (M, 2) where each target lies on its frame."""
    assert asked.truth is not None
    if not asked.truth.masks:
        return torch.zeros(0, 2)
    placements = [asked.placements[frame] for frame in asked.slots.frame.tolist()]
    return middles_on_canvas(torch.stack(asked.truth.masks).float(), placements)


def _descriptions(
    scenes: Sequence[Scene], facts: Sequence[Facts], asked: PrimaBatch
) -> list[tuple[Asked, Which]]:
    """Return the question of each [SEG] that a row holds, and how it describes it."""
    questions = [
        (question, descriptions(own, question))
        for scene, own in zip(scenes, facts, strict=True)
        for sample, question in zip(scene.samples, scene.asked, strict=True)
        if not sample.question.prompts
    ]
    rows = (questions[row] for row in asked.slots.row.tolist())
    return [(question, next(said, Which())) for question, said in rows]


def _words_of(which: Which) -> Said:
    """Return the words of a description."""
    said = (getattr(which.described, kind) for kind in KINDS)
    category, colour, pattern = (
        1 + WORDS[kind].index(word) if word else 0 for kind, word in zip(KINDS, said, strict=True)
    )
    return category, colour, pattern


def _rows(found: Sequence[Sequence[int]], width: int) -> Tensor:
    return torch.tensor(found, dtype=torch.long).reshape(-1, width)
