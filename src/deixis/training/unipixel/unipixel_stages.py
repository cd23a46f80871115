"""What UniPixel's stages on our scenes minimise: lessons, after bases that others bring along.

The published system begins with a trained Qwen2.5-VL and a trained SAM 2.1. A named stage 0 stands
in for both: ``unipixel_bases.py`` for what sees and draws, ``Speaking`` for what reads and writes.

Shapes: B rows, N tokens, L of them learned, M targets, K hidden tokens, C width of SAM, D language
width, V vocabulary.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deixis.errors import DataError
from deixis.language.packed import unpacked
from deixis.nn.cells import middles
from deixis.processing.batch import moved
from deixis.processing.batches.unipixel_batch import UniPixelBatch
from deixis.processing.unipixel import UniPixelProcessor
from deixis.processing.words.unipixel_text import IGNORED
from deixis.structures.prompts import Point
from deixis.training.directions import (
    KINDS,
    NOTHING,
    SHARP,
    WORDS,
    WordRows,
    said_in,
    said_of,
    unheard,
)
from deixis.training.seeking import lookers, seeking_loss
from deixis.training.unipixel.unipixel_bases import Looking, Scanning, Sketching
from deixis.training.unipixel.unipixel_lessons import Teacher
from deixis.training.unipixel.unipixel_meanings import Asks, Meanings
from deixis.training.unipixel.unipixel_objective import unipixel_losses
from deixis.training.unipixel.unipixel_recipe import (
    EVERYTHING,
    STAGES,
    Lessons,
    check_published_parts,
)
from deixis.training.unipixel.unipixel_rows import Lesson, collate

# -- lessons -------------------------------------------------------------------------------------


class UniPixelObjective:
    """Words and masks, weighed as published; every part of the model may learn."""

    lessons: Lessons = EVERYTHING

    def __init__(self, processor: UniPixelProcessor) -> None:
        self.processor = processor
        self.teacher = Teacher(processor, self.lessons)
        self.weights: Mapping[str, float] = {"text": 1.0, "masks": 1.0}

    def collate(self, scenes: Sequence[Any]) -> Any:
        """Write a lesson about each scene that these lessons can be about.

        Raises:
            DataError: a scene of several images, or none that can be asked about.
        """
        return collate(self.written(scenes), self.processor)

    def written(self, scenes: Sequence[Any]) -> list[Lesson]:
        """Return the lessons about some scenes; see ``collate``."""
        lessons = []
        for scene in scenes:
            first = scene.samples[0]
            random = Random(f"{first.id}/{first.question.text}")
            lesson = self.teacher.lesson(scene.samples, random)
            lessons += [lesson] if lesson is not None else []
        if not lessons:
            raise DataError(
                f"UniPixel: expected a true answer that can be asked for by "
                f"{', '.join(self.lessons.ways)} in every batch, got none. "
                f"Name other tasks, or raise batch."
            )
        return lessons

    def __call__(self, model: Any, batch: Any) -> dict[str, Tensor]:
        """Return the parts of the loss of a batch, weighted."""
        losses = unipixel_losses(model(batch), batch)
        parts = {"text": losses.text, "masks": losses.total - losses.text}
        return {name: part * self.weights[name] for name, part in parts.items()}


class PublishedObjective(UniPixelObjective):
    """A published stage: its lessons, and exactly its parts may learn."""

    stage: str
    checked = False

    def __call__(self, model: Any, batch: Any) -> dict[str, Tensor]:
        """Return the parts of the loss.

        Raises:
            ConfigError: other parameters learn than those of the published stage.
        """
        if not self.checked:
            check_published_parts(model, self.stage)
            self.checked = True
        return super().__call__(model, batch)


class Pointing(PublishedObjective):
    """Stage 1: what points and boxes show, in words."""

    stage, lessons = "pointing", STAGES["pointing"].lessons


class Drawing(PublishedObjective):
    """Stage 2: masks of what words name."""

    stage, lessons = "drawing", STAGES["drawing"].lessons


class Whole(PublishedObjective):
    """Stage 3: everything that the system does."""

    stage, lessons = "whole", STAGES["whole"].lessons


# -- stage 0 -------------------------------------------------------------------------------------


BEGINNING = Lessons(  # many questions about few frames; nothing is drawn
    ways={"draw": 4, "tell": 4, "find": 4, "name": 0.5},
    onward=1.0, drawn=1, objects=10, turns=6, frames=4,
)  # fmt: skip
SIDE = 16  # cells along a side of a frame that states can be told of
TELLING = ("yes", "no", "left", "right", "up", "down", *map(str, range(7)))


@dataclass(frozen=True, kw_only=True, slots=True)
class Beginning:
    """Lessons, and what is known of their targets.

    Attributes:
        lessons: as for every stage.
        asks: what each target asks of SAM.
        heard: (M, 3) the words of each target that its question says.
        wanted: (M, N) how much each column of its row shows of a target, or points at it.
    """

    lessons: UniPixelBatch
    asks: Asks
    heard: Tensor
    wanted: Tensor

    def to(self, device: torch.device | str) -> "Beginning":
        """Return all of it on a device."""
        return moved(self, device)


class Speaking(UniPixelObjective):
    """Teaches reading and writing from nothing, around bases that see and draw already; nothing
    is drawn.

    Beside words the hidden tokens of every <seg> learn what SAM was taught to understand, the
    prompt that points at a target or its middle, and its words: "asks".
    What pre-training brings is told: "placed", two layers before the last picture tokens know their
    row and column; "heard", there what names or draws a target knows the words that its question
    says of it; and "sought", the last two layers look where the target lies, or at what points at
    it (``training/seeking.py``). Words that tell things apart weigh "telling"
    times as much.
    """

    lessons = BEGINNING

    def __init__(self, processor: UniPixelProcessor) -> None:
        super().__init__(processor)
        told = {"heard": 1.0, "sought": 1.0, "placed": 0.5}
        self.weights = {"text": 1.0, "asks": 5.0, "telling": 3.0, **told}
        self.meanings = Meanings(processor.config.sam_width)
        known = [*(word for words in WORDS.values() for word in words), *TELLING]
        encode = processor.vocabulary.encode
        self.named = WordRows(encode)
        dice = torch.Generator().manual_seed(1)
        places = torch.empty(2 * SIDE, processor.config.text_config.hidden_size)
        self.places = nn.init.orthogonal_(places, generator=dice)  # rows, then columns of cells
        self.telling = torch.zeros(processor.config.text_config.vocab_size, dtype=torch.bool)
        self.telling[[token for word in known for token in encode(f" {word}")]] = True

    def collate(self, scenes: Sequence[Any]) -> Beginning:
        """Write lessons as for every stage, and note what is known of each target.

        Raises:
            DataError: as ``UniPixelObjective.collate``.
        """
        lessons = self.written(scenes)
        batch = collate(lessons, self.processor)
        asked = [(one, lesson.size) for lesson in lessons for one in lesson.asked]
        said = [NOTHING if one.prompt else said_of(one.phrase) for one, _ in asked]
        prompts = [
            one.prompt or middle
            for lesson in lessons
            for one, middle in zip(lesson.asked, _middles(lesson), strict=True)
        ]
        side = int(self.processor.config.sam_config.image_size)
        heard = [said_in(one.question, own) for (one, _), own in zip(asked, said, strict=True)]
        return Beginning(
            lessons=batch,
            asks=Asks.of(
                list(zip(prompts, said, strict=True)), [size for _, size in asked], side
            ),
            heard=torch.tensor(heard, dtype=torch.long).reshape(-1, len(KINDS)),
            wanted=self._wanted(lessons, batch.tokens),
        )

    def _wanted(self, lessons: Sequence[Lesson], tokens: Tensor) -> Tensor:
        """Return (M, N) how much each column shows of targets: of what words ask for the picture,
        of what is pointed at the <ref> that does."""
        config = self.processor.config
        rows = []
        for ids, lesson in zip(tokens, lessons, strict=True):
            shown, refs = ((ids == one) for one in (config.video_token_id, config.ref_token_id))
            for ref, cover in zip(lesson.refs, lesson.cover, strict=True):
                row = torch.zeros(len(ids))
                if ref < 0:
                    row[shown] = cover
                else:
                    row[refs.nonzero()[ref]] = 1.0
                rows.append(row)
        return torch.stack(rows) if rows else torch.zeros(0, tokens.shape[1])

    def __call__(self, model: Any, batch: Beginning) -> dict[str, Tensor]:
        """Return the parts of the loss of a batch, weighted."""
        lessons, asks = batch.lessons, batch.asks
        assert lessons.truth is not None
        seen = model.see(lessons)
        early, before, hidden = model.read_layers(seen, [-3, -2, -1])
        asked = model.slots(hidden, lessons.tokens).hidden.float()
        with torch.no_grad():
            wanted = self.meanings.tokens(model, asks).float()
        off = (asked - wanted).square().mean((1, 2))
        row, column = torch.nonzero(
            lessons.tokens == self.processor.config.seg_token_id, as_tuple=True
        )
        starts = torch.arange(early.shape[1], device=row.device).expand(early.shape[:2])
        looking = lookers(starts, lessons.truth.labels != IGNORED, row, column)
        layers = [unpacked(one, seen.held, seen.positions) for one in (early, before)]
        table = self.named(model.language.embed_tokens.weight)
        parts = {
            "text": self._text(model, hidden, lessons),
            "asks": (off * asks.known).sum() / asks.known.sum().clamp(min=1),
            "heard": unheard(early[looking[:2]], table, batch.heard[looking[2]]),
            "sought": seeking_loss(model.language, layers, batch.wanted, looking),
            "placed": self._unplaced(early, lessons),
        }
        return {name: part * self.weights[name] for name, part in parts.items()}

    def _unplaced(self, states: Tensor, lessons: UniPixelBatch) -> Tensor:
        """Return how far states (B, N, D) of picture tokens are from the row and the column of
        their cell, in nats."""
        shown = lessons.tokens == self.processor.config.video_token_id
        merged = int(self.processor.config.vision_config.spatial_merge_size)
        cells = (lessons.grids[:, 1:] // merged).to(states.device)  # (B, 2)
        number = (shown.cumsum(1) - 1) % cells.prod(1, keepdim=True)
        across = cells[:, 1:].expand(number.shape)[shown]
        place = number[shown]
        own = F.normalize(states[shown].float(), dim=1) @ self.places.to(states.device).T
        rows, columns = (SHARP * own).split(SIDE, 1)
        return F.cross_entropy(rows, place // across) + F.cross_entropy(columns, place % across)

    def _text(self, model: Any, hidden: Tensor, lessons: UniPixelBatch) -> Tensor:
        """Return the cross-entropy of what is learned from states (B, N, D); words that tell things
        apart weigh more."""
        assert lessons.truth is not None
        learned = lessons.truth.labels[:, 1:] != IGNORED
        labels = lessons.truth.labels[:, 1:][learned]  # (L,)
        telling = self.telling.to(labels.device)[labels]
        weight = torch.where(telling, self.weights["telling"], 1.0)
        logits = model.speak(hidden[:, :-1][learned]).float()  # (L, V)
        losses = F.cross_entropy(logits, labels, reduction="none")
        return (losses * weight).sum() / weight.sum()


def _middles(lesson: Lesson) -> list[Point | None]:
    """Return the centre of each target in the first frame that is drawn, in pixels of the frame;
    None where that does not show it."""
    height, width = lesson.size
    shares, there = middles(lesson.masks[0].float())
    return [
        Point(image=0, x=x * width, y=y * height) if shown else None
        for (x, y), shown in zip(shares.tolist(), there.tolist(), strict=True)
    ]


OBJECTIVES: dict[str, Any] = {
    "looking": Looking,
    "scanning": Scanning,
    "sketching": Sketching,
    "speaking": Speaking,
    "unipixel": UniPixelObjective,
    "pointing": Pointing,
    "drawing": Drawing,
    "whole": Whole,
}
