"""Reasoner: images and a question in, a grounded answer out; alone, in batches, or as a stream."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch

from deixis.models.released import open_model
from deixis.processing.batch import Batch
from deixis.reasoning.answering import Answering, answering
from deixis.reasoning.familiarity import cautions, with_cautions
from deixis.reasoning.memory import ObjectMemory
from deixis.relation.objects import Look
from deixis.structures.answers import GroundedAnswer, Target
from deixis.structures.images import ImageSet
from deixis.structures.opening import open_images
from deixis.structures.prompts import Prompt
from deixis.structures.samples import Question, Sample

LONG = 96  # frames of one batch from which masks are drawn at a second look
KEPT_FRAMES = 48  # frames whose look is kept for further questions about them
CHUNK = 16  # frames that are looked at together


class Reasoner:
    """Answers questions about images in words and pixels.

    Attributes:
        name: of the model.
        memory: the objects of this conversation; ``answer`` and ``stream`` use and fill it.

    Example:
        >>> import deixis
        >>> from deixis.scenes.questions import make_sample
        >>> sample = make_sample("test", "refer", 1, 0)
        >>> deixis.load("deixis-tiny").answer(sample.images, sample.question.text).text[-1]
        '.'
    """

    def __init__(self, model: Any, processor: Any, *, name: str, fingerprint: str = "") -> None:
        self.model = model.eval()
        self.processor = processor
        self.name = name
        self.fingerprint = fingerprint
        self.memory = ObjectMemory()
        self._looks: OrderedDict[tuple[str, ...], Look] = OrderedDict()

    def to(self, device: str | None = None, dtype: str | None = None) -> "Reasoner":
        """Move the model; dtype is "float32", "bfloat16" or "float16"."""
        if device or dtype:
            exact = deepcopy(self.model.familiar)  # what is measured stays in its own type
            self.model.to(device=device, dtype=getattr(torch, dtype) if dtype else None)
            self.model.familiar = exact.to(self.model.device)
        self._looks.clear()
        return self

    def answer(
        self, images: Any, question: str, prompts: Sequence[Prompt] = ()
    ) -> GroundedAnswer:
        """Answer a question about images: paths, bytes, PIL, numpy, folders, videos, or a set.

        Points, boxes and regions are in pixels of their original image. "[2]" or "[cup]" in the
        question means an object of this conversation.

        Raises:
            DataError: images, prompts or handles that cannot be used.
        """
        *_, last = self.stream(images, question, prompts)
        assert isinstance(last, GroundedAnswer)
        return last

    def stream(
        self, images: Any, question: str, prompts: Sequence[Prompt] = ()
    ) -> Iterator[str | Target | GroundedAnswer]:
        """Answer as it comes: each target when its masks are drawn, words, and last the answer."""
        seen = images if isinstance(images, ImageSet) else open_images(images)
        given = self.memory.register(prompts, seen)
        known = self.memory.mentioned_in(question, seen, given)
        asked = Question(text=question, prompts=(*given, *known))
        sample = Sample(images=seen, question=asked)
        run = self._run([sample])
        yield from run.targets(0)
        said, shown = "", len(run.targets(0))
        for _ in run.steps():
            run.draw_written()
            yield from run.targets(0)[shown:]
            shown = len(run.targets(0))
            text = run.text(0)
            if text.startswith(said) and not text.endswith("\N{REPLACEMENT CHARACTER}"):
                if text != said:
                    yield text[len(said) :]
                said = text
        answer = self._cautioned(run, [sample])[0]
        yield self.memory.remember(answer, seen, (*given, *known))

    def answer_batch(self, samples: Sequence[Sample]) -> list[GroundedAnswer]:
        """Answer questions that do not know of each other, together; no memory."""
        if not samples:
            return []
        run = self._run(samples)
        for _ in run.steps():
            pass
        return self._cautioned(run, samples)

    # -- inside -----------------------------------------------------------------------------

    def _run(self, samples: Sequence[Sample]) -> Answering:
        with torch.inference_mode():
            batch = self.processor.encode(samples)
            look = self._look(samples, batch)
            return answering(self.model, self.processor, batch, look)

    def _look(self, samples: Sequence[Sample], batch: Batch) -> Look:
        """Look at all frames of a batch, a chunk at a time; the same images are not seen twice."""
        sets = {id(s.images): s.images for s in samples}
        count = len(batch.pixels)
        few = count <= KEPT_FRAMES
        key = tuple(frame.key for images in sets.values() for frame in images) if few else ()
        if key and key in self._looks:
            self._looks.move_to_end(key)
            return self._looks[key]
        device = self.model.device
        wanted = torch.zeros(count, dtype=torch.bool, device=device)
        wanted[batch.prompts.frame.to(device)] = True
        chunks = []
        for start in range(0, count, CHUNK):
            chunk = self.model.vision.look(batch.pixels[start : start + CHUNK].to(device))
            chunks.append(chunk.thinned(wanted[start : start + CHUNK]) if count > LONG else chunk)
        look = Look.join(chunks)
        if key:
            self._looks[key] = look
            while sum(len(k) for k in self._looks) > KEPT_FRAMES:
                self._looks.popitem(last=False)
        return look

    @torch.inference_mode()
    def _cautioned(self, run: Answering, samples: Sequence[Sample]) -> list[GroundedAnswer]:
        reasons = cautions(samples, run.batch, self.model, self.processor)
        return with_cautions(run.answers(), reasons)


def load(
    model: str | Path = "deixis-tiny", *, device: str | None = None, dtype: str | None = None
) -> Reasoner:
    """Load a model by name, or from its folder.

    Raises:
        WeightsError: no model there, or any missing, unexpected or wrongly shaped tensor.
    """
    opened = open_model(model)
    reasoner = Reasoner(
        opened.model, opened.processor, name=opened.name, fingerprint=opened.fingerprint
    )
    return reasoner.to(device, dtype)
