"""Reasoner: images and a question in, a grounded answer out; alone, in batches, or as a stream."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from deixis.errors import ConfigError
from deixis.models.released import open_model
from deixis.reasoning import looking
from deixis.reasoning.answering import answering
from deixis.reasoning.familiarity import cautions, with_cautions
from deixis.reasoning.given import Given
from deixis.reasoning.looking import Looking
from deixis.reasoning.memory import ObjectMemory
from deixis.reasoning.pixellm import PixelLMEngine
from deixis.reasoning.prima import PrimaEngine
from deixis.reasoning.unipixel import UniPixelEngine
from deixis.structures.answers import GroundedAnswer, Target
from deixis.structures.images import ImageSet
from deixis.structures.opening import open_images
from deixis.structures.prompts import Prompt
from deixis.structures.samples import Question, Sample

# families that do not answer as ours does
ENGINES: dict[str, Any] = {
    "pixellm": PixelLMEngine,
    "prima": PrimaEngine,
    "unipixel": UniPixelEngine,
}


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
        engine = ENGINES.get(model.config.model_type)
        self.engine = engine(self.model, processor) if engine else None
        self.looking = Looking(self.model)

    @property
    def family(self) -> str:
        """Which family the model is of: "deixis", "pixellm", "prima" or "unipixel"."""
        return str(self.model.config.model_type)

    def to(self, device: str | None = None, dtype: str | None = None) -> "Reasoner":
        """Move the model; dtype is "float32", "bfloat16" or "float16"."""
        if device or dtype:
            # what is measured, and what a family keeps exact, stays in its own type
            names = [*(self.model._keep_in_fp32_modules_strict or ()), "familiar"]
            exact = {n: deepcopy(getattr(self.model, n)) for n in names if hasattr(self.model, n)}
            self.model.to(device=device, dtype=getattr(torch, dtype) if dtype else None)
            for name, part in exact.items():
                setattr(self.model, name, part.to(self.model.device))
        self.looking.forget()
        if self.engine:
            self.engine.forget()
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
        *_, last = self._answered(images, question, prompts, live=False)
        assert isinstance(last, GroundedAnswer)
        return last

    def stream(
        self, images: Any, question: str, prompts: Sequence[Prompt] = ()
    ) -> Iterator[str | Target | GroundedAnswer]:
        """Answer as it comes: each target when its masks are drawn, words, and last the answer."""
        yield from self._answered(images, question, prompts, live=True)

    def answer_batch(
        self, samples: Sequence[Sample], *, logits: bool = False
    ) -> list[GroundedAnswer]:
        """Answer questions that do not know of each other, together; no memory.

        Args:
            samples: what is asked.
            logits: whether answers bring what was drawn in the first image, before it was cut at 0.
        """
        answers: list[GroundedAnswer] = []
        with self._keeping(logits):
            for some in together(samples):
                run = self._run(some)
                for _ in run.steps():
                    pass
                answers += self._cautioned(run, some)
        return answers

    @contextmanager
    def _keeping(self, logits: bool) -> Iterator[None]:
        self.processor.keeps_logits = logits
        try:
            yield
        finally:
            self.processor.keeps_logits = False

    def answer_given(
        self, samples: Sequence[Sample], given: Sequence[Given], *, logits: bool = False
    ) -> list[GroundedAnswer]:
        """Answer questions whose answers are begun, or given whole, as published protocols do.

        Args:
            samples: what is asked.
            given: for each what is given of its answer.
            logits: as in `answer_batch`.

        Raises:
            ConfigError: a family that has no such protocol.
        """
        if not isinstance(self.engine, PixelLMEngine | UniPixelEngine):
            raise ConfigError(
                f"{self.name}: expected a PixelLM or UniPixel model, whose answers can be given, "
                f"got {self.family}. Use answer_batch."
            )
        with self._keeping(logits):
            run = self.engine.run(samples, given=given)
            for _ in run.steps():
                pass
            return run.answers()

    def track(self, images: Any, prompts: Sequence[Prompt]) -> Any:
        """Follow what prompts point at along a clip, frame by frame, from any frame both ways.

        Returns:
            A ``ClipTracking``: run it, correct it, save it.

        Raises:
            ConfigError: a model without frame memory.
            DataError: images or prompts that cannot be used.
        """
        if self.engine is None or not hasattr(self.engine, "track"):
            raise ConfigError(
                f"track: expected a model with frame memory, got {self.name}. "
                f"Load a UniPixel model, or ask with answer."
            )
        return self.engine.track(
            images if isinstance(images, ImageSet) else open_images(images), prompts
        )

    # -- inside -----------------------------------------------------------------------------

    def _answered(
        self, images: Any, question: str, prompts: Sequence[Prompt], *, live: bool
    ) -> Iterator[str | Target | GroundedAnswer]:
        """Yield what is known so far, last the answer; unless ``live``, masks may come late."""
        asked = Question(text=question)  # too long a text is refused before anything is noted
        seen = images if isinstance(images, ImageSet) else open_images(images)
        given = self.memory.register(prompts, seen, moving=self.family == "unipixel")
        known = self.memory.mentioned_in(question, seen, given)
        asked = replace(asked, prompts=(*given, *known))
        sample = Sample(images=seen, question=asked)
        run = self._run([sample], live=live)
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

    @torch.inference_mode()
    def _run(self, samples: Sequence[Sample], *, live: bool = False) -> Any:
        """Look at all frames of some questions, and find what is meant."""
        if self.engine:
            return self.engine.run(samples, live=live)
        batch = self.processor.encode(samples)
        sets = {id(s.images): s.images for s in samples}
        keys = [frame.key for images in sets.values() for frame in images]
        wanted = batch.prompts.frame.tolist()
        sight = self.looking.see(keys, batch.pixels, wanted)
        look = self.looking.view(sight, batch.pixels, wanted)
        maps = partial(self.looking.maps, sight, batch.pixels)
        return answering(self.model, self.processor, batch, look, maps)

    @torch.inference_mode()
    def _cautioned(self, run: Any, samples: Sequence[Sample]) -> list[GroundedAnswer]:
        if self.engine:
            answers: list[GroundedAnswer] = run.answers()
            return answers
        reasons = cautions(samples, run.batch, self.model, self.processor)
        return with_cautions(run.answers(), reasons)


def together(samples: Sequence[Sample]) -> Iterator[list[Sample]]:
    """Yield runs of questions whose frames can all keep their maps at once: what is drawn in more
    frames is looked at twice. A longer clip is asked about alone, or with others about it."""
    run: list[Sample] = []
    frames: dict[int, int] = {}
    for sample in samples:
        more = {**frames, id(sample.images): len(sample.images)}
        if run and len(more) > 1 and sum(more.values()) > looking.WHOLE:
            yield run
            run, more = [], {id(sample.images): len(sample.images)}
        run, frames = [*run, sample], more
    if run:
        yield run


def load(
    model: str | Path = "deixis-tiny", *, device: str | None = None, dtype: str | None = None
) -> Reasoner:
    """Load a model by name, or from its folder.

    Raises:
        WeightsError: no model there, or any missing, unexpected or wrongly shaped tensor.
    """
    opened = open_model(model, dtype)
    reasoner = Reasoner(
        opened.model, opened.processor, name=opened.name, fingerprint=opened.fingerprint
    )
    return reasoner.to(device, dtype)
