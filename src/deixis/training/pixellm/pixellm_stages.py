"""What PixelLM's own stages minimise: answers in words and masks, and the paper's stage."""

import logging
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from random import Random
from typing import Any

from torch import Tensor, nn

from deixis.errors import ConfigError
from deixis.processing.batches.pixellm_batch import PixelLMBatch
from deixis.processing.lessons.pixellm_lessons import Lesson, named_lessons, own_lesson, teach
from deixis.processing.pixellm import PixelLMProcessor
from deixis.scenes.knowing.asked import Asked
from deixis.scenes.questions import Scene
from deixis.training.pixellm.pixellm_objective import PixelLMObjective
from deixis.training.pixellm.pixellm_recipe import PIXELLM, learning, published_parts, text_room

logger = logging.getLogger("deixis.training")

WISHED, NAMED = 0.25, 0.25  # shares of own questions that wish for masks; of scenes asked by names


class AnswerObjective:
    """Teaches questions and answers with the published losses; the refinement weighs 0 as published
    and 2 as in the paper."""

    weights: Mapping[str, float] = PIXELLM.losses

    def __init__(self, processor: PixelLMProcessor) -> None:
        self.processor = processor
        self.dropped = 0  # targets cut off so far

    def collate(self, scenes: Sequence[Scene]) -> PixelLMBatch:
        """Write every scene's questions: in their own words, or by names as the recipe deals them.

        Raises:
            DataError: a sample that PixelLM cannot read.
        """
        return self.written(scenes)[0]

    def written(self, scenes: Sequence[Any]) -> tuple[PixelLMBatch, list[Asked | None]]:
        """Return every scene's questions as a batch, and what each row asks; None: by names."""
        pairs = [pair for scene in scenes for pair in self._lessons(scene)]
        lessons = [lesson for lesson, _ in pairs]
        batch = teach(self.processor, lessons, most=text_room(self.processor.config))
        return batch, [asked for _, asked in pairs]

    def _lessons(self, scene: Any) -> Sequence[tuple[Lesson, Asked | None]]:
        """Write the questions about one image."""
        samples = scene.samples
        random = Random(f"{samples[0].id}/{samples[0].question.text}")
        if random.random() < NAMED:
            dealt = named_lessons(
                self.processor, samples, random, questions=len(samples), targets=PIXELLM.targets
            )
            if dealt:
                return [(lesson, None) for lesson in dealt]
        wished = [random if random.random() < WISHED else None for _ in samples]
        lessons = [own_lesson(self.processor, *pair) for pair in zip(samples, wished, strict=True)]
        return list(zip(lessons, scene.asked, strict=True))

    def __call__(self, model: Any, batch: PixelLMBatch) -> dict[str, Tensor]:
        assert batch.truth is not None
        self._count(batch.truth.dropped)
        refine = self.weights["refinement"] > 0
        losses = PixelLMObjective(text=1.0, bce=1.0, dice=1.0, refine=refine)
        parts = losses(model(batch), batch)
        return {name: part * self.weights[name] for name, part in parts.items()}

    def _count(self, dropped: int) -> None:
        """Count what was cut off, and say so, more and more rarely."""
        before, self.dropped = self.dropped, self.dropped + dropped
        if before.bit_length() != self.dropped.bit_length():
            logger.info("targets of samples too long, cut off and left out: %d", self.dropped)


class PaperObjective(AnswerObjective):
    """The paper's stage: the same losses, and exactly the published parts may learn."""

    def __init__(self, processor: PixelLMProcessor) -> None:
        super().__init__(processor)
        self.checked = False

    def __call__(self, model: Any, batch: PixelLMBatch) -> dict[str, Tensor]:
        """Return the parts of the loss.

        Raises:
            ConfigError: other parameters learn than those that the paper's stage trains.
        """
        if not self.checked:
            check_published_parts(model)
            self.checked = True
        return super().__call__(model, batch)


def check_published_parts(model: nn.Module) -> None:
    """Check that exactly the parts of the published stage learn, with the neck or without it.

    Raises:
        ConfigError: names a parameter that learns and should not, or the other way round.
    """
    own = learning(model)
    names = [name for name, _ in model.named_parameters()]
    wanted = {
        neck: {
            name
            for name in names
            if any(fnmatchcase(name, one.name) for one in published_parts(neck=neck))
        }
        for neck in (True, False)
    }
    if own in wanted.values():
        return
    surplus, missing = sorted(own - wanted[True]), sorted(wanted[False] - own)
    said = f"{surplus[0]} learning too" if surplus else f"{(missing or ['a part'])[0]} frozen"
    raise ConfigError(
        f"train: expected exactly the {len(wanted[True])} parameters of the paper's stage to learn "
        f"({len(wanted[False])} without neck and prompts), got {len(own)}, {said}. "
        f"Name {', '.join(one.name for one in published_parts())}."
    )
