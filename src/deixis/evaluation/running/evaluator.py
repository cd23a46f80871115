"""Asks a reasoner every question of a benchmark and reports how well it answers.

The true answer, the kind and the source of a question are taken away before the reasoner sees it.
"""

import hashlib
import json
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import perf_counter
from typing import Any, Protocol

from rich.box import SIMPLE_HEAD
from rich.table import Table

from deixis import __version__
from deixis.errors import ConfigError, DataError
from deixis.evaluation.answering.asking import notes, put
from deixis.evaluation.reporting.gallery import Gallery
from deixis.evaluation.running.benchmarks import Benchmark, open_benchmark
from deixis.evaluation.running.journal import Journal, Row, from_row, to_row
from deixis.evaluation.running.ordering import LIMIT, agree, another_order, is_symmetric, reordered
from deixis.metrics.bootstrap import as_sums, from_sums, intervals
from deixis.metrics.sums import UNIT, Tally
from deixis.metrics.tally import measure
from deixis.structures.answers import GroundedAnswer
from deixis.structures.samples import Sample
from deixis.structures.wire import answer_to_json

VERSIONS = ("torch", "transformers", "numpy", "scipy", "Pillow", "pycocotools")
LOW_IS_GOOD = ("presence_ece", "_decay")  # ends of names of figures that rank no sample
Progress = Callable[[int, int], None]


class Answerer(Protocol):
    """Whatever answers questions: a reasoner, or a baseline."""

    name: str

    def answer_batch(self, samples: Sequence[Sample]) -> list[GroundedAnswer]: ...


def evaluate(
    reasoner: Answerer,
    task: str | Benchmark,
    *,
    count: int | None = 500,
    seed: int = 0,
    split: str = "test",
    out: str | Path | None = None,
    pictures: int = 0,
    batch_size: int = 16,
    reorder: bool = True,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Return the report of a reasoner on a benchmark; killed and started again, the same one.

    Args:
        reasoner: where it has a ``fingerprint``, that is its weights' hash in the report.
        task: a name that `open_benchmark` knows, with its count, seed and split; or a benchmark.
        out: the report's file; what is done so far stands beside it in ``OUT.partial.jsonl``.
        pictures: how many of the worst, and of the best, answers to draw beside the report.
        reorder: ask symmetric questions about several images again, in another order.
        progress: is told how many are done, of how many; for those asked again anew.

    Raises:
        ConfigError: an unknown task, no file for the report, or the beginnings of another run.
        DataError: samples that differ from those of the run that goes on.
    """
    benchmark = task
    if not isinstance(benchmark, Benchmark):
        benchmark = open_benchmark(benchmark, count=count, seed=seed, split=split)
    path = _report_path(out, pictures)
    partial = path and path.with_name(f"{path.name}.partial.jsonl")
    journal = Journal(partial, _configuration(reasoner, benchmark))
    run = _Run(reasoner, benchmark, journal, batch_size, progress, Gallery(pictures))
    run.ask_all()
    if reorder and benchmark.task.reordered:
        run.ask_reordered()
    report = run.report()
    if path is not None:
        run.gallery.save(path.with_name(f"{path.stem}_pictures"), benchmark.samples)
        journal.finish(path, report)
    return report


def report_table(report: Mapping[str, Any]) -> Table:
    """Return a report as a table: a row for each kind of question, a column for each metric."""
    names, setting = list(report["metrics"]), report["configuration"]
    table = Table(title=f"{setting['model']} on {setting['benchmark']}", box=SIMPLE_HEAD, padding=0)
    table.add_column("kind", no_wrap=True)
    for name in [*names, "samples"]:
        table.add_column(name.replace("_", "\n"), justify="right")
    rows = [(kind, report["by_type"][kind], report["counts"][kind]) for kind in report["by_type"]]
    for kind, values, count in [("all", report["metrics"], report["samples"]), *rows]:
        cells = [f"{values[name]:.3f}" if name in values else "" for name in names]
        table.add_row(kind, *cells, str(count), end_section=kind == "all")
    return table


@dataclass
class _Run:
    """One evaluation under way."""

    reasoner: Answerer
    benchmark: Benchmark
    journal: Journal
    batch_size: int
    progress: Progress | None
    gallery: Gallery
    total: Tally = field(default_factory=Tally)
    by_type: dict[str, Tally] = field(default_factory=dict)
    cases: list[Row] = field(default_factory=list)
    symmetric: dict[int, GroundedAnswer] = field(default_factory=dict)
    reordered: int = 0
    digest: Any = field(default_factory=hashlib.sha256)

    def ask_all(self) -> None:
        """Ask each question once and count the answers."""
        samples = self.benchmark.samples
        numbered = ((index, samples[index]) for index in range(len(samples)))
        for batch in _batches(numbered, self.batch_size):
            digests = [sample_digest(sample) for _, sample in batch]
            self._answer([(f"{index}", sample) for index, sample in batch], digests)
            for (index, sample), digest in zip(batch, digests, strict=True):
                self.digest.update(bytes.fromhex(digest))
                self._count(index, sample)
            if self.progress:
                self.progress(len(self.cases), len(samples))

    def ask_reordered(self) -> None:
        """Ask the symmetric questions again about the images in another order."""
        samples = self.benchmark.samples
        numbered = ((index, samples[index]) for index in self.symmetric)
        for batch in _batches(numbered, self.batch_size):
            orders = [another_order(len(s.images.lengths), index) for index, s in batch]
            moved = [reordered(s, order) for (_, s), order in zip(batch, orders, strict=True)]
            keys = [f"{index}/reordered" for index, _ in batch]
            digests = [sample_digest(sample) for sample in moved]
            self._answer(list(zip(keys, moved, strict=True)), digests)
            for (index, sample), order, key, there in zip(batch, orders, keys, moved, strict=True):
                same = agree(sample, self.symmetric[index], self._said(key, there), order)
                self.reordered += 1
                self._add(sample, Tally(0, {"order_agreement": (same * UNIT, 1)}))
            if self.progress:
                self.progress(self.reordered, len(self.symmetric))

    def report(self) -> dict[str, Any]:
        """Return everything that a reader needs to trust and to repeat the figures."""
        kinds = sorted(self.by_type.items())
        counts = self.benchmark.task.counts
        tallies = [from_sums(case["sums"]) for case in self.cases]
        setting = _configuration(self.reasoner, self.benchmark)
        seconds = sum(row["seconds"] for row in self.journal.rows.values())
        return {
            "metrics": self._result(self.total) | (counts.overall() if counts else {}),
            "intervals": intervals(tallies, self._result)
            | (counts.overall_intervals() if counts else {}),
            "failures": self.total.failures(),
            "by_type": {kind: self._result(tally) for kind, tally in kinds},
            "samples": self.total.samples,
            "configuration": {**setting, "reordered_samples": self.reordered},
            "versions": _versions(),
            "seed": self.benchmark.seed,
            "data_hash": self.digest.hexdigest(),
            "seconds": round(seconds, 3),
            "counts": {kind: tally.samples for kind, tally in kinds},
            "cases": self.cases,
        }

    def _answer(self, questions: list[tuple[str, Sample]], digests: list[str]) -> None:
        """Put the answers to those questions that are not in the journal there."""
        start = perf_counter()
        open_ones = []
        for (key, sample), digest in zip(questions, digests, strict=True):
            row = self.journal.rows.get(key)
            if row is None:
                open_ones.append((key, sample, digest))
            elif row["digest"] != digest:
                raise DataError(
                    f"{self.journal.path}: expected sample {key} as the run knew it, got another "
                    f"one. Delete the file to start again."
                )
        if not open_ones:
            return
        answers = put(self.reasoner, self.benchmark.task, [sample for _, sample, _ in open_ones])
        if len(answers) != len(open_ones):
            raise DataError(
                f"{self.reasoner.name}: expected {len(open_ones)} answers, got {len(answers)}."
            )
        seconds = (perf_counter() - start) / len(open_ones)
        rows = [
            {
                "key": key,
                "digest": digest,
                "seconds": seconds,
                "answer": to_row(answer, sample),
            }
            for (key, sample, digest), answer in zip(open_ones, answers, strict=True)
        ]
        self.journal.append(rows)

    def _count(self, index: int, sample: Sample) -> None:
        """Compare an answer with the truth."""
        predicted = self._said(f"{index}", sample)
        if sample.answer is None:
            raise DataError(
                f"sample {sample.id or index}: expected a true answer, got none. "
                f"Only questions with known answers can be evaluated."
            )
        task = self.benchmark.task
        if task.counts is not None:
            tally = task.counts.measure(index, sample, predicted)
        elif task.score is not None:
            tally = task.score(sample.answer, predicted)
        else:
            tally = measure(sample.images, sample.answer, predicted, task.measures)
        self._add(sample, tally)
        figures = self._result(tally)
        values = [v for name, v in figures.items() if not name.endswith(LOW_IS_GOOD)]
        score = sum(values) / len(values) if values else 1.0
        case = {"id": sample.id, "type": sample.type, "score": round(score, 4)}
        self.cases.append({**case, "sums": as_sums(tally)})
        self.gallery.offer(score, index, predicted)
        if len(self.symmetric) < LIMIT and self.benchmark.task.reordered and is_symmetric(sample):
            self.symmetric[index] = predicted

    def _result(self, tally: Tally) -> dict[str, float]:
        counts = self.benchmark.task.counts
        return tally.result() if counts is None else counts.result(tally)

    def _said(self, key: str, sample: Sample) -> GroundedAnswer:
        """Take an answer from the journal, so that a run and a resumed one see the same."""
        return from_row(self.journal.rows[key].pop("answer"), sample)

    def _add(self, sample: Sample, tally: Tally) -> None:
        self.total.merge(tally)
        self.by_type.setdefault(sample.type or "other", Tally()).merge(tally)


def sample_digest(sample: Sample) -> str:
    """Return a hash of all that a sample holds: pixels, question and truth."""
    digest = hashlib.sha256()
    truth = answer_to_json(sample.answer, sample.images) if sample.answer else None
    asked = [repr(prompt) for prompt in sample.question.prompts]
    words = [sample.id, sample.type, sample.question.text, asked, truth and truth["targets"]]
    words += [truth and truth["conclusion"]]
    digest.update(json.dumps(words, sort_keys=True).encode())
    for frame in sample.images:
        digest.update(repr(frame.size).encode())
        digest.update(frame.pixels.tobytes())
    return digest.hexdigest()


def _batches(
    numbered: Iterator[tuple[int, Sample]], size: int
) -> Iterator[list[tuple[int, Sample]]]:
    batch: list[tuple[int, Sample]] = []
    for one in numbered:
        batch.append(one)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _report_path(out: str | Path | None, pictures: int) -> Path | None:
    if out is None:
        if pictures:
            raise ConfigError(
                "pictures: expected a report beside which they go, got none. Give out."
            )
        return None
    if Path(out).is_dir():
        raise ConfigError(f"{out}: expected a file for the report, got a folder. Name a file.")
    return Path(out)


def _configuration(reasoner: Answerer, benchmark: Benchmark) -> dict[str, Any]:
    return {
        "benchmark": benchmark.name,
        "measures": list(benchmark.task.measures),
        **benchmark.task.notes,
        **notes(reasoner, benchmark.task),
        "count": len(benchmark.samples),
        "seed": benchmark.seed,
        "split": benchmark.split,
        "model": reasoner.name,
        "fingerprint": getattr(reasoner, "fingerprint", None),
        "deixis": __version__,
    }


def _versions() -> dict[str, str]:
    found = {"deixis": __version__, "python": platform.python_version()}
    for package in VERSIONS:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return {**found, "platform": platform.platform()}
