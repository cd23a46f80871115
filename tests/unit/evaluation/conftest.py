"""A small benchmark of bright rectangles, and a reasoner that looks at nothing but pixels; and the
data sets that the tests of readers write."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from deixis.evaluation.running.benchmarks import Benchmark, Task
from deixis.structures.answers import GroundedAnswer, Target
from deixis.structures.images import Frame, ImageSet
from deixis.structures.masks import Mask
from deixis.structures.numbering import image_name
from deixis.structures.samples import Question, Sample

sys.path.insert(0, str(Path(__file__).parents[1] / "data"))  # the writers of data sets
from tiny_sets import write_all

SIZE = (24, 32)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Return a folder with every data set, tiny."""
    folder = tmp_path_factory.mktemp("tiny")
    write_all(folder)
    return folder


def rectangle(generator: np.random.Generator) -> np.ndarray:
    y, x = generator.integers(0, 12), generator.integers(0, 18)
    pixels = np.zeros(SIZE, dtype=bool)
    pixels[y : y + generator.integers(4, 12), x : x + generator.integers(4, 12)] = True
    return pixels


def painted(index: int) -> Sample:
    """Three grey pictures, one of them with a bright rectangle."""
    generator = np.random.default_rng(index)
    place, shape = int(generator.integers(3)), rectangle(generator)
    pictures = [np.full((*SIZE, 3), 100 + i, dtype=np.uint8) for i in range(3)]
    pictures[place][shape] = (230, 30, 40)
    target = Target(phrase="bright thing", masks={place: Mask(shape)})
    name = image_name(place)
    answer = GroundedAnswer(
        text=f"The bright thing in {name}.",
        targets=(target,),
        spans=((4, 16),),
        conclusion=name,
    )
    return Sample(
        images=ImageSet.pictures([Frame.from_array(one) for one in pictures]),
        question=Question(text="Which image shows a bright thing?"),
        answer=answer,
        id=f"painted-{index}",
        source="tests",
        type="even" if index % 2 == 0 else "odd",
    )


class Looker:
    """Finds the largest saturated blob; remembers what it was asked and what it said."""

    name = "looker"

    def __init__(self, stop_after: int | None = None) -> None:
        self.stop_after = stop_after
        self.asked: list[Sample] = []
        self.said: list[GroundedAnswer] = []

    def answer_batch(self, samples: Sequence[Sample]) -> list[GroundedAnswer]:
        if self.stop_after is not None and len(self.asked) >= self.stop_after:
            raise KeyboardInterrupt
        answers = [self.look(sample) for sample in samples]
        self.asked += samples
        self.said += answers
        return answers

    def look(self, sample: Sample) -> GroundedAnswer:
        found = [(blob.sum(), i, blob) for i, f in enumerate(sample.images) for blob in blobs(f)]
        if not found:
            return GroundedAnswer(text="There is nothing bright.")
        _, place, blob = max(found, key=lambda one: one[0])
        target = Target(phrase="blob", masks={place: Mask(blob)}, presence=0.9)
        name = image_name(place)
        return GroundedAnswer(
            text=f"The blob in {name}.", targets=(target,), spans=((4, 8),), conclusion=name
        )


def blobs(frame: Frame) -> list[np.ndarray]:
    pixels = frame.pixels.astype(int)
    labels, count = ndimage.label(pixels.max(2) - pixels.min(2) > 60)
    return [labels == number for number in range(1, count + 1)]


MULTI = ("giou", "ciou", "miou", "recall", "image_accuracy", "answer_accuracy")


@pytest.fixture
def looker() -> type[Looker]:
    return Looker


@pytest.fixture
def benchmark() -> Benchmark:
    task = Task(measures=MULTI, reordered=True)
    return Benchmark(name="painted", samples=[painted(i) for i in range(10)], task=task, seed=3)


@pytest.fixture
def exchanged(benchmark: Benchmark) -> Benchmark:
    """The same questions, each with the truth of another one."""
    samples = list(benchmark.samples)
    truths = [sample.answer for sample in (*samples[1:], samples[0])]
    mixed = [replace(s, answer=truth) for s, truth in zip(samples, truths, strict=True)]
    return replace(benchmark, samples=mixed)
