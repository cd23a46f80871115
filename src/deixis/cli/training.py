"""`deixis train`, and what looks at a model while it trains: a judge and a painter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from deixis.cli.asking.arguments import check_folder
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
PAINTED_SEED = 2**40  # worlds for the pictures that training draws


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
    from deixis.training.running.trainer import train as train_runs

    logger = logging.getLogger("deixis")
    logger.addHandler(logging.StreamHandler())
    logger.setLevel(logging.INFO)
    print(train_runs(files, overrides, out, judge, paint))


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
