"""How UniPixel's language decoder learns to read and write from nothing, in its stage 0.

It begins by rehearsing without encoders (``unipixel_rehearsal.py``).

Shapes: B rows, N tokens, L of them learned, M targets, K hidden tokens, C width of SAM, D language
width, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deixis.language.packed import unpacked
from deixis.models.unipixel import Seen
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
from deixis.training.unipixel.unipixel_meanings import Asks, Meanings
from deixis.training.unipixel.unipixel_objective import UniPixelObjective
from deixis.training.unipixel.unipixel_recipe import Lessons
from deixis.training.unipixel.unipixel_rows import Lesson, collate

BEGINNING = Lessons(  # many questions about few frames; nothing is drawn
    ways={"draw": 5, "tell": 5, "find": 2, "name": 0.5},
    onward=1.0, drawn=1, objects=10, turns=6, frames=4, sampled=8,
)  # fmt: skip
TELLING = ("yes", "no", "left", "right", "up", "down", *map(str, range(7)))


@dataclass(frozen=True, kw_only=True, slots=True)
class Beginning:
    """Lessons, and what is known of their targets.

    Attributes:
        lessons: as for every stage.
        grids: (B, 3) patches (t, h, w) of each row's clip.
        asks: what each target asks of SAM.
        heard: (M, 3) the words of each target that its question says.
        wanted: (M, N) how much each column of its row shows of a target, or points at it.
        spoken: (W, 2) row and last column of each piece of an answer in words that is about one
            thing.
        showing: (W, N) the columns that show it.
    """

    lessons: UniPixelBatch
    grids: Tensor
    asks: Asks
    heard: Tensor
    wanted: Tensor
    spoken: Tensor
    showing: Tensor

    def to(self, device: torch.device | str) -> "Beginning":
        """Return all of it on a device."""
        return moved(self, device)


class Speaking(UniPixelObjective):
    """Teaches reading and writing from nothing, around bases that see and draw already; nothing
    is drawn.

    Beside words the hidden tokens of every <seg> learn what SAM was taught to understand, the
    prompt that points at a target or its middle, and its words: "asks".
    What pre-training brings is told: "placed", two layers before the last picture tokens say
    where they are, in SAM's own code; "heard", there what names or draws a target knows the
    words that its question says of it; and "sought", the last two layers look where the target
    lies, or at the <ref> or <mem> that shows what is spoken of (``training/seeking.py``). So what
    they find need only be passed on. Words that tell things apart weigh "telling" times as much.
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
        places = torch.empty(processor.config.sam_width, processor.config.text_config.hidden_size)
        self.places = nn.init.orthogonal_(places, generator=dice)  # (C, D)
        self.telling = torch.zeros(processor.config.text_config.vocab_size, dtype=torch.bool)
        self.telling[[token for word in known for token in encode(f" {word}")]] = True

    def collate(self, scenes: Sequence[Any]) -> Beginning:
        """Write lessons as for every stage, and note what is known of each target.

        Raises:
            DataError: as ``UniPixelObjective.collate``.
        """
        return self.noted(self.written(scenes))

    def noted(self, lessons: Sequence[Lesson]) -> Beginning:
        """Return lessons as a batch, with what is known of each target."""
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
            grids=batch.grids,
            asks=Asks.of(
                list(zip(prompts, said, strict=True)), [size for _, size in asked], side
            ),
            heard=torch.tensor(heard, dtype=torch.long).reshape(-1, len(KINDS)),
            wanted=self._wanted(lessons, batch.tokens),
            **_spoken(lessons, batch.tokens.shape[1]),
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

    def see(self, model: Any, batch: Beginning) -> Seen:
        """Return what is read."""
        seen: Seen = model.see(batch.lessons)
        return seen

    def __call__(self, model: Any, batch: Beginning) -> dict[str, Tensor]:
        """Return the parts of the loss of a batch, weighted."""
        lessons, asks = batch.lessons, batch.asks
        assert lessons.truth is not None
        seen = self.see(model, batch)
        early, before, hidden = model.read_layers(seen, [-3, -2, -1])
        asked = model.slots(hidden, lessons.tokens).hidden.float()
        with torch.no_grad():
            meant = self.meanings.tokens(model, asks).float()
        off = (asked - meant).square().mean((1, 2))
        row, column = torch.nonzero(
            lessons.tokens == self.processor.config.seg_token_id, as_tuple=True
        )
        starts = torch.arange(early.shape[1], device=row.device).expand(early.shape[:2])
        answers = lessons.truth.labels != IGNORED
        drawing = lookers(starts, answers, row, column)
        naming = lookers(starts, answers, *batch.spoken.T)
        where = (
            torch.cat([drawing[0], naming[0]]),
            torch.cat([drawing[1], naming[1]]),
            torch.cat([drawing[2], naming[2] + len(asks)]),
        )
        wanted = torch.cat([batch.wanted, batch.showing])
        layers = [unpacked(one, seen.held, seen.positions) for one in (early, before)]
        table = self.named(model.language.embed_tokens.weight)
        parts = {
            "text": self._text(model, hidden, lessons),
            "asks": (off * asks.known).sum() / asks.known.sum().clamp(min=1),
            "heard": unheard(early[drawing[:2]], table, batch.heard[drawing[2]]),
            "sought": seeking_loss(model.language, layers, wanted, where),
            "placed": self._unplaced(model, early, batch),
        }
        return {name: part * self.weights[name] for name, part in parts.items()}

    def _unplaced(self, model: Any, states: Tensor, batch: Beginning) -> Tensor:
        """Return how far states (B, N, D) of picture tokens are from the code of their cell among
        those of all cells, in nats."""
        shown = batch.lessons.tokens == self.processor.config.video_token_id
        merged = int(self.processor.config.vision_config.spatial_merge_size)
        cells = batch.grids[:, 1:] // merged  # (B, 2)
        losses = []
        for height, width in cells.unique(dim=0).tolist():
            code = model.tracker.sam.prompts.pe_layer.grid((height, width))[0].flatten(1).T
            table = F.normalize(code.float(), dim=1) @ self.places.to(states.device)  # (h * w, D)
            mine = (cells == cells.new_tensor([height, width])).all(1)
            here = shown & mine.to(shown.device)[:, None]
            own = F.normalize(states[here].float(), dim=1)
            number = ((here.cumsum(1) - 1) % len(table))[here]
            losses.append(F.cross_entropy(SHARP * own @ table.T, number, reduction="sum"))
        return torch.stack(losses).sum() / shown.sum()

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


def _spoken(lessons: Sequence[Lesson], width: int) -> dict[str, Tensor]:
    """Return ``spoken`` and ``showing`` of lessons, of rows of ``width`` columns."""
    pieces = [(row, *one) for row, lesson in enumerate(lessons) for one in lesson.spoken]
    showing = torch.zeros(len(pieces), width)
    for own, (_, _, columns) in zip(showing, pieces, strict=True):
        own[list(columns)] = 1.0
    spoken = torch.tensor([(row, end) for row, end, _ in pieces], dtype=torch.long)
    return {"spoken": spoken.reshape(-1, 2), "showing": showing}


def _middles(lesson: Lesson) -> list[Point | None]:
    """Return the centre of each target in the first frame that is drawn, in pixels of the frame;
    None where that does not show it."""
    height, width = lesson.size
    shares, there = middles(lesson.masks[0].float())
    return [
        Point(image=0, x=x * width, y=y * height) if shown else None
        for (x, y), shown in zip(shares.tolist(), there.tolist(), strict=True)
    ]
