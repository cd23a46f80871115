"""Answers of UniPixel while they are written, and what is joined when they are: words, what they
point at, and what was pointed at by prompts.

Shapes: N tokens, D language width, K hidden tokens, C width of SAM, P merged cells, E their width.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from deixis.decoding.sweeping import Wanted
from deixis.language.generate import Reading, foretell
from deixis.language.prefix import Prefix
from deixis.processing.unipixel import ClipView
from deixis.structures.answers import GroundedAnswer, Target
from deixis.structures.images import ImageSet

NOTHING = "No mask was drawn: the model wrote no <seg> in its answer."


@dataclass(kw_only=True)
class Known:
    """What is known of one clip.

    Attributes:
        view: which frames are read. features: (P, E) of their merged cells.
        head: the conversation up to the end of the clip, as the language decoder remembers it.
    """

    images: ImageSet
    view: ClipView
    features: Tensor
    head: Prefix


class Engine(Protocol):
    """What answers need of the engine that runs them: see ``UniPixelEngine``."""

    def named(self, hidden: Tensor) -> Wanted: ...

    def draw(
        self, known: Known, wanted: Sequence[Wanted], ids: Sequence[int | None]
    ) -> list[Target]: ...


@dataclass(frozen=True, kw_only=True)
class Row:
    """One question: its ids after the clip, its <mem> tokens, and what its prompts mean.

    The last of the ids are how its answer was ``begun``; ``whole``: nothing is written after it.
    """

    known: Known
    ids: list[int]
    memory: Tensor | None
    drawn: dict[int, Target]
    wishes: bool
    begun: list[int]
    whole: bool


@dataclass(kw_only=True)
class UniPixelAnswering:
    """Rows that are being answered; ``written`` are their token ids so far."""

    model: Any
    processor: Any
    engine: Engine
    rows: list[Row]
    reading: Reading
    written: list[list[int]]
    asked: dict[int, list[Tensor]] = field(default_factory=dict)
    found: dict[int, list[Target]] = field(default_factory=dict)

    @torch.inference_mode()
    def steps(self) -> Iterator[None]:
        """Write the answers word by word; all targets are drawn after the last."""
        vocabulary = self.processor.vocabulary
        most = self.model.config.most_answer
        room = torch.tensor(
            [0 if row.whole else most for row in self.rows], device=self.model.device
        )
        for tokens, states in foretell(
            self.model.language, self.model.speak, self.reading, most=room, end=vocabulary.end
        ):
            for row, token in enumerate(tokens.tolist()):
                if self.written[row][-1:] == [vocabulary.end]:
                    continue
                self.written[row].append(token)
                if token == vocabulary.seg:
                    self.asked.setdefault(row, []).append(states[row])
            yield
        for row, asked in self.asked.items():
            hidden = self.model.ask(torch.stack(asked))
            wanted = [self.engine.named(one) for one in hidden]
            known = self.rows[row].known
            self.found[row] = self.engine.draw(known, wanted, [None] * len(wanted))

    def draw_written(self) -> None:
        """Nothing is drawn before all words are written: all objects go in one batch."""

    def targets(self, row: int) -> list[Target]:
        """Return the targets of a row that show; their phrases are not written yet."""
        own = [*self.rows[row].drawn.values(), *self.found.get(row, [])]
        return [target for target in own if target.masks]

    def text(self, row: int) -> str:
        """Return what a row says so far."""
        return str(self.processor.text(self._said(row)))

    def _said(self, row: int) -> list[int]:
        """Return the ids of a row's answer: all of it if it was given, else what was written."""
        return self.rows[row].begun if self.rows[row].whole else self.written[row]

    def answers(self) -> list[GroundedAnswer]:
        """Return the answer of each row, with what its prompts mean."""
        answers = []
        for index, row in enumerate(self.rows):
            ids, found = self._said(index), self.found.get(index, [])
            slots = sum(token == self.processor.vocabulary.seg for token in ids)
            answer = self.processor.decode(ids, found[len(found) - slots :])
            answer = _with_prompted(answer, row.drawn)
            if row.wishes and not answer.targets and not answer.absent:
                answer = replace(answer, caution=NOTHING)
            answers.append(answer)
        return answers


def _with_prompted(answer: GroundedAnswer, drawn: Mapping[int, Target]) -> GroundedAnswer:
    """Add what prompts mean: named where the text says "[1]", else by the whole text."""
    if not drawn:
        return answer
    text = answer.text or " ".join(f"[{number}]" for number in drawn)
    spans = []
    for number in drawn:
        start = text.find(f"[{number}]")
        spans.append((start, start + len(f"[{number}]")) if start >= 0 else (0, len(text)))
    named = [
        replace(target, phrase=text[a:b])
        for target, (a, b) in zip(drawn.values(), spans, strict=True)
    ]
    there = [(t, span) for t, span in zip(named, spans, strict=True) if t.masks]
    return replace(
        answer,
        text=text,
        targets=(*(t for t, _ in there), *answer.targets),
        spans=(*(span for _, span in there), *answer.spans),
        absent=(*(t for t in named if not t.masks), *answer.absent),
    )
