"""What UniPixel's stages on our scenes minimise: lessons, after bases that others bring along.

The published system begins with a trained Qwen2.5-VL and a trained SAM 2.1. A named stage 0 stands
in for both: ``BasesObjective`` for what sees and draws, ``Speaking`` for what reads and writes.

Shapes: B rows, N tokens, M targets, K hidden tokens, C width of SAM.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from deixis.errors import DataError
from deixis.processing.batches.unipixel_batch import UniPixelBatch
from deixis.processing.unipixel import UniPixelProcessor
from deixis.processing.words.unipixel_text import IGNORED
from deixis.training.directions import NOTHING, WORDS, said_of
from deixis.training.unipixel.unipixel_bases import BasesObjective, Looking, Scanning, Sketching
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


BEGINNING = Lessons(  # many questions about each clip; nothing is drawn, so one frame will do
    ways={"draw": 3, "tell": 4, "find": 2.5, "name": 0.5},
    onward=1.0, drawn=1, objects=6, turns=4,
)  # fmt: skip
TELLING = ("yes", "no", "left", "right", "up", "down", *map(str, range(7)))


@dataclass(frozen=True, kw_only=True, slots=True)
class Beginning:
    """Lessons, and what each of their targets asks of SAM."""

    lessons: UniPixelBatch
    asks: Asks

    def to(self, device: torch.device | str) -> "Beginning":
        """Return all of it on a device."""
        return Beginning(lessons=self.lessons.to(device), asks=self.asks.to(device))


class Speaking(UniPixelObjective):
    """Teaches reading and writing from nothing, around bases that see and draw already; nothing
    is drawn.

    Beside words the hidden tokens of every <seg> learn what SAM was taught to understand: "asks".
    Words that tell things apart weigh "telling" times as much.
    """

    lessons = BEGINNING

    def __init__(self, processor: UniPixelProcessor) -> None:
        super().__init__(processor)
        self.weights = {"text": 1.0, "asks": 5.0, "telling": 3.0}
        self.meanings = Meanings(processor.config.sam_width)
        known = [*(word for words in WORDS.values() for word in words), *TELLING]
        encode = processor.vocabulary.encode
        self.telling = torch.zeros(processor.config.text_config.vocab_size, dtype=torch.bool)
        self.telling[[token for word in known for token in encode(f" {word}")]] = True

    def collate(self, scenes: Sequence[Any]) -> Beginning:
        """Write lessons as for every stage, and note what each target asks.

        Raises:
            DataError: as ``UniPixelObjective.collate``.
        """
        lessons = self.written(scenes)
        asked = [
            ((prompt, NOTHING) if prompt else (None, said_of(phrase)), lesson.size)
            for lesson in lessons
            for phrase, prompt in lesson.asked
        ]
        side = int(self.processor.config.sam_config.image_size)
        asks = Asks.of([one for one, _ in asked], [size for _, size in asked], side)
        return Beginning(lessons=collate(lessons, self.processor), asks=asks)

    def __call__(self, model: Any, batch: Beginning) -> dict[str, Tensor]:
        """Return the parts of the loss of a batch, weighted."""
        lessons, asks = batch.lessons, batch.asks
        hidden = model.read(model.see(lessons))
        asked = model.slots(hidden, lessons.tokens).hidden.float()
        with torch.no_grad():
            wanted = self.meanings.tokens(model, asks).float()
        off = (asked - wanted).square().mean((1, 2))
        parts = {
            "text": self._text(model.speak(hidden), lessons),
            "asks": (off * asks.known).sum() / asks.known.sum().clamp(min=1),
        }
        return {name: part * self.weights[name] for name, part in parts.items()}

    def _text(self, logits: Tensor, lessons: UniPixelBatch) -> Tensor:
        """Return the cross-entropy of what is learned; words that tell things apart weigh more."""
        assert lessons.truth is not None
        labels = lessons.truth.labels[:, 1:]
        telling = self.telling.to(labels.device)[labels.clamp(min=0)]
        weight = (labels != IGNORED) * torch.where(telling, self.weights["telling"], 1.0)
        losses = F.cross_entropy(
            logits[:, :-1].flatten(0, 1).float(), labels.flatten(), reduction="none",
            ignore_index=IGNORED,
        )  # fmt: skip
        return (losses * weight.flatten()).sum() / weight.sum()


OBJECTIVES: dict[str, Any] = {
    "looking": Looking,
    "scanning": Scanning,
    "sketching": Sketching,
    "bases": BasesObjective,
    "speaking": Speaking,
    "unipixel": UniPixelObjective,
    "pointing": Pointing,
    "drawing": Drawing,
    "whole": Whole,
}
