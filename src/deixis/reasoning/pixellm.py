"""Answers questions with PixelLM: every image seen once, every word read once, one drawing.

An image's look is kept for further questions about it, with what the language decoder remembers
of the prompt up to its end, which all questions about it share. Groups are drawn together when
all rows have ended, or, live, as soon as each is complete.

Shapes: B rows, N tokens, D language width, M targets, G tokens per group, h w cells of masks.
"""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from deixis.errors import DataError
from deixis.language.generate import Reading, foretell, read_on
from deixis.language.prefix import Prefix, go_on_from, no_prefix, read_prefixes
from deixis.models.pixellm import Look
from deixis.processing.batches.pixellm_batch import IMAGE, PixelLMBatch
from deixis.reasoning.given import TARGET, Given
from deixis.structures.answers import GroundedAnswer, Target
from deixis.structures.placement import Placement
from deixis.structures.samples import Sample

KEPT_IMAGES = 4  # whose looks are kept for further questions; 0.2 GB each for a 7B in bfloat16
CHUNK = 8  # images that are looked at together


@dataclass(kw_only=True, slots=True)
class Known:
    """What is known of one image.

    Attributes:
        look: of this image alone.
        heads: prompts up to the end of the image -> what the language decoder remembers of them.
    """

    look: Look
    placement: Placement
    heads: dict[tuple[int, ...], Prefix] = field(default_factory=dict)


class PixelLMEngine:
    """Runs questions through one model, and remembers the last images.

    Args:
        model: PixelLM.
        processor: its words and canvas.
    """

    def __init__(self, model: Any, processor: Any) -> None:
        self.model, self.processor = model, processor
        self._known: OrderedDict[str, Known] = OrderedDict()

    def forget(self) -> None:
        """Forget all images, since the model is no longer the same."""
        self._known.clear()

    def run(
        self, samples: Sequence[Sample], *, live: bool = False, given: Sequence[Given] = ()
    ) -> "PixelLMAnswering":
        """Begin to answer questions together; ``live`` draws each target when it is written.

        Args:
            samples: what is asked.
            live: whether targets are drawn one by one.
            given: for each sample how its answer begins; targets in it are drawn, as published.

        Raises:
            DataError: what PixelLM cannot read.
        """
        replies = [(g.begun.replace(TARGET, self.processor.group_text), g.whole) for g in given]
        batch = self.processor.encode(samples, replies=replies)
        sets = {id(s.images): s.images for s in samples}
        run = self.begin(batch, [images[0].key for images in sets.values()], live=live)
        for row, one in enumerate(given):
            if one.whole:
                asked = len(self.processor.question(samples[row].question.text))
                run.room[row], run.own[row] = 0, len(run.rows[row]) - asked
        return run

    @torch.inference_mode()
    def begin(
        self, batch: PixelLMBatch, keys: Sequence[str], *, live: bool = False
    ) -> "PixelLMAnswering":
        """Begin to go on from the rows of a batch, whose images have these content hashes."""
        rows = [
            ids[:length].tolist()
            for ids, length in zip(batch.tokens, batch.held.sum(1).tolist(), strict=True)
        ]
        images = self._see(batch, keys)
        image_of_row = [images[i] if i >= 0 else None for i in batch.image.tolist()]
        room = [self._room(ids, known) for ids, known in zip(rows, image_of_row, strict=True)]
        reading, prompt, read = self._read(rows, image_of_row)
        return PixelLMAnswering(
            model=self.model,
            processor=self.processor,
            rows=rows,
            images=image_of_row,
            reading=reading,
            prompt=prompt,
            read=read,
            room=room,
            live=live,
            written=[[] for _ in rows],
        )

    def _see(self, batch: PixelLMBatch, keys: Sequence[str]) -> list[Known]:
        """Look at the images that are new, and return what is known of each."""
        found = {key: self._known[key] for key in keys if key in self._known}
        new = [place for place, key in enumerate(keys) if key not in found]
        new = list({keys[place]: place for place in new}.values())
        for start in range(0, len(new), CHUNK):
            some = new[start : start + CHUNK]
            pixels = batch.pixels[some].to(self.model.device)
            look = self.model.see(pixels, batch.resized[some])
            for index, place in enumerate(some):
                known = Known(look=_alone(look, index), placement=batch.placements[place])
                found[keys[place]] = known
        for key in dict.fromkeys(keys):
            self._known[key] = found[key]
            self._known.move_to_end(key)
        while len(self._known) > KEPT_IMAGES:
            self._known.popitem(last=False)
        return [found[key] for key in keys]

    def _room(self, ids: Sequence[int], known: Known | None) -> int:
        """Return how many tokens may be written after a prompt, one at least."""
        config = self.model.config
        taken = len(ids) + (known.look.read.shape[1] - 1 if known else 0)
        if taken >= config.context:
            raise DataError(
                f"question: expected fewer than {config.context} positions with its image (the "
                f"model's context), got {taken}. Ask more shortly."
            )
        return int(min(config.most_answer, config.context - taken))

    def _read(
        self, rows: Sequence[list[int]], images: Sequence[Known | None]
    ) -> tuple[Reading, Tensor, list[int]]:
        """Read the prompts; return where this leads, the states (B, T, D) of what each row has
        beyond its head, and the length of each head."""
        heads = [_head(ids) for ids in rows]
        self._read_heads(heads, images)
        empty = no_prefix(self.model.language)
        prefixes = [
            known.heads[head] if known else empty
            for head, known in zip(heads, images, strict=True)
        ]
        reading = go_on_from(self.model.language, prefixes)
        rest = [ids[len(head) :] for ids, head in zip(rows, heads, strict=True)]
        tokens, held = self._padded(rest)
        before = reading.state
        embedded = self.model.language.embed_tokens(tokens)
        states = read_on(self.model.language, reading, embedded, held)
        return reading, torch.cat([before[:, None], states], 1), [len(head) for head in heads]

    def _read_heads(
        self, heads: Sequence[tuple[int, ...]], images: Sequence[Known | None]
    ) -> None:
        """Read each prompt up to the end of its image, if it is new for this image."""
        new = {
            (id(known), head): known
            for head, known in zip(heads, images, strict=True)
            if known and head not in known.heads
        }
        waiting = [(head, known) for (_, head), known in new.items()]
        for start in range(0, len(waiting), CHUNK):
            some = waiting[start : start + CHUNK]
            tokens, held = self._padded([head for head, _ in some])
            laid = self.model.lay_out(
                tokens,
                held,
                torch.arange(len(some), device=tokens.device),
                _together([known.look for _, known in some]),
            )
            read = read_prefixes(self.model.language, laid.embedded, laid.held, laid.positions)
            for (head, known), prefix in zip(some, read, strict=True):
                known.heads[head] = prefix

    def _padded(self, rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
        """Return ids (B, N) and which of them are there, where the model is."""
        device, width = self.model.device, max(len(row) for row in rows)
        pad = self.processor.vocabulary.pad
        tokens = torch.tensor([[*row, *[pad] * (width - len(row))] for row in rows], device=device)
        lengths = torch.tensor([len(row) for row in rows], device=device)
        return tokens, torch.arange(width, device=device) < lengths[:, None]


@dataclass(kw_only=True)
class PixelLMAnswering:
    """Rows that are being answered.

    Attributes:
        rows: (B) token ids of the prompts; written: (B) token ids of the answers so far.
        images: (B) what is known of each row's image, None without one.
        prompt: (B, 1 + T, D) states of the prompts from the last column of their heads on.
        read: (B) length of each head. room: (B) tokens that may be written.
        own: row -> how many of its prompt's last tokens are its answer, which was given.
    """

    model: Any
    processor: Any
    rows: list[list[int]]
    images: list[Known | None]
    reading: Reading
    prompt: Tensor
    read: list[int]
    room: list[int]
    live: bool
    written: list[list[int]]
    states: list[Tensor] = field(default_factory=list)
    drawn: dict[int, list[Target]] = field(default_factory=dict)
    own: dict[int, int] = field(default_factory=dict)

    @torch.inference_mode()
    def steps(self) -> Iterator[None]:
        """Write the answers word by word; all targets are drawn after the last."""
        words = self.processor.vocabulary
        for tokens, states in foretell(
            self.model.language,
            self.model.speak,
            self.reading,
            most=torch.tensor(self.room, device=self.prompt.device),
            end=words.eos,
        ):
            self.states.append(states)
            for row, token in enumerate(tokens.tolist()):
                if not self._ended(row):
                    self.written[row].append(token)
            yield
        self._draw()

    def _ended(self, row: int) -> bool:
        written = self.written[row]
        return len(written) >= self.room[row] or written[-1:] == [self.processor.vocabulary.eos]

    def draw_written(self) -> None:
        """Draw what has been completed since the last call, if this run is live."""
        if self.live:
            self._draw()

    @torch.inference_mode()
    def _draw(self) -> None:
        """Draw all groups that are complete and not drawn yet, of all rows at once."""
        found: list[tuple[int, Tensor]] = []
        for row, known in enumerate(self.images):
            groups = self.groups(row) if known else []
            done = len(self.drawn.setdefault(row, []))
            found += [(row, self._states(row, columns)) for columns in groups[done:]]
        if not found:
            return
        shown = list({id(known): known for row, _ in found if (known := self.images[row])}.values())
        place = {id(known): index for index, known in enumerate(shown)}
        index = torch.tensor([place[id(self.images[row])] for row, _ in found])
        queries = self.model.queries(torch.stack([states for _, states in found]))
        look = _together([known.look for known in shown])
        masks = self.model.point(queries, look, index.to(queries.device))
        for (row, _), logits, number in zip(found, masks, index.tolist(), strict=True):
            self.drawn[row] += self.processor.targets(logits[None], shown[number].placement)

    def groups(self, row: int) -> list[list[int]]:
        """Return the positions of each target's tokens among prompt and answer."""
        ids = [*self.rows[row], *self.written[row]]
        found: list[list[int]] = self.processor.vocabulary.groups(
            ids, self.model.config.malformed
        )[0]
        return [columns for columns in found if columns[0] >= self.read[row]]

    def _states(self, row: int, columns: Sequence[int]) -> Tensor:
        """Return (G, D): the states that predict the tokens at these positions."""
        length = len(self.rows[row])
        return torch.stack([
            self.states[position - length][row]
            if position >= length
            else self.prompt[row, position - self.read[row]]
            for position in columns
        ])  # fmt: skip

    def targets(self, row: int) -> list[Target]:
        """Return the targets of a row that show; their phrases are not written yet."""
        return [target for target in self.drawn.get(row, []) if target.masks]

    def text(self, row: int) -> str:
        """Return what a row says so far."""
        return str(self.processor.text(self._said(row), groups=self.images[row] is not None))

    def _said(self, row: int) -> list[int]:
        """Return the tokens of a row's answer: what was given of it, and what was written."""
        prompt = self.rows[row]
        return [*prompt[len(prompt) - self.own.get(row, 0) :], *self.written[row]]

    def answers(self) -> list[GroundedAnswer]:
        """Return the answer of each row; one that was cut short says so."""
        answers = []
        for row, ids in enumerate(self.written):
            answer = self.processor.decode(self._said(row), self.drawn.get(row, []))
            if len(ids) >= self.room[row] > 0 and ids[-1:] != [self.processor.vocabulary.eos]:
                cut = f"The answer was cut after {len(ids)} tokens, for which there was room."
                answer = replace(answer, caution=cut)
            answers.append(answer)
        return answers


def _head(ids: Sequence[int]) -> tuple[int, ...]:
    """Return a prompt up to <im_end>, the token after its image; nothing without an image."""
    return tuple(ids[: ids.index(IMAGE) + 2]) if IMAGE in ids else ()


def _alone(look: Look, index: int) -> Look:
    """Return the look at one image of several, in memory of its own."""
    part = slice(index, index + 1)
    return Look(
        features=look.features[:, part].clone(),
        rows=look.rows[part].clone(),
        read=look.read[part].clone(),
    )


def _together(looks: Sequence[Look]) -> Look:
    if len(looks) == 1:
        return looks[0]
    return Look(
        features=torch.cat([look.features for look in looks], 1),
        rows=torch.cat([look.rows for look in looks]),
        read=torch.cat([look.read for look in looks]),
    )
