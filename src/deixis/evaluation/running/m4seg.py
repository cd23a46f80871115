"""The benchmark M4Seg: its samples from a folder, and the figures of ``metrics/m4seg.py``."""

from pathlib import Path

from deixis.data.annotations.rows import LazySamples
from deixis.data.checking import write_lines
from deixis.data.m4seg import M4Seg, open_m4seg
from deixis.errors import DataError
from deixis.evaluation.protocols.sentences import phrase_similarity
from deixis.evaluation.running.benchmarks import Benchmark, Task
from deixis.metrics.m4seg import NAMES, measure
from deixis.metrics.sums import Tally
from deixis.structures.answers import GroundedAnswer

METEOR = "exact words (no stems or synonyms; published figures use the Java program)"


def open_benchmark(
    root: Path | str,
    split: str,
    *,
    count: int | None = None,
    file: Path | None = None,
    quarantine: Path | None = None,
) -> Benchmark:
    """Return a split of M4Seg with its measures.

    Args:
        root: the folder with the records and the images' folders.
        split: "train", "val" or "test".
        count: how many samples; None: all.
        file: the records, where the root has several files for a split.
        quarantine: a file for records that cannot be read, which are then left out; None: the
            first of them ends the run.

    Raises:
        DataError: no records, none that can be read, or one that cannot without a quarantine.
    """
    data = open_m4seg(root, split, file=file)
    _check(data, f"{root}: expected records of {split} that can be read", quarantine)
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
    first = range(total if count is None else min(count, total))
    return Benchmark(
        name="m4seg",
        samples=LazySamples(f"m4seg/{split}", first, data.samples.__getitem__),
        task=Task(measures=NAMES, score=score, notes=notes),
        split=split,
    )


def _check(data: M4Seg, expected: str, quarantine: Path | None) -> None:
    """Refuse records that cannot be read, or write them down."""
    if not len(data.samples):
        fault = data.rejected[0] if data.rejected else "the file is empty"
        raise DataError(f"{expected}, got none: {fault}")
    if quarantine is not None:
        write_lines(quarantine, enumerate(data.rejected))
    elif data.rejected:
        raise DataError(f"{data.rejected[0]} --quarantine FILE leaves such records out.")
