"""`deixis eval`: a model, or what answers in its place, against the truth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from deixis.cli.asking.arguments import check_settings
from deixis.cli.installed import check_model
from deixis.cli.measuring.wanted import Asked, Settings
from deixis.config import pick
from deixis.errors import ConfigError

USUAL_COUNT = 500  # of samples, where a benchmark has no end
IN_FOLDERS = ("m4seg",)  # benchmarks whose files a person brings


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
        from deixis.cli.measuring.published import compare as compare_reports

        check_settings(None, None, settings.out.parent if settings.out else None)
        compare_reports(compare, settings.out, asked.root)
        return
    out = settings.out
    check_settings(settings.device, settings.dtype, out.parent if out else None)
    benchmark = _opened(asked)
    reasoner = _answering(benchmark, settings, *answered)
    if settings.shard is not None or settings.submission is not None:
        from deixis.cli.measuring.published import answer_only

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
        from deixis.cli.measuring.published import open_foreign

        return open_foreign(asked)
    if (root is not None) != (name in IN_FOLDERS):
        raise ConfigError(
            f"--root: expected with {', '.join([*IN_FOLDERS, *DATA_SETS])} and with nothing else, "
            f'got {root or "none"} with "{name}". Give the folder of the data set.'
        )
    _check_without_protocols(asked)
    count, split = asked.count or USUAL_COUNT, asked.split or "test"
    if root is not None:
        from deixis.evaluation.running import m4seg

        return m4seg.open_benchmark(root, split, count=asked.count, quarantine=asked.quarantine)
    if not name.startswith("data:"):
        pick(dict.fromkeys(("train", "val", "test")), split, "split of scenes")
    return open_benchmark(name, count=count, seed=asked.seed, split=split)


def _check_without_protocols(asked: Asked) -> None:
    """Refuse what only data sets of others have."""
    given = {
        "--protocol": asked.protocol if asked.protocol != "published" else None,
        "--judge": asked.judge or asked.judge_model,
        "--phrases": asked.phrases,
        "--quarantine": asked.quarantine if asked.name not in IN_FOLDERS else None,
    }
    for option, value in given.items():
        if value is not None:
            raise ConfigError(
                f"{option}: expected with a data set of others, such as refcoco, got {value} with "
                f"{asked.name}. Leave it out."
            )


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
