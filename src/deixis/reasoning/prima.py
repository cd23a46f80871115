"""Answers questions about sets of images with PRIMA: words first, masks in the images they name.

Every image is looked at once and its look kept for further questions. The state that predicts a
[SEG] is kept while the answer is written, so that nothing is read twice; which image a mask
belongs to may be known only by what follows it.

Shapes: B rows, D language width, M targets, P patches, C widths, h w cells.
"""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from deixis.errors import DataError
from deixis.language.generate import Reading, foretell
from deixis.language.prefix import go_on_from, read_prefixes
from deixis.models.prima import Look, Seen, Slots
from deixis.processing.batch import Output
from deixis.processing.batches.prima_batch import PrimaBatch
from deixis.structures.answers import GroundedAnswer, Target
from deixis.structures.samples import Sample

KEPT_IMAGES = 32  # whose looks are kept for further questions; 6 MB each for a 7B in float32


class PrimaEngine:
    """Runs questions through one model, and remembers the last images.

    Args:
        model: PRIMA.
        processor: its words and views.
    """

    def __init__(self, model: Any, processor: Any) -> None:
        self.model, self.processor = model, processor
        self._known: OrderedDict[str, Look] = OrderedDict()

    def forget(self) -> None:
        """Forget all images, since the model is no longer the same."""
        self._known.clear()

    @torch.inference_mode()
    def run(self, samples: Sequence[Sample], *, live: bool = False) -> "PrimaAnswering":
        """Begin to answer questions together; ``live`` draws each target when it is settled.

        Raises:
            DataError: what PRIMA cannot read.
        """
        batch = self.processor.encode(samples)
        sets = {id(s.images): s.images for s in samples}
        look = self._look(batch, [frame.key for images in sets.values() for frame in images])
        batch = replace(batch, pixels=batch.pixels[:0], canvas=batch.canvas[:0])  # seen already
        batch = batch.to(self.model.device)
        seen = self.model.see(batch, look)
        lengths = seen.lengths.sum(1)
        width = int(lengths.max())
        steps = torch.arange(width, device=lengths.device).expand(len(lengths), -1)
        language = self.model.language.model
        prefixes = read_prefixes(language, seen.embedded, seen.held, steps)
        return PrimaAnswering(
            model=self.model,
            processor=self.processor,
            batch=batch,
            seen=seen,
            reading=go_on_from(language, prefixes),
            room=self._room(lengths.tolist()),
            live=live,
            written=[[] for _ in samples],
        )

    def _look(self, batch: PrimaBatch, keys: Sequence[str]) -> Look:
        """Look at the frames that are new, and return what is known of all."""
        device = self.model.device
        found: dict[str, Look] = {}
        for place, key in enumerate(keys):
            if key not in found:
                part = slice(place, place + 1)
                pixels, canvas = batch.pixels[part].to(device), batch.canvas[part].to(device)
                found[key] = self._known.get(key) or self.model.look(pixels, canvas)
        for key, look in found.items():
            self._known[key] = look
            self._known.move_to_end(key)
        while len(self._known) > KEPT_IMAGES:
            self._known.popitem(last=False)
        looks = [found[key] for key in keys]
        return Look(
            vision=torch.cat([look.vision for look in looks]),
            masks=torch.cat([look.masks for look in looks]),
        )

    def _room(self, lengths: Sequence[int]) -> list[int]:
        """Return how many tokens may be written after each prompt, one at least.

        Raises:
            DataError: a prompt that fills the model's context.
        """
        most = self.model.config.text_config.max_position_embeddings
        for length in lengths:
            if length >= most:
                raise DataError(
                    f"question: expected fewer than {most} positions with its images (the "
                    f"model's context), got {length}. Ask more shortly, or about fewer images."
                )
        return [min(self.model.config.most_answer, most - length) for length in lengths]


@dataclass(kw_only=True)
class PrimaAnswering:
    """Rows that are being answered.

    Attributes:
        batch, seen: what is asked, and all that is known before the first word.
        room: (B) tokens that may be written. written: (B) token ids so far.
        states: the state (B, D) that predicted each token.
        drawn: (row, column of its [SEG]) -> mask logits (h, w) and estimated IoU.
    """

    model: Any
    processor: Any
    batch: PrimaBatch
    seen: Seen
    reading: Reading
    room: list[int]
    live: bool
    written: list[list[int]]
    states: list[Tensor] = field(default_factory=list)
    drawn: dict[tuple[int, int], tuple[Tensor, Tensor]] = field(default_factory=dict)

    @torch.inference_mode()
    def steps(self) -> Iterator[None]:
        """Write the answers word by word; what is not drawn yet is drawn after the last."""
        for tokens, states in foretell(
            self.model.language.model,
            self.model.language.lm_head,
            self.reading,
            most=torch.tensor(self.room, device=self.batch.device),
            end=self.processor.words.vocabulary.eos,
        ):
            self.states.append(states)
            for row, token in enumerate(tokens.tolist()):
                if not self._ended(row):
                    self.written[row].append(token)
            yield
        self._draw(self.written)

    def _ended(self, row: int) -> bool:
        written = self.written[row]
        return len(written) >= self.room[row] or self._closed(row)

    def _closed(self, row: int) -> bool:
        return self.written[row][-1:] == [self.processor.words.vocabulary.eos]

    def draw_written(self) -> None:
        """Draw the phrases that are settled since the last call, if this run is live."""
        if self.live:
            self._draw([self._settled(row) for row in range(len(self.written))])

    def _settled(self, row: int) -> list[int]:
        """Return what was written before the last phrase: all its masks have their images."""
        ids = self.written[row]
        if self._ended(row):
            return ids
        begun = [at for at, token in enumerate(ids) if token == self.model.config.phrase_token]
        return ids[: begun[-1]] if begun else []

    @torch.inference_mode()
    def _draw(self, written: Sequence[Sequence[int]]) -> None:
        """Draw the masks that these tokens ask for and that are not drawn yet."""
        slots = self.processor.slots(written, self.batch)
        places = list(zip(slots.row.tolist(), slots.column.tolist(), strict=True))
        new = [index for index, place in enumerate(places) if place not in self.drawn]
        if not new:
            return
        hidden = torch.stack([self.states[places[i][1]][places[i][0]] for i in new])
        frame = slots.frame[new].to(hidden.device)
        output = self.model.point(Slots(hidden=hidden, frame=frame), self.seen)
        for index, logits, score in zip(new, output.mask_logits, output.score, strict=True):
            self.drawn[places[index]] = (logits, score)

    def targets(self, row: int) -> list[Target]:
        """Return the targets of a row that show and are settled."""
        if not any(place[0] == row for place in self.drawn):
            return []
        written = [self._settled(r) if r == row else [] for r in range(len(self.written))]
        return list(self.processor.decode(written, self._output(written), self.batch)[row].targets)

    def text(self, row: int) -> str:
        """Return what a row says so far."""
        return str(self.processor.words.so_far(self.written[row]))

    def answers(self) -> list[GroundedAnswer]:
        """Return the answer of each row; one that was cut short says so."""
        answers = self.processor.decode(self.written, self._output(self.written), self.batch)
        for row, answer in enumerate(answers):
            if not self._closed(row):
                cut = f"The answer was cut after {len(self.written[row])} tokens."
                caution = " ".join(filter(None, (answer.caution, cut)))
                answers[row] = replace(answer, caution=caution)
        return list(answers)

    def _output(self, written: Sequence[Sequence[int]]) -> Output:
        """Return what was drawn for these tokens, in their order."""
        slots = self.processor.slots(written, self.batch)
        places = zip(slots.row.tolist(), slots.column.tolist(), strict=True)
        drawn = [self.drawn[place] for place in places]
        empty = self.seen.features.new_zeros(0, 1, 1)
        count = torch.arange(len(drawn))
        image = torch.arange(self.seen.num_images)
        return Output(
            mask_logits=torch.stack([logits for logits, _ in drawn]) if drawn else empty,
            target=count,
            frame=slots.frame,
            presence=(self.batch.layout.image.cpu()[slots.frame][:, None] == image).float(),
            score=torch.stack([score for _, score in drawn]) if drawn else empty[:, 0, 0],
        )
