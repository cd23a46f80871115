"""What can be evaluated: a name gives samples and the metrics that its task defines.

``scenes:TASK`` draws scenes, ``data:PATH`` reads our own JSONL files.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deixis.config import pick
from deixis.data.reader import JsonlReader
from deixis.errors import ConfigError
from deixis.scenes.questions import make_sample
from deixis.structures.samples import Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What is measured.

    Attributes:
        measures: names from `deixis.metrics.tally.MEASURES`.
        reordered: whether questions are asked again about the images in another order.
    """

    measures: tuple[str, ...]
    reordered: bool = False


REFERRING = Task(measures=("giou", "ciou", "recall"))
BENCHMARKS: Mapping[str, Task] = {
    "scenes:refer": REFERRING,
    "scenes:many": Task(measures=("giou", "ciou", "miou", "recall")),
    "scenes:multi": Task(
        measures=("giou", "ciou", "miou", "recall", "image_accuracy", "answer_accuracy"),
        reordered=True,
    ),
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
        return make_sample(self.split, self.task, self.seed, index)


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
