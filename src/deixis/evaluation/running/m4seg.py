"""The benchmark M4Seg: its samples from a folder, and the figures of ``metrics/m4seg.py``."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deixis.data.m4seg import open_m4seg
from deixis.errors import DataError
from deixis.evaluation.protocols.sentences import phrase_similarity
from deixis.evaluation.running.benchmarks import Benchmark, Task
from deixis.metrics.m4seg import NAMES, measure
from deixis.metrics.sums import Tally
from deixis.structures.answers import GroundedAnswer
from deixis.structures.samples import Sample

METEOR = "exact words (no stems or synonyms; published figures use the Java program)"


@dataclass(frozen=True, slots=True)
class First(Sequence[Sample]):
    """The first samples of a split; each is read whenever it is asked for."""

    samples: Sequence[Sample]
    length: int

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: Any) -> Any:
        if not 0 <= index < self.length:
            raise IndexError(index)
        return self.samples[index]


def open_benchmark(
    root: Path | str, split: str, *, count: int | None = None, file: Path | None = None
) -> Benchmark:
    """Return a split of M4Seg with its measures.

    Args:
        root: the folder with the records and the images' folders.
        split: "train", "val" or "test".
        count: how many samples; None: all.
        file: the records, where the root has several files for a split.

    Raises:
        DataError: no records, or none that can be read.
    """
    data = open_m4seg(root, split, file=file)
    if not len(data.samples):
        fault = data.rejected[0] if data.rejected else "the file is empty"
        raise DataError(f"{root}: expected records of {split} that can be read, got none: {fault}")
    total = len(data.samples)
    name, similarity = phrase_similarity()

    def score(truth: GroundedAnswer, predicted: GroundedAnswer) -> Tally:
        return measure(truth, predicted, similarity=similarity)

    notes = {
        "similarity": name,
        "meteor": METEOR,
        "records": str(total),
        "records_put_aside": str(len(data.rejected)),
    }
    return Benchmark(
        name="m4seg",
        samples=First(data.samples, total if count is None else min(count, total)),
        task=Task(measures=NAMES, score=score, notes=notes),
        split=split,
    )
