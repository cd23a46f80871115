"""What UniPixel minimises: the words of the answer, and the masks of every <seg> (section 9)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from deixis.decoding.promptable import Drawing
from deixis.errors import DataError, ShapeError
from deixis.nn.candidates import CandidateLosses, candidate_losses
from deixis.processing.batch import Output
from deixis.processing.batches.unipixel_batch import UniPixelBatch
from deixis.processing.unipixel import UniPixelProcessor
from deixis.training.unipixel.unipixel_lessons import Teacher
from deixis.training.unipixel.unipixel_recipe import EVERYTHING, Lessons
from deixis.training.unipixel.unipixel_rows import Lesson, collate


@dataclass(frozen=True, kw_only=True, slots=True)
class UniPixelLosses:
    """The loss of a batch and its parts.

    Attributes:
        text: cross-entropy of the scored tokens.
        masks: for each row the sums over its frames, None where it has no target.
        lengths: for each row its frames.
    """

    text: Tensor
    masks: tuple[CandidateLosses | None, ...]
    lengths: tuple[int, ...]

    @property
    def total(self) -> Tensor:
        """The text's loss and the mean over rows of the masks' loss of a frame."""
        rows = [
            parts.total / length if parts is not None else self.text.new_zeros(())
            for parts, length in zip(self.masks, self.lengths, strict=True)
        ]
        return self.text + torch.stack(rows).mean()


def unipixel_losses(output: Output, batch: UniPixelBatch) -> UniPixelLosses:
    """Compare what the model said and drew with the truth.

    Frames that are drawn alone count as one frame each: the same mean as of a clip.

    Raises:
        ShapeError: a row with another number of true objects than of <seg>.
    """
    assert batch.truth is not None, "to learn, give true answers"
    assert output.text_logits is not None
    logits, labels = output.text_logits[:, :-1], batch.truth.labels[:, 1:]
    text = F.cross_entropy(logits.flatten(0, 1).float(), labels.flatten(), ignore_index=-100)
    masks = tuple(
        _of_clip(track, truth) for track, truth in zip(output.extra, batch.truth.masks, strict=True)
    )
    return UniPixelLosses(text=text, masks=masks, lengths=tuple(len(clip) for clip in batch.clips))


def _of_clip(track: tuple[Drawing, ...], truth: Tensor) -> CandidateLosses | None:
    if not track:
        return None
    if truth.shape[:2] != (len(track), len(track[0].mask_logits)):
        raise ShapeError(
            f"true masks: expected {len(track)} frames of {len(track[0].mask_logits)} objects, "
            f"got {tuple(truth.shape[:2])}. Give one true object for each <seg>."
        )
    losses = [
        candidate_losses(d.candidates, d.candidate_scores, d.presence_logits, true)
        for d, true in zip(track, truth, strict=True)
    ]
    total = losses[0]
    for one in losses[1:]:
        total = total + one
    return total


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
