"""What can be evaluated: a name gives samples and the metrics that its task defines.

``scenes:TASK`` draws scenes, ``data:PATH`` reads our own JSONL files.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from deixis.config import pick
from deixis.data.reader import JsonlReader
from deixis.errors import ConfigError
from deixis.evaluation.answering.asking import Asking
from deixis.metrics.sums import Tally
from deixis.scenes.questions import make_sample
from deixis.structures.answers import GroundedAnswer
from deixis.structures.samples import Sample

Score = Callable[[GroundedAnswer, GroundedAnswer], Tally]  # of a true and a predicted answer


class Counts(Protocol):
    """Tallies samples in one protocol, and turns tallies into figures."""

    def measure(self, index: int, sample: Sample, predicted: GroundedAnswer) -> Tally: ...

    def result(self, tally: Tally) -> dict[str, float]: ...

    def overall(self) -> dict[str, float]: ...

    def overall_intervals(self) -> dict[str, list[float]]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What is measured.

    Attributes:
        measures: names from `deixis.metrics.tally.MEASURES`.
        reordered: whether questions are asked again about the images in another order.
        score: tallies a sample in its own way; then measures only say what it gives.
        notes: what a reader of the report must know about the measures.
        counts: tallies a sample in a published protocol, and returns the figures of tallies.
        asking: how the protocol asks models of its family; None: as the samples ask.
        wants_logits: whether what models draw is scored before it is cut at 0.
    """

    measures: tuple[str, ...]
    reordered: bool = False
    score: Score | None = None
    notes: Mapping[str, str] = field(default_factory=dict)
    counts: Counts | None = None
    asking: Asking | None = None
    wants_logits: bool = False


REFERRING = Task(measures=("giou", "ciou", "recall"))
MULTI = Task(
    measures=("giou", "ciou", "miou", "recall", "image_accuracy", "answer_accuracy"),
    reordered=True,
)
WORDS_ONLY = "-words"  # behind a scene task: questions that point give way to others
APART, TRIES = 1 << 50, 64  # index distance to the world that is asked about instead; how often
BENCHMARKS: Mapping[str, Task] = {
    "scenes:refer": REFERRING,
    "scenes:many": Task(measures=("giou", "ciou", "miou", "recall")),
    "scenes:multi": MULTI,
    "scenes:multi-words": MULTI,  # without questions that point, which PRIMA cannot read
    "scenes:absent": Task(measures=("giou", "ciou", "recall", "n_acc", "t_acc", "presence_ece")),
    "scenes:region": Task(measures=("answer_accuracy", "giou_where_targets", "ciou", "recall")),
    "scenes:clip": Task(measures=("j", "f")),
    "scenes:pixelqa": Task(measures=("j", "f", "answer_accuracy")),
    "scenes:plain": Task(measures=("answer_accuracy",)),
    "scenes:compose": REFERRING,
}
ANY = Task(  # of files that hold several tasks, or one that we do not know
    measures=(
        *("giou", "ciou", "miou", "recall", "image_accuracy", "answer_accuracy"),
        *("n_acc", "t_acc", "presence_ece"),
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """Samples with their true answers, in a fixed order, and what is measured on them."""

    name: str
    samples: Sequence[Sample]
    task: Task
    split: str = ""
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneSamples(Sequence[Sample]):
    """The first samples of a scene task; each is drawn anew whenever it is asked for."""

    task: str
    split: str
    seed: int
    length: int

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: Any) -> Any:
        if not 0 <= index < self.length:
            raise IndexError(index)
        task = self.task.removesuffix(WORDS_ONLY)
        sample = make_sample(self.split, task, self.seed, index)
        for attempt in range(1, TRIES if self.task != task else 1):
            if not sample.question.prompts:
                break
            sample = make_sample(self.split, task, self.seed, index + attempt * APART)
        return sample


def open_benchmark(
    name: str, *, count: int | None = 500, seed: int = 0, split: str = "test"
) -> Benchmark:
    """Return the benchmark of a name: ``scenes:refer`` (or ``refer``), or ``data:PATH``.

    Args:
        name: a key of `BENCHMARKS`, or a JSONL file of samples.
        count: how many samples; None: all of a file, 500 of a scene task.
        seed: of the scenes.
        split: of the scenes.

    Raises:
        ConfigError: an unknown name, or no sample to ask about.
        DataError: a file that cannot be read; the message names its line.
    """
    if count is not None and count < 1:
        raise ConfigError(f"count: expected at least 1 sample, got {count}. Ask for more.")
    if name.startswith("data:"):
        return _open_file(name, count)
    name = name if ":" in name else f"scenes:{name}"
    task = pick(BENCHMARKS, name, "benchmark")
    kind = name.removeprefix("scenes:")
    samples = SceneSamples(task=kind, split=split, seed=seed, length=count or 500)
    return Benchmark(name=name, samples=samples, task=task, split=split, seed=seed)


def _open_file(name: str, count: int | None) -> Benchmark:
    reader = JsonlReader(name.removeprefix("data:"))
    length = len(reader) if count is None else min(count, len(reader))
    samples = reader if length == len(reader) else reader[:length]
    sources, clips = set(), False
    for index in range(length):
        sources.add(samples[index].source.split("/")[0])
        clips = clips or any(times is not None for times in samples[index].images.times)
    task = BENCHMARKS.get(sources.pop(), ANY) if len(sources) == 1 else ANY
    if task is ANY and clips:
        task = Task(measures=(*ANY.measures, "j", "f"))
    return Benchmark(name=name, samples=samples, task=task)
