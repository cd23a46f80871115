"""Trains run files: stage after stage, run after run; what is finished is skipped, what was
interrupted goes on from its last whole checkpoint.
"""

import os
import shutil
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import PreTrainedModel

from deixis.config import Stage, TrainRun, expected_one_of, load_run, pick
from deixis.data.mixture import stage_seed
from deixis.errors import ConfigError
from deixis.extras import require
from deixis.training.running.beginning import is_of
from deixis.training.running.checkpoints import (
    DONE,
    latest_whole,
    read_json,
    replacing,
    step_of,
    write_json,
)
from deixis.training.running.feeding import (
    Processor,
    Steps,
    Workshop,
    hash_data,
    make_mixture,
    weighted,
)
from deixis.training.running.folders import (
    check_folder,
    is_finished,
    log_file,
    no_progress_bars,
    note_data,
    prepare_folder,
)
from deixis.training.running.optimizing import freeze, make_optimizer
from deixis.training.running.processes import is_first, is_one_of_many, start
from deixis.training.running.stage import (
    JUDGED,
    Judge,
    Paint,
    StageTrainer,
    Watchers,
    untouched_randomness,
)
from deixis.training.running.watching import Display, Journal, logger


@dataclass(frozen=True, slots=True)
class _Job:
    run: TrainRun
    folder: Path
    workshop: Workshop
    model: PreTrainedModel
    processor: Processor
    judge: Judge | None
    paint: Paint | None


def train(
    run_files: Sequence[Path],
    overrides: Sequence[str] = (),
    out: Path | None = None,
    judge: Judge | None = None,
    paint: Paint | None = None,
    *,
    workshop: Workshop | None = None,
) -> Path:
    """Train runs one after another.

    Args:
        run_files: YAML files; all are checked before the first begins.
        overrides: ``key=value``, for every file.
        out: where the folders of the runs are made; ``out/`` if not given.
        judge: scores a model folder; the best by its mean is kept in ``best/``.
        paint: draws what a model folder answers, for ``pictures/``.
        workshop: what all runs are made of; that of each model's family if not given.

    Returns:
        The folder of the last run.

    Raises:
        ConfigError: a run file that cannot be used, or a folder that holds another run.
    """
    require("accelerate", extra="train")
    require("tensorboard", extra="train")
    runs = [load_run(path, overrides) for path in run_files]
    names = [run.name for run in runs]
    if not runs or len(set(names)) < len(names):
        raise ConfigError(
            f"train: expected run files, each with a name of its own, got {names}. Rename one."
        )
    folders = [Path(out or "out") / run.name for run in runs]
    shops = [workshop or workshop_of(run.model) for run in runs]
    for run, folder, shop in zip(runs, folders, shops, strict=True):
        check_names(run, shop)
        check_folder(run, folder)
    for run, folder in zip(runs, folders, strict=True):
        if run.processes > 1 and not is_one_of_many():
            start(run.processes, train_run, run, folder, workshop, judge, paint)
        else:
            train_run(run, folder, workshop, judge, paint)
    return folders[-1]


def workshop_of(model: str) -> Workshop:
    """Return the workshop of the family that a run's preset or folder belongs to."""
    from deixis.training.pixellm.pixellm_workshop import pixellm_workshop
    from deixis.training.prima.prima_workshop import prima_workshop
    from deixis.training.recipes import deixis_workshop
    from deixis.training.unipixel.unipixel_workshop import unipixel_workshop

    shops = {"unipixel": unipixel_workshop, "prima": prima_workshop, "pixellm": pixellm_workshop}
    for family, workshop in shops.items():
        if is_of(family, model):
            return workshop()
    return deixis_workshop()


def train_run(
    run: TrainRun, folder: Path, given: Workshop | None, judge: Judge | None, paint: Paint | None
) -> None:
    """Train the stages of one run that are not finished yet; each of its processes calls this."""
    workshop = given or workshop_of(run.model)
    if is_finished(run, folder):
        logger.info("%s is finished: skipped.", folder)
        return
    if is_first():
        prepare_folder(run, folder)
    log = log_file(folder / "log.txt") if is_first() else nullcontext()
    with log, untouched_randomness(), no_progress_bars():
        torch.manual_seed(run.seed)
        model, processor = workshop.build(run, folder)
        check_stages(run, workshop, model, processor)
        job = _Job(run, folder, workshop, model, processor, judge, paint)
        before, previous = 0, None
        for stage in run.stages:
            done = read_json(folder / stage.name / DONE)
            if done:
                previous = folder / stage.name / done["checkpoint"]
            else:
                previous = _train_stage(job, stage, before, previous)
            before += stage.steps
        if not is_first():
            return
        if is_one_of_many():
            torch.set_num_threads(os.cpu_count() or 1)  # the others have come to their end
        for name in ("last", "best"):
            _finish(workshop, folder / name)
    best = read_json(folder / "best" / JUDGED)
    write_json(folder / DONE, {"stages": [stage.name for stage in run.stages], "best": best})


def _finish(workshop: Workshop, folder: Path) -> None:
    """Let a trained model measure what it must know about itself."""
    if workshop.finish is not None and folder.exists():
        with replacing(folder) as new:
            shutil.copytree(folder, new, dirs_exist_ok=True)
            found = workshop.finish(folder, new)
        told = ", ".join(f"{name} {value:.4g}" for name, value in found.items())
        logger.info("%s: %s", folder, told)


def _train_stage(job: _Job, stage: Stage, before: int, previous: Path | None) -> Path:
    """Train one stage to its end, ``before`` steps of others behind it; return its checkpoint."""
    folder = job.folder / stage.name
    shop = job.workshop
    steps = Steps(make_mixture(stage, job.run.seed), shop.scene, stage.steps, shop.costs)
    resume = latest_whole(folder)
    resumed = step_of(resume) if resume else 0
    if is_first():
        note_data(job.folder, stage.name, hash_data(steps))
    display = Display(f"{job.run.name}: {stage.name}", stage.steps, resumed, quiet=not is_first())
    display.say(f"{job.run.name}: {stage.name} from step {resumed} of {stage.steps}")
    journal = (
        Journal(job.folder, stage.name, before=before, resumed=resumed) if is_first() else None
    )
    try:
        trainer = StageTrainer(
            job.model,
            stage=stage,
            steps=steps,
            objective=weighted(job.workshop.objectives[stage.objective](job.processor), stage),
            processor=job.processor,
            watchers=Watchers(
                job.folder, display, journal, job.judge, job.paint, job.workshop.publish
            ),
            seed=stage_seed(job.run.seed, stage.name),
        )
        if resume is None and previous is not None:
            trainer.take_weights(previous)
        trainer.go(resume)
    finally:
        if journal:
            journal.close()
        display.close()
    last = folder / f"checkpoint-{stage.steps}"
    seconds = round(trainer.window.seconds_in_all, 3)
    if is_first():
        write_json(folder / DONE, {"checkpoint": last.name, "seconds": seconds})
    return last


def check_names(run: TrainRun, workshop: Workshop) -> None:
    """Check what a run file names before anything begins.

    Raises:
        ConfigError: an unknown objective or task, with the nearest one.
    """
    for stage in run.stages:
        pick(workshop.objectives, stage.objective, "objective")
        judged = stage.judge.tasks if stage.judge else ()
        for names, known in (
            ([one.task for one in stage.data], workshop.tasks),
            (judged, workshop.judged),
        ):
            for name in names:
                if name not in known:
                    raise ConfigError(f'unknown task "{name}": {expected_one_of(known, name)}')


def check_stages(
    run: TrainRun, workshop: Workshop, model: PreTrainedModel, processor: Processor
) -> None:
    """Check what only the model knows, of all stages before the first begins: a name that is wrong
    in the last should not be found when the others have learned for hours.

    Raises:
        ConfigError: an unknown part of a loss, or patterns that fit nothing that learns.
    """
    for stage in run.stages:
        weighted(workshop.objectives[stage.objective](processor), stage)
        make_optimizer(model, stage.optimizer, freeze(model, stage.train))
