"""What is counted of one answer in a published protocol: answers -> the arrays that it takes.

A predicted answer becomes masks by position, one union, boxes or words, as the protocol asks; the
truth comes as maps of labels from the reader. Shapes: N true and M predicted masks of (H, W).
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from deixis.data.annotations.rows import LazySamples
from deixis.errors import ConfigError
from deixis.metrics.images.boxes import corners, tight_box
from deixis.metrics.protocols import Protocol, find_protocol
from deixis.metrics.sums import Tally
from deixis.structures.answers import GroundedAnswer
from deixis.structures.samples import Sample

MISSING = "no prediction"  # the caution of an answer that another system did not give
LOGIT = 10.0  # of a mask's pixels, where a protocol wants logits and only masks are known
OPTION = re.compile(r"^\(([A-Z])\) (.*)$", re.MULTILINE)
KINDS = ("referring", "reasoning")
GREY = 255  # the value of object pixels in the pictures that VISA and UniPixel write


class Counting(ABC):
    """Counts one benchmark in one protocol.

    Attributes:
        says: what the protocol does that another would do otherwise.
        notes: what a reader of the figures must know besides.
        wants_logits: whether what models draw is scored before it is cut at 0.
    """

    wants_logits = False

    def __init__(self, samples: LazySamples, metric: str, protocol: str) -> None:
        self.samples = samples
        self.protocol: Protocol = find_protocol(metric, protocol)[1]
        self.clean = protocol == "clean"
        self.says = self.protocol.says
        self.notes: dict[str, str] = {}

    @abstractmethod
    def measure(self, index: int, sample: Sample, predicted: GroundedAnswer) -> Tally:
        """Return the tally of a sample."""

    def result(self, tally: Tally) -> dict[str, float]:
        """Return the figures of a tally."""
        return self.protocol.result(tally)

    def overall(self) -> dict[str, float]:
        """Return figures that are no sums over samples."""
        return {}

    def overall_intervals(self) -> dict[str, list[float]]:
        """Return the 95 % intervals of those figures, where they can be had."""
        return {}


class Masks(Counting):
    """Masks of one image, paired by position or at best."""

    def measure(self, index: int, sample: Sample, predicted: GroundedAnswer) -> Tally:
        """Return the tally of a sample."""
        true = self.samples.labels(index)
        masks = masks_of(predicted, true.shape[1:])
        return self.protocol.measure(true, masks if self.clean else in_place(masks, predicted))


class AnswerMasks(Counting):
    """Masks of one image against those of the true answer."""

    def measure(self, index: int, sample: Sample, predicted: GroundedAnswer) -> Tally:
        """Return the tally of a sample."""
        size = sample.images[0].size
        assert sample.answer is not None  # the evaluator checks
        return self.protocol.measure(masks_of(sample.answer, size), masks_of(predicted, size))


class OneMask(Counting):
    """The first true and the first predicted mask."""

    def measure(self, index: int, sample: Sample, predicted: GroundedAnswer) -> Tally:
        """Return the tally of a sample."""
        true = self.samples.labels(index)[0]
        return self.protocol.measure(true, first_mask(predicted, true.shape))


class MaskAndBox(Counting):
    """One mask, polygons united, and the box around it."""

    def measure(self, index: int, sample: Sample, predicted: GroundedAnswer) -> Tally:
        """Return the tally of a sample."""
        true = signed(self.samples.labels(index)[0])
        box = corners(self.samples.more(index)[0])
        return self.protocol.measure(true, first_mask(predicted, true.shape), box)


class MaskOnly(Counting):
    """One mask, as UniPixel scores ReasonSeg: there are no boxes."""

    def measure(self, index: int, sample: Sample, predicted: GroundedAnswer) -> Tally:
        """Return the tally of a sample."""
        true = signed(self.samples.labels(index)[0])
        tally = self.protocol.measure(true, first_mask(predicted, true.shape), (0, 0, 1, 1))
        tally.sums.pop("box_accuracy")
        return tally


class NoTarget(Counting):
    """One union of masks, or the word that nothing is meant."""

    def measure(self, index: int, sample: Sample, predicted: GroundedAnswer) -> Tally:
        """Return the tally of a sample."""
        true = self.samples.labels(index)[0] > 0
        guess = union_of(predicted, len(sample.images), true.shape)[0]
        if self.clean:
            return self.protocol.measure(true, guess)
        return self.protocol.measure(
            true, guess, no_target=not true.any(), predicted_none=not predicted.targets
        )


class Boxes(Counting):
    """Boxes around the predicted masks."""

    def measure(self, index: int, sample: Sample, predicted: GroundedAnswer) -> Tally:
        """Return the tally of a sample."""
        true = [corners(box) for box in self.samples.more(index)]
        found = [
            (tight_box(mask.pixels), 1.0 if target.score is None else target.score)
            for target in predicted.targets
            for mask in target.masks.values()
        ]
        boxes = [(box, score) for box, score in found if box is not None]
        return self.protocol.measure(
            true, [box for box, _ in boxes], [s for _, s in boxes], no_target=not true
        )


class Expressions(Counting):
    """Clips: the union of all that is predicted, frame by frame."""

    def measure(self, index: int, sample: Sample, predicted: GroundedAnswer) -> Tally:
        """Return the tally of a sample."""
        true = self.samples.labels(index)
        return self.protocol.measure(true, clip_of(predicted, true.shape))


class Clips(Counting):
    """Clips with DAVIS's statistics along them."""

    def measure(self, index: int, sample: Sample, predicted: GroundedAnswer) -> Tally:
        """Return the tally of a sample."""
        true = self.samples.labels(index) > 0
        return self.protocol.measure(true, union_of(predicted, len(true), true.shape[1:]))


class Robust(Counting):
    """ReVOS: clips, and the pixels of any object beside."""

    def measure(self, index: int, sample: Sample, predicted: GroundedAnswer) -> Tally:
        """Return the tally of a sample."""
        true = self.samples.labels(index)
        guess = clip_of(predicted, true.shape)
        grey = None if guess is None else guess.astype(np.uint8) * np.uint8(GREY)
        kind = KINDS.index(sample.type) if sample.type in KINDS else 0
        return self.protocol.measure(true, grey, self.samples.more(index), kind)


class Choices(Counting):
    """Multiple choice: the option that the words name."""

    def measure(self, index: int, sample: Sample, predicted: GroundedAnswer) -> Tally:
        """Return the tally of a sample."""
        return graded(self.protocol, sample, predicted)


class PointedVolumes(Counting):
    """PixelQA: the masks of each object that is pointed at, and the option that the words name."""

    def __init__(self, samples: LazySamples, metric: str, protocol: str) -> None:
        super().__init__(samples, metric, protocol)
        self.words = find_protocol("choices", "clean" if self.clean else "unipixel")[1]

    def measure(self, index: int, sample: Sample, predicted: GroundedAnswer) -> Tally:
        """Return the tally of a sample."""
        objects = sorted({p.object_id for p in sample.question.prompts if p.object_id is not None})
        shape = (len(objects), len(sample.images), *sample.images[0].size)
        assert sample.answer is not None  # the evaluator checks
        true, guess = (volumes(a, objects, shape) for a in (sample.answer, predicted))
        tally = self.protocol.measure(true, guess)
        if OPTION.search(sample.question.text):
            graded_ones = graded(self.words, sample, predicted)
            graded_ones.samples = 0
            tally += graded_ones
        return tally

    def result(self, tally: Tally) -> dict[str, float]:
        """Return J, F, their mean and the accuracy."""
        words = Tally(0, {k: v for k, v in tally.sums.items() if k == "accuracy"})
        accuracy = self.words.result(words)
        scale = 1 if self.clean else 100
        masks = Tally(tally.samples, {k: v for k, v in tally.sums.items() if k in {"j", "f", "jf"}})
        return {**self.protocol.result(masks), **{k: scale * v for k, v in accuracy.items()}}


def masks_of(answer: GroundedAnswer, size: Sequence[int]) -> np.ndarray:
    """Return the masks (M, H, W) of an answer's targets in the first image, in its order."""
    masks = [target.masks[0].pixels for target in answer.targets if 0 in target.masks]
    return np.stack(masks) if masks else np.zeros((0, *size), dtype=bool)


def in_place(masks: np.ndarray, answer: GroundedAnswer) -> np.ndarray:
    """Return an answer's masks (M, H, W) with an empty one for each that was drawn and is empty."""
    if answer.drawn is None or sum(answer.drawn) != len(masks):
        return masks
    total = np.zeros((len(answer.drawn), *masks.shape[1:]), dtype=bool)
    total[np.flatnonzero(answer.drawn)] = masks
    return total


def logits_of(masks: np.ndarray) -> np.ndarray:
    """Return logits (M, H, W) float32 for masks of which no logits are known."""
    return np.where(masks, LOGIT, -LOGIT).astype(np.float32)


def first_mask(answer: GroundedAnswer, size: Sequence[int]) -> np.ndarray:
    """Return the first of an answer's masks, (H, W); an empty one where there is none."""
    masks = in_place(masks_of(answer, size), answer)
    return masks[0] if len(masks) else np.zeros(tuple(size), dtype=bool)


def union_of(answer: GroundedAnswer, frames: int, size: Sequence[int]) -> np.ndarray:
    """Return the pixels of any target, (T, H, W)."""
    total = np.zeros((frames, *size), dtype=bool)
    for target in answer.targets:
        for frame, mask in target.masks.items():
            total[frame] |= mask.pixels
    return total


def clip_of(answer: GroundedAnswer, shape: Sequence[int]) -> np.ndarray | None:
    """Return the pixels of any target, (T, H, W); None where there is no prediction at all."""
    return None if answer.caution == MISSING else union_of(answer, shape[0], shape[1:])


def signed(labels: np.ndarray) -> np.ndarray:
    """Return labels (H, W) with -1 where pixels are left out."""
    return np.where(labels == 255, -1, labels > 0).astype(np.int16)


def volumes(answer: GroundedAnswer, objects: Sequence[int], shape: Sequence[int]) -> np.ndarray:
    """Return the masks (O, T, H, W) of objects: by their number, else by position."""
    total = np.zeros(tuple(shape), dtype=bool)
    for place, target in enumerate(answer.targets):
        number = target.object_id
        row = objects.index(number) if number in objects else place
        if row < len(total):
            for frame, mask in target.masks.items():
                total[row, frame] |= mask.pixels
    return total


def graded(protocol: Protocol, sample: Sample, predicted: GroundedAnswer) -> Tally:
    """Return the tally of a multiple choice."""
    from deixis.metrics.words import choices

    options = [f"({letter}) {text}" for letter, text in OPTION.findall(sample.question.text)]
    assert sample.answer is not None  # the evaluator checks
    letter = sample.answer.conclusion
    if letter is None or not options:
        raise ConfigError(f"{sample.id}: expected options and a true letter, got none.")
    said: str = predicted.text
    inputs: Mapping[Any, tuple[Any, ...]] = {
        choices.measure: (letter, len(options)),
        choices.measure_videorefer: (f"({letter})",),
        choices.measure_exact: (sample.answer.text,),
        choices.measure_clean: (letter, options),
    }
    return protocol.measure(said, *inputs[protocol.measure], sample.type)
