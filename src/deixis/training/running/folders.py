"""The folder of a run: what it must hold before a training goes on in it, and its papers."""

import logging
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from transformers.utils import logging as logging_of_transformers

from deixis.config import TrainRun, dump, read_yaml, validate
from deixis.errors import ConfigError
from deixis.training.running.checkpoints import (
    DONE,
    latest_whole,
    read_json,
    restore_replaced,
    write_json,
)
from deixis.training.running.watching import logger

VERSIONS = ("deixis", "torch", "transformers", "accelerate", "numpy", "Pillow")
HARMLESS = {  # keys of a stage that may change between an interruption and its continuation
    "workers",
    "log_every",
    "save_every",
    "judge_every",
    "pictures_every",
    "judge",
}


def is_finished(run: TrainRun, folder: Path) -> bool:
    """Tell whether a run, and every stage of it, has come to its end in this folder."""
    folders = [folder, *(folder / stage.name for stage in run.stages)]
    return all(read_json(one / DONE) for one in folders)


def check_folder(run: TrainRun, folder: Path) -> None:
    """Check that a folder holds nothing yet, or the beginning of the same run.

    Raises:
        ConfigError: something that matters to what was already trained has another value there.
    """
    started = [
        i
        for i, stage in enumerate(run.stages)
        if (folder / stage.name / DONE).exists() or latest_whole(folder / stage.name)
    ]
    if not started or not (folder / "run.yaml").exists():
        return
    theirs = validate(TrainRun, read_yaml(folder / "run.yaml"), str(folder / "run.yaml"))
    last = max(started) + 1
    there, here = _values(theirs, last), _values(run, last)
    for key in [*here, *(key for key in there if key not in here)]:
        if here.get(key) != there.get(key):
            raise ConfigError(
                f"{folder}: expected the run that began there, with {key} = {there.get(key)}, "
                f"got {here.get(key)}. Give this run another name, or another --out."
            )


def prepare_folder(run: TrainRun, folder: Path) -> None:
    """Write down what is run and with what, before it begins."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("last", "best"):
        restore_replaced(folder / name)
    (folder / "run.yaml").write_text(dump(run), encoding="utf-8")
    origin = read_json(folder / "versions.json")
    origin |= {"python": platform.python_version(), "platform": platform.platform()}
    origin |= {"seed": run.seed, "packages": {name: version(name) for name in VERSIONS}}
    write_json(folder / "versions.json", origin)


def note_data(folder: Path, stage: str, found: str) -> None:
    """Keep the hash of the data of a stage; other data cannot continue it.

    Raises:
        ConfigError: the scenes have changed since the stage began.
    """
    origin = read_json(folder / "versions.json")
    known = origin.setdefault("data", {})
    if latest_whole(folder / stage) and known.get(stage, found) != found:
        raise ConfigError(
            f"{folder / stage}: expected data with the hash {known[stage][:12]}, with which the "
            f"stage began, got {found[:12]}. The scenes have changed: begin anew."
        )
    known[stage] = found
    write_json(folder / "versions.json", origin)


def _values(run: TrainRun, stages: int) -> dict[str, Any]:
    """Every value that matters to the first stages, by dotted key."""
    values: dict[str, Any] = {}

    def collect(key: str, value: Any) -> None:
        if isinstance(value, dict):
            for name, inner in value.items():
                collect(f"{key}.{name}", inner)
        else:
            values[key] = value

    for name, value in run.model_dump(mode="json", exclude={"stages"}).items():
        collect(name, value)
    for stage in run.stages[:stages]:
        for name, value in stage.model_dump(mode="json", exclude=HARMLESS).items():
            collect(f"stages.{stage.name}.{name}", value)
    return values


@contextmanager
def log_file(path: Path) -> Iterator[None]:
    """Write what the training says into the folder of the run; the display shows it already."""
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    level, propagate = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate
        handler.close()


@contextmanager
def no_progress_bars() -> Iterator[None]:
    """Keep transformers from drawing bars of its own between ours."""
    was = logging_of_transformers.is_progress_bar_enabled()
    logging_of_transformers.disable_progress_bar()
    try:
        yield
    finally:
        if was:
            logging_of_transformers.enable_progress_bar()
