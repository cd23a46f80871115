"""One batch of questions on its way: see, locate, point, write. The reasoner's engine room.

``steps`` writes a word in every row; targets are drawn before the first word, since what is meant
is decided by existence; or, without object tokens, when their groups are written.

Shapes: B rows, M targets, S images, T written tokens, F frames.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import torch
from torch import Tensor

from deixis.language.generate import generate, read_on
from deixis.models.parts.deixis_seen import Seen, Slots
from deixis.models.parts.deixis_teaching import choice_without_objects
from deixis.processing.batch import Batch, Output
from deixis.reasoning.looking import among
from deixis.relation.choice import Choice, MaskRows, chosen_by_existence
from deixis.relation.objects import Look
from deixis.structures.answers import GroundedAnswer, Target

CHUNK = 8  # frames that are drawn together where not all keep their maps


@dataclass(kw_only=True)
class Answering:
    """A batch that is being answered.

    Attributes:
        batch, look: what is asked, and what its frames show.
        maps: frames -> a look at them with maps, for a ``look`` in which not all frames have them.
        choice: what is meant; nothing yet where words come first.
        speak: states (B, D) -> logits of the next word.
        existence: (B, O, 1 + parts) how surely each thing and part is meant.
        written: (B) token ids so far, groups first.
    """

    model: Any
    processor: Any
    batch: Batch
    look: Look
    seen: Seen
    reading: Any
    prefix_states: Tensor
    speak: Callable[[Tensor], Tensor]
    choice: Choice
    existence: Tensor
    maps: Callable[[Sequence[int]], Look] | None = None
    drawn: dict[int, Target] = field(default_factory=dict)
    written: list[list[int]] = field(default_factory=list)
    states: list[Tensor] = field(default_factory=list)

    @torch.inference_mode()
    def locate(self, wanted: Tensor) -> None:
        """Write the groups of everything that is meant, and draw it."""
        model, config = self.model, self.model.config
        self.choice = choice = chosen_by_existence(
            self.existence,
            self.seen.objects,
            self.seen.set_of_row,
            wanted & torch.tensor(config.object_tokens, device=wanted.device),
            threshold=config.presence_threshold,
            num_images=int(self.batch.layout.num_images.max()),
        )
        size, rows = config.group_size, len(self.batch.question)
        counts = torch.bincount(choice.row, minlength=rows)
        self.written = [
            list(self.processor.vocabulary.group) * count + words
            for count, words in zip(counts.tolist(), self.written, strict=True)
        ]
        if not len(choice.row):
            return
        width = int(counts.max()) * size
        group = torch.tensor(self.processor.vocabulary.group, device=choice.row.device)
        tokens = group.repeat(width // size).expand(rows, -1)
        held = torch.arange(width, device=group.device) < counts[:, None] * size
        embedded = model.written(tokens, self.seen, choice)
        states = read_on(model.speech.decoder, self.reading, embedded, held)
        column = choice.order[:, None] * size + torch.arange(size, device=group.device)
        self.draw(Slots(hidden=states[choice.row[:, None], column], choice=choice))

    @torch.inference_mode()
    def steps(self) -> Iterator[None]:
        """Write the answers word by word."""
        model, config = self.model, self.model.config
        ended = [False] * len(self.written)
        for tokens, states in generate(
            model.speech.decoder,
            self.speak,
            self.reading,
            most=config.most_answer,
            end=config.eos_token,
            forbidden=self._unsaid(),
        ):
            self.states.append(states)
            for row, token in enumerate(tokens.tolist()):
                if not ended[row]:
                    self.written[row].append(token)
                    ended[row] = token == config.eos_token
            yield
        if config.name_first:
            end = torch.full_like(self.batch.set_of_row, config.eos_token)[:, None]
            embedded = model.speech.embeddings(end)
            read_on(model.speech.decoder, self.reading, embedded, torch.ones_like(end).bool())
            self.locate(self.wanted())
        self.draw_written()

    def wanted(self) -> Tensor:
        """Return (B,): would a group be written now?"""
        logits = self.speak(self.reading.state)
        return logits.argmax(1) == self.model.config.group_token

    def _unsaid(self) -> Tensor:
        """Return (V,) the tokens that no answer holds: those of questions and of padding, what the
        tokenizer does not know, and, with object tokens, groups, which are written already."""
        config, words = self.model.config, self.processor.vocabulary
        unsaid = torch.zeros(config.text_config.vocab_size, dtype=torch.bool)
        unsaid[[words.pad, words.bos, words.ref, words.mem, words.answer]] = True
        unsaid[len(words) :] = True
        if config.object_tokens:
            unsaid[list(words.group)] = True
        return unsaid.to(self.batch.question.device)

    def draw(self, slots: Slots) -> None:
        """Turn the states of further groups into targets, a chunk of frames at a time."""
        rows = self.model.mask_rows(self.seen, slots.choice)
        outputs = self._outputs(slots, rows)
        new = self.processor.targets(outputs, slots.choice.presence, self.batch)
        first = len(self.drawn)
        self.drawn |= {first + index: target for index, target in new.items()}

    def _outputs(self, slots: Slots, rows: MaskRows) -> Iterator[tuple[Output, int]]:
        """Yield outputs and the frame that their frame 0 is; only frames that show something are
        given to the pixel decoder."""
        shown, whole = rows.frame.unique(), len(self.look.fine) == len(self.batch.pixels)
        if whole and len(shown) == len(self.batch.pixels):
            yield self.model.point(slots, self.seen, rows), 0
            return
        for some in shown.split(len(shown) if whole else CHUNK) if len(shown) else ():
            place = torch.searchsorted(some, rows.frame).clamp(max=len(some) - 1)
            mine = some[place] == rows.frame
            if whole:
                look = among(self.look, some)
            else:
                assert self.maps is not None, "not all frames have their maps: ask for some"
                look = self.maps(some.tolist())
            picked = MaskRows(
                target=rows.target[mine], frame=place[mine], proposal=rows.proposal[mine]
            )
            output = self.model.point(slots, replace(self.seen, look=look), picked)
            yield replace(output, frame=some[output.frame]), 0

    @torch.inference_mode()
    def draw_written(self) -> None:
        """Draw the groups that the language decoder has completed by itself since the last call.

        With object tokens there are none: groups are written before the first word.
        """
        if self.model.config.object_tokens:
            return
        drawn = torch.bincount(self.choice.row, minlength=len(self.written)).tolist()
        found = [
            (row, order, start)
            for row, ids in enumerate(self.written)
            for order, start in enumerate(self.processor.vocabulary.read(ids).starts)
            if order >= drawn[row]
        ]
        if not found:
            return
        hidden = torch.stack(self.states, 1)  # (B, T, D)
        row, order, start = torch.tensor(found, device=hidden.device).unbind(1)
        columns = start[:, None] + torch.arange(self.model.config.group_size, device=row.device)
        choice = choice_without_objects(row, order, self.seen.num_images)
        slots = Slots(hidden=hidden[row[:, None], columns], choice=choice)
        presence = self.model.presence(slots, self.seen, self.prefix_states).sigmoid()
        choice = replace(choice, presence=presence)
        self.draw(Slots(hidden=slots.hidden, choice=choice))
        self.choice = _joined(self.choice, choice)

    def targets(self, row: int) -> list[Target]:
        """Return the targets of a row that show somewhere; their phrases are not written yet."""
        mine = torch.nonzero(self.choice.row == row)[:, 0].tolist()
        return [self.drawn[index] for index in mine if self.drawn[index].masks]

    def text(self, row: int) -> str:
        """Return what a row says so far."""
        return str(self.processor.vocabulary.read(self.written[row]).text)

    def answers(self) -> list[GroundedAnswer]:
        """Return the answer of each row."""
        rows: list[list[Target]] = [[] for _ in self.written]
        for index, row in enumerate(self.choice.row.tolist()):
            rows[row].append(self.drawn[index])
        written: Sequence[Sequence[int]] = self.written
        return [
            self.processor.decode(ids, targets)
            for ids, targets in zip(written, rows, strict=True)
        ]


def _joined(before: Choice, after: Choice) -> Choice:
    """Return the targets of both, in this order."""
    pairs = {
        field.name: torch.cat([getattr(before, field.name), getattr(after, field.name)])
        for field in fields(Choice)
    }
    return Choice(**pairs)


@torch.inference_mode()
def answering(
    model: Any,
    processor: Any,
    batch: Batch,
    look: Look,
    maps: Callable[[Sequence[int]], Look] | None = None,
) -> Answering:
    """Read the questions and decide what they mean."""
    batch = replace(batch.to(model.device), pixels=batch.pixels)
    config = model.config
    seen = model.see(batch, look)
    states, reading = model.read_prefix(seen)
    nothing = torch.zeros(0, dtype=torch.long, device=model.device)
    run = Answering(
        model=model,
        processor=processor,
        batch=batch,
        look=look,
        seen=seen,
        reading=reading,
        prefix_states=states,
        speak=model.speaking(states, seen),
        choice=choice_without_objects(nothing, nothing, seen.num_images),
        existence=model.exist(states, seen).sigmoid(),
        maps=maps,
        written=[[] for _ in batch.question],
    )
    if not config.name_first:
        run.locate(run.wanted())
    return run
