"""`deixis eval` and `deixis train`, and the judge between them: answers against the truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deixis.cli.asking import check_folder, check_settings
from deixis.cli.installed import check_model
from deixis.cli.wanted import Asked, Settings
from deixis.config import load_run, pick
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
USUAL_COUNT = 500  # of samples, where a benchmark has no end
IN_FOLDERS = ("m4seg",)  # benchmarks whose files a person brings
PAINTED_SEED = 2**40  # worlds for the pictures that training draws


def measure(
    asked: Asked,
    settings: Settings,
    *,
    pictures: int,
    answered: tuple[str | None, Path | None],
    compare: tuple[Path, Path] | None,
) -> None:
    """Evaluate a model, or what answers in its place, and show the report as a table.

    Args:
        asked: the benchmark.
        settings: the model, and the report's file.
        pictures: so many worst and best cases are drawn.
        answered: the name of a baseline, the predictions of another system, or neither.
        compare: two reports, in place of all this.

    Raises:
        ConfigError: nothing to measure, or a folder for a benchmark that has none.
    """
    if compare is not None:
        from deixis.cli.published import compare as compare_reports

        check_settings(None, None, settings.out.parent if settings.out else None)
        compare_reports(compare, settings.out, asked.root)
        return
    out = settings.out
    check_settings(settings.device, settings.dtype, out.parent if out else None)
    benchmark = _opened(asked)
    reasoner = _answering(benchmark, settings, *answered)
    if settings.shard is not None or settings.submission is not None:
        from deixis.cli.published import answer_only

        answer_only(reasoner, benchmark, settings)
        return
    _report(reasoner, benchmark, settings, pictures)


def _report(reasoner: Any, benchmark: Any, settings: Settings, pictures: int) -> None:
    """Evaluate, show the report as a table, and write its pages beside it."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    from deixis.evaluation.running.evaluator import evaluate, report_table

    out = settings.out
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        row = bar.add_task("", total=len(benchmark.samples))
        report = evaluate(
            reasoner,
            benchmark,
            out=out,
            pictures=pictures,
            batch_size=settings.batch_size * max(1, settings.workers),
            progress=lambda done, total: bar.update(row, completed=done, total=total),
        )
    Console(soft_wrap=True).print(report_table(report))
    if out is not None:
        from deixis.evaluation.reporting.gallery import drawn_in
        from deixis.evaluation.reporting.pages import write_page
        from deixis.evaluation.reporting.tables import write_markdown

        write_markdown(out.with_suffix(".md"), report)
        folder = out.with_name(f"{out.stem}_pictures")
        write_page(out.with_suffix(".html"), report, drawn_in(folder) if pictures else ())


def _opened(asked: Asked) -> Any:
    """Return the benchmark that is asked for."""
    from deixis.data.catalogue import DATA_SETS
    from deixis.evaluation.running.benchmarks import open_benchmark

    name, root = asked.name, asked.root
    if name is None:
        raise ConfigError("eval: expected a benchmark, got none. Name one: scenes:refer, refcoco.")
    if name in DATA_SETS:
        from deixis.cli.published import open_foreign

        return open_foreign(asked)
    if (root is not None) != (name in IN_FOLDERS):
        raise ConfigError(
            f"--root: expected with {', '.join([*IN_FOLDERS, *DATA_SETS])} and with nothing else, "
            f'got {root or "none"} with "{name}". Give the folder of the data set.'
        )
    count, split = asked.count or USUAL_COUNT, asked.split or "test"
    if root is not None:
        from deixis.evaluation.running import m4seg

        return m4seg.open_benchmark(root, split, count=asked.count)
    if not name.startswith("data:"):
        pick(dict.fromkeys(("train", "val", "test")), split, "split of scenes")
    return open_benchmark(name, count=count, seed=asked.seed, split=split)


def _answering(
    benchmark: Any, settings: Settings, baseline: str | None, predictions: Path | None
) -> Any:
    """Return who answers: a baseline, another system's predictions, or the model."""
    if baseline is not None:
        from deixis.evaluation.answering.baselines import make_baseline

        return make_baseline(baseline, benchmark)
    if predictions is not None:
        from deixis.evaluation.answering.predictions import Predictions

        return Predictions(predictions)
    reasoner = _spread(settings) if settings.workers else _load(settings)
    if settings.keep is not None:
        from deixis.evaluation.answering.keeping import Kept

        return Kept(reasoner, settings.keep)
    return reasoner


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
    from deixis.evaluation.running.evaluator import evaluate
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
    from deixis.evaluation.running.benchmarks import SceneSamples
    from deixis.reasoning.reasoner import load
    from deixis.scenes.questions import TASKS
    from deixis.viz.overlay import contact_sheet

    tasks = settings.tasks if settings else TASKS
    samples = [
        SceneSamples(task=task, split="val", seed=PAINTED_SEED, length=1)[0] for task in tasks
    ]
    answers = load(model).answer_batch([sample.without_answer() for sample in samples])
    return contact_sheet(samples, answers, columns=3, titles=tasks)


def _spread(settings: Settings) -> Any:
    """Return the model on as many workers as are asked for."""
    from functools import partial

    from deixis.evaluation.answering.spreading import Spread
    from deixis.reasoning.reasoner import load

    check_model(settings.model)
    return Spread(
        partial(load, settings.model, device=settings.device, dtype=settings.dtype),
        workers=settings.workers,
        batch_size=settings.batch_size,
        on_gpu=(settings.device or "").startswith("cuda"),
    )


def _load(settings: Settings) -> Any:
    check_model(settings.model)
    from deixis.reasoning.reasoner import load

    return load(settings.model, device=settings.device, dtype=settings.dtype)
