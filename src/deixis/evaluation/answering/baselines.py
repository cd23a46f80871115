"""What luck gives: answers that ignore the question.

Shuffled answers are true ones of another question; random ones point at anything in the images.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from deixis.config import pick
from deixis.errors import ConfigError
from deixis.evaluation.running.benchmarks import Benchmark, SceneSamples
from deixis.scenes.questions import make_scene
from deixis.scenes.world import WorldKey
from deixis.structures.answers import GroundedAnswer, Target
from deixis.structures.masks import Mask
from deixis.structures.samples import Sample

PHRASE = "this"


class Shuffled:
    """Answers each question with the truth of the next one, laid over these images."""

    def __init__(self, benchmark: Benchmark) -> None:
        self.name = "baseline:shuffle"
        self._samples = benchmark.samples
        self._places = _Places(benchmark.samples)

    def answer_batch(self, samples: Sequence[Sample]) -> list[GroundedAnswer]:
        """Return one answer per sample."""
        return [self._answer(sample) for sample in samples]

    def _answer(self, sample: Sample) -> GroundedAnswer:
        another = (self._places.of(sample) + 1) % len(self._samples)
        truth = self._samples[another].answer
        return laid_over(truth or GroundedAnswer(text=""), sample)


class RandomThing:
    """Answers each question with any object, or any part of one, that its images show."""

    def __init__(self, benchmark: Benchmark) -> None:
        if not isinstance(benchmark.samples, SceneSamples):
            raise ConfigError(
                f"baseline random: expected scenes:TASK, got {benchmark.name}. "
                f"Only scenes know every object; use shuffle."
            )
        self.name = "baseline:random"
        self._samples = benchmark.samples
        self._places = _Places(benchmark.samples)

    def answer_batch(self, samples: Sequence[Sample]) -> list[GroundedAnswer]:
        """Return one answer per sample."""
        return [self._answer(sample) for sample in samples]

    def _answer(self, sample: Sample) -> GroundedAnswer:
        place = self._places.of(sample)
        things = list(everything(self._samples, place))
        generator = np.random.default_rng([self._samples.seed, place])
        masks = things[generator.integers(len(things))]
        target = Target(phrase=PHRASE, masks=masks, presence=1.0)
        answer = GroundedAnswer(text=PHRASE, targets=(target,), spans=((0, len(PHRASE)),))
        return laid_over(answer, sample)


class Oracle:
    """Answers each question with its truth: what a protocol leaves of a perfect answer."""

    def __init__(self, benchmark: Benchmark) -> None:
        self.name = "baseline:oracle"
        self._samples = benchmark.samples
        self._places = _Places(benchmark.samples)

    def answer_batch(self, samples: Sequence[Sample]) -> list[GroundedAnswer]:
        """Return one answer per sample."""
        truths = [self._samples[self._places.of(sample)].answer for sample in samples]
        return [truth or GroundedAnswer(text="") for truth in truths]


class Empty:
    """Answers nothing to every question."""

    def __init__(self, benchmark: Benchmark) -> None:
        self.name = "baseline:empty"

    def answer_batch(self, samples: Sequence[Sample]) -> list[GroundedAnswer]:
        """Return one answer per sample."""
        return [GroundedAnswer(text="") for _ in samples]


Baseline = Shuffled | RandomThing | Oracle | Empty
BASELINES: Mapping[str, Callable[[Benchmark], Baseline]] = {
    "shuffle": Shuffled,
    "random": RandomThing,
    "oracle": Oracle,
    "empty": Empty,
}


def make_baseline(name: str, benchmark: Benchmark) -> Baseline:
    """Return the baseline of that name for a benchmark.

    Raises:
        ConfigError: no such baseline, or one that cannot answer this benchmark.
    """
    return pick(BASELINES, name, "baseline")(benchmark)


def laid_over(answer: GroundedAnswer, sample: Sample) -> GroundedAnswer:
    """Return another question's answer with those masks that fit this sample's images."""
    kept = []
    for target, span in zip(answer.targets, answer.spans, strict=True):
        masks = {
            index: mask
            for index, mask in target.masks.items()
            if index < len(sample.images) and sample.images[index].size == mask.size
        }
        if masks:
            kept.append((Target(phrase=target.phrase, masks=masks, presence=1.0), span))
    return GroundedAnswer(
        text=answer.text,
        targets=tuple(target for target, _ in kept),
        spans=tuple(span for _, span in kept),
        conclusion=answer.conclusion,
        absent=answer.absent,
    )


def everything(samples: SceneSamples, place: int) -> Iterator[dict[int, Mask]]:
    """Yield the masks of every object, and of every part of one, that a sample's images show."""
    key = WorldKey(split=samples.split, task=samples.task, seed=samples.seed, index=place)
    maps = make_scene(key).renderings
    ids = sorted({int(i) for one in maps for i in np.unique(one.things)} - {0})
    for thing in ids:
        covered = [one.things == thing for one in maps]  # (H, W) for each frame
        yield _masks(covered)
        parts = {int(p) for one, at in zip(maps, covered, strict=True) for p in one.parts[at]}
        for part in sorted(parts - {0}):
            pairs = zip(maps, covered, strict=True)
            yield _masks([at & (one.parts == part) for one, at in pairs])


def _masks(covered: Sequence[np.ndarray]) -> dict[int, Mask]:
    return {index: Mask(pixels) for index, pixels in enumerate(covered) if pixels.any()}


class _Places:
    """Finds the place of a question in its benchmark; looks only as far as it was asked."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        self._samples = samples
        self._known: dict[tuple[str, str], int] = {}
        self._looked = 0  # samples before this one are known

    def of(self, sample: Sample) -> int:
        """Return the index of the sample with this id and these words."""
        wanted = (sample.id, sample.question.text)
        while wanted not in self._known and self._looked < len(self._samples):
            one = self._samples[self._looked]
            self._known.setdefault((one.id, one.question.text), self._looked)
            self._looked += 1
        return self._known[wanted]
