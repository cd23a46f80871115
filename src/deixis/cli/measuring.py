"""`deixis eval` and `deixis train`, and the judge between them: answers against the truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deixis.cli.asking import check_folder, check_settings
from deixis.cli.installed import check_model
from deixis.config import load_run
from deixis.errors import ConfigError

if TYPE_CHECKING:
    from PIL import Image

    from deixis.config import Judging

# what a task is about, for choosing between two states of one model
HEADLINES: Mapping[str, tuple[str, ...]] = {
    "refer": ("giou",),
    "many": ("giou",),
    "multi": ("miou", "image_accuracy"),
    "multi-words": ("miou", "image_accuracy"),
    "absent": ("n_acc", "t_acc"),
    "region": ("answer_accuracy",),
    "clip": ("jf",),
    "pixelqa": ("j", "answer_accuracy"),
    "plain": ("answer_accuracy",),
    "compose": ("giou",),
}
IN_FOLDERS = ("m4seg",)  # benchmarks whose files a person brings
PAINTED_SEED = 2**40  # worlds for the pictures that training draws


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Who is measured, and where the report goes."""

    model: str
    device: str | None
    dtype: str | None
    batch_size: int
    out: Path | None


def measure(
    name: str,
    settings: Settings,
    *,
    count: int,
    seed: int,
    split: str,
    pictures: int,
    baseline: str | None,
    root: Path | None = None,
) -> None:
    """Evaluate a model, or a baseline in its place, and show the report as a table.

    Raises:
        ConfigError: a folder for a benchmark that has none, or none for one that needs it.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    from deixis.evaluation.baselines import make_baseline
    from deixis.evaluation.benchmarks import open_benchmark
    from deixis.evaluation.evaluator import evaluate, report_table

    out = settings.out
    check_settings(settings.device, settings.dtype, out.parent if out else None)
    if (root is not None) != (name in IN_FOLDERS):
        raise ConfigError(
            f"--root: expected with {', '.join(IN_FOLDERS)} and with nothing else, got "
            f'{root or "none"} with "{name}". Give the folder of the data set.'
        )
    if root is not None:
        from deixis.evaluation import m4seg

        benchmark = m4seg.open_benchmark(root, split, count=count)
    else:
        benchmark = open_benchmark(name, count=count, seed=seed, split=split)
    reasoner = make_baseline(baseline, benchmark) if baseline else _load(settings)
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        row = bar.add_task("", total=len(benchmark.samples))
        report = evaluate(
            reasoner,
            benchmark,
            out=out,
            pictures=pictures,
            batch_size=settings.batch_size,
            progress=lambda done, total: bar.update(row, completed=done, total=total),
        )
    Console(soft_wrap=True).print(report_table(report))


def train(arguments: Sequence[str], out: Path | None) -> None:
    """Train the run files among the arguments; the others are ``a.b=value``.

    Raises:
        ConfigError: no run file, or one that is not there.
    """
    import logging

    overrides = [one for one in arguments if "=" in one and not Path(one).exists()]
    files = [Path(one) for one in arguments if one not in overrides]
    if not files:
        raise ConfigError("train: expected at least one run file, got none. See runs/.")
    for file in files:
        load_run(file, overrides)
    if out is not None:
        check_folder(out)
    from deixis.training.trainer import train as train_runs

    logger = logging.getLogger("deixis")
    logger.addHandler(logging.StreamHandler())
    logger.setLevel(logging.INFO)
    print(train_runs(files, overrides, out, judge, paint))


def show_scenes(out: Path, *, task: str, count: int, seed: int, split: str) -> None:
    """Write a contact sheet with the true masks and answers of the first samples."""
    from deixis.scenes.questions import make_sample
    from deixis.viz.overlay import contact_sheet

    check_folder(out.parent)
    samples = [make_sample(split, task, seed, index) for index in range(count)]
    truths = [sample.answer for sample in samples if sample.answer]
    titles = [f"{sample.id}  {sample.type}" for sample in samples]
    contact_sheet(samples, truths, columns=min(4, count), titles=titles).save(out)
    print(out)


def judge(model: Path, settings: Judging) -> dict[str, float]:
    """Return each task's score on fixed `val` questions, for choosing the best checkpoint."""
    from deixis.evaluation.evaluator import evaluate
    from deixis.reasoning.reasoner import load

    reasoner, scores = load(model), {}
    for task in settings.tasks:
        report = evaluate(reasoner, task, count=settings.count, seed=settings.seed, split="val")
        metrics = report["metrics"]
        values = [metrics[name] for name in HEADLINES[task] if name in metrics]
        scores[task] = sum(values) / max(1, len(values))
    return scores


def paint(model: Path, settings: Judging | None) -> Image.Image:
    """Return a sheet with one answer of each task."""
    from deixis.evaluation.benchmarks import SceneSamples
    from deixis.reasoning.reasoner import load
    from deixis.scenes.questions import TASKS
    from deixis.viz.overlay import contact_sheet

    tasks = settings.tasks if settings else TASKS
    samples = [
        SceneSamples(task=task, split="val", seed=PAINTED_SEED, length=1)[0] for task in tasks
    ]
    answers = load(model).answer_batch([sample.without_answer() for sample in samples])
    return contact_sheet(samples, answers, columns=3, titles=tasks)


def _load(settings: Settings) -> Any:
    check_model(settings.model)
    from deixis.reasoning.reasoner import load

    return load(settings.model, device=settings.device, dtype=settings.dtype)
