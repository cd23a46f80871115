"""Folders that are whole or not there: checkpoints with a seal, models that are swapped in."""

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SEAL = "whole.json"
DONE = "done.json"


def seal(folder: Path) -> None:
    """Write down what a complete folder holds; with less, or with other sizes, it is torn."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != SEAL)
    write_json(
        folder / SEAL, {str(path.relative_to(folder)): path.stat().st_size for path in files}
    )


def is_whole(folder: Path) -> bool:
    """Tell whether everything that was sealed is still there at its size."""
    sizes = read_json(folder / SEAL)
    return bool(sizes) and all(
        (folder / name).is_file() and (folder / name).stat().st_size == size
        for name, size in sizes.items()
    )


def step_of(checkpoint: Path) -> int:
    """Return the step at which a folder ``checkpoint-N`` was written, or -1 for another folder."""
    found = re.fullmatch(r"checkpoint-(\d+)", checkpoint.name)
    return int(found[1]) if found else -1


def latest_whole(stage_folder: Path) -> Path | None:
    """Return the checkpoint to go on from: the latest that is not torn."""
    found = [path for path in stage_folder.glob("checkpoint-*") if step_of(path) >= 0]
    return next((path for path in sorted(found, key=step_of, reverse=True) if is_whole(path)), None)


def keep_latest(stage_folder: Path, count: int) -> None:
    """Remove older checkpoints, and torn ones from before the latest."""
    found = [path for path in stage_folder.glob("checkpoint-*") if step_of(path) >= 0]
    whole = sorted((path for path in found if is_whole(path)), key=step_of)
    kept = set(whole[-count:])
    for path in found:
        if path not in kept and step_of(path) < step_of(whole[-1]):
            shutil.rmtree(path)


@contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """Lend an empty folder that takes the place of ``folder`` when the block ends well."""
    new, old = folder.with_name(f".{folder.name}.new"), folder.with_name(f".{folder.name}.old")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    yield new
    if folder.exists():
        shutil.rmtree(old, ignore_errors=True)
        folder.rename(old)
    new.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def restore_replaced(folder: Path) -> None:
    """Bring back what ``replacing`` had set aside when it was killed between its two renames."""
    old = folder.with_name(f".{folder.name}.old")
    if old.exists() and not folder.exists():
        old.rename(folder)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON file in one move, so that no reader ever sees half of it."""
    new = path.with_name(f".{path.name}.new")
    with new.open("w", encoding="utf-8") as file:
        json.dump(value, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def read_json(path: Path) -> dict[str, Any]:
    """Return what a JSON file holds; nothing where it is missing or cut short."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
