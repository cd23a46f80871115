"""Turns a published checkpoint into one folder of our own: whole and checked, or not at all.

Everything grows in a hidden folder beside OUT and is moved to OUT at the end. After a kill the
same command goes on: with the byte that was fetched last, then with the file written last.
"""

import hashlib
import json
import math
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from torch import Tensor

from deixis.conversion import pixellm, prima, unipixel
from deixis.conversion.recipe import Move, Plan, Source, check
from deixis.conversion.shards import hand_back, opened
from deixis.conversion.smoke import smoke_answer
from deixis.conversion.sources import open_source
from deixis.conversion.writing import WORDS, in_writing_order, write_file
from deixis.errors import ConfigError, DataError
from deixis.structures.files import write_whole

REPORT = "conversion.json"
STATE = "state.json"
INDEX = "model.safetensors.index.json"
PACKAGES = ("deixis", "torch", "transformers", "safetensors")

Progress = Callable[[str, int, int], None]  # what is done, bytes done, bytes in all


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How checkpoints of one family are read.

    Attributes:
        plan: from a source, and a vision tower where it is apart, to what will be done.
        foresee: refuses what small files alone show not to fit, given a folder of them and
            whether a tower is given.
        parts: sub-folders in which a checkpoint may lie, "" for the top.
    """

    plan: Callable[[Source, Source | None], Plan]
    foresee: Callable[[Path, bool], None]
    parts: tuple[str, ...]


RECIPES = {
    "pixellm": Recipe(plan=pixellm.plan, foresee=pixellm.foresee, parts=pixellm.PARTS),
    "prima": Recipe(plan=prima.plan, foresee=prima.foresee, parts=prima.PARTS),
    "unipixel": Recipe(plan=unipixel.plan, foresee=unipixel.foresee, parts=unipixel.PARTS),
}


def convert(
    source: str,
    out: Path,
    family: str,
    tower: str | None = None,
    progress: Progress = lambda what, done, total: None,
) -> dict[str, Any]:
    """Convert a published checkpoint; return the report, which is also in OUT.

    Args:
        source: a folder, or a repository of a hub.
        out: the new folder, which must not hold anything yet.
        family: one of ``RECIPES``.
        tower: where the vision tower is, for families that publish it apart.
        progress: called while weights are written.

    Raises:
        ConfigError: an unknown family.
        WeightsError: a source that does not fit, exactly; nothing is left at OUT.
        DataError: OUT is taken, or there is no room.
    """
    if family not in RECIPES:
        raise ConfigError(
            f'--family: expected one of {", ".join(RECIPES)}, got "{family}". See: deixis models.'
        )
    recipe = RECIPES[family]
    _check_free(out)
    place = out.expanduser().resolve()
    work = place.with_name(f".{place.name}.partial")
    found = open_source(
        source, work / "source", recipe.parts, lambda early: recipe.foresee(early, bool(tower))
    )
    found_tower = open_source(tower, work / "tower", ("",)) if tower else None
    planned = recipe.plan(found, found_tower)
    check(planned, found.name)
    model = work / "model"
    model.mkdir(parents=True, exist_ok=True)
    tensors = _write_weights(planned, model, work / STATE, progress)
    _write_papers(planned, model, tensors)
    report = _report(planned, (found, found_tower), tensors)
    report["smoke"] = smoke_answer(model)
    write_whole(model / REPORT, json.dumps(report, indent=1))
    _move(model, place)
    shutil.rmtree(work, ignore_errors=True)
    return report


def _check_free(out: Path) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(
            f"{out}: expected a new folder, got one that holds something. Give another place, or "
            f"remove it."
        )
    parent = out.absolute().parent
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        raise DataError(
            f"{parent}: expected a folder that can be written to, got none. Make it first."
        )


def _move(model: Path, out: Path) -> None:
    if out.is_dir():
        out.rmdir()
    model.replace(out)


# -- the weights -------------------------------------------------------------------------------


def _write_weights(
    planned: Plan, model: Path, state: Path, progress: Progress
) -> dict[str, dict[str, Any]]:
    """Write each shard of the source as one file; return what is known of every tensor."""
    shards = _by_shard(planned.moves)
    names = _file_names(len(shards))
    identity = _identity(planned)
    done = _read_state(state, identity, model)
    for path in model.iterdir():
        if path.name not in done:  # of another source, or cut off
            path.unlink()
    total = sum(_size(move) for move in planned.moves)
    _check_room(model, total - sum((model / name).stat().st_size for name in done))
    tensors: dict[str, dict[str, Any]] = {}
    written = 0
    for file_name, (shard, moves) in zip(names, shards.items(), strict=True):
        if file_name not in done:
            done[file_name] = _write_shard(model / file_name, shard, moves)
            write_whole(state, json.dumps({"identity": identity, "done": done}))
        written += sum(_size(move) for move in moves)
        progress(file_name, written, total)
        for move in moves:
            tensors[move.target] = _entry(move, file_name, done[file_name][move.target])
    return tensors


def _write_shard(path: Path, shard: Path, moves: Sequence[Move]) -> dict[str, str]:
    by_target = {move.target: move for move in moves}
    headers = {move.target: (move.header.dtype, move.shape) for move in moves}
    with opened(shard) as read:

        def values() -> Iterator[Tensor]:
            for target in in_writing_order(headers):
                move = by_target[target]
                value = read(move.header.name)
                yield move.change.apply(value) if move.change else value

        return write_file(path, headers, values(), hand_back(shard))


def _by_shard(moves: Sequence[Move]) -> dict[Path, list[Move]]:
    shards: dict[Path, list[Move]] = {}
    for move in moves:
        shards.setdefault(move.header.shard, []).append(move)
    return shards


def _file_names(count: int) -> list[str]:
    if count == 1:
        return ["model.safetensors"]
    return [f"model-{i:05}-of-{count:05}.safetensors" for i in range(1, count + 1)]


def _size(move: Move) -> int:
    return math.prod(move.shape) * WORDS[move.header.dtype][1]


def _entry(move: Move, file_name: str, digest: str) -> dict[str, Any]:
    entry = {
        "from": move.name,
        "file": file_name,
        "dtype": move.header.dtype,
        "shape": list(move.shape),
        "sha256": digest,
    }
    return {**entry, "change": move.change.why} if move.change else entry


def _identity(planned: Plan) -> str:
    """Return a hash of what is read and how, so that only the same conversion is gone on with."""
    shards = sorted({move.header.shard for move in planned.moves})
    files = [(shard.name, shard.stat().st_size, shard.stat().st_mtime_ns) for shard in shards]
    moves = [(m.name, m.target, m.header.dtype, m.change and m.change.why) for m in planned.moves]
    text = json.dumps([planned.family, files, moves, planned.config.to_dict()], default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _read_state(state: Path, identity: str, model: Path) -> dict[str, dict[str, str]]:
    """Return the files that an interrupted call has written, if it was about the same."""
    try:
        document = json.loads(state.read_text(encoding="utf-8"))
        same = document["identity"] == identity
        done = document["done"] if same else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return {name: hashes for name, hashes in done.items() if (model / name).is_file()}


def _check_room(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise DataError(
            f"{folder.parent.parent}: expected {needed / 1e9:.1f} GB of room for the weights, got "
            f"{free / 1e9:.1f}. Make room and run it again; what is whole is kept."
        )


# -- the papers --------------------------------------------------------------------------------


def _write_papers(planned: Plan, model: Path, tensors: Mapping[str, Mapping[str, Any]]) -> None:
    for name, content in planned.files.items():
        write_whole(model / name, content)
    write_whole(model / "config.json", planned.config.to_json_string())
    files = {target: str(entry["file"]) for target, entry in tensors.items()}
    if len(set(files.values())) > 1:
        size = sum(_size(move) for move in planned.moves)
        index = {"metadata": {"total_size": size}, "weight_map": files}
        write_whole(model / INDEX, json.dumps(index, indent=1, sort_keys=True))


def _report(
    planned: Plan,
    sources: Sequence[Source | None],
    tensors: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    dtypes: dict[str, int] = {}
    extras = getattr(planned.config, "extras", None)  # what its config says that nothing reads
    for entry in tensors.values():
        dtypes[entry["dtype"]] = dtypes.get(entry["dtype"], 0) + math.prod(entry["shape"])
    return {
        "family": planned.family,
        "sources": [
            {"name": one.name, **({"commit": one.commit} if one.commit else {})}
            for one in sources
            if one is not None
        ],
        "used": len(planned.moves),
        "filled": len(tensors),
        "dropped": dict(planned.dropped),
        **({"config_extras": extras} if extras else {}),
        "parameters": dtypes,
        "checksum": checksum({name: entry["sha256"] for name, entry in tensors.items()}),
        "packages": {name: version(name) for name in PACKAGES},
        "tensors": dict(tensors),
    }


def checksum(hashes: Mapping[str, str]) -> str:
    """Return one hash over names and values of all tensors, however they lie in files."""
    lines = "".join(f"{name} {hashes[name]}\n" for name in sorted(hashes))
    return hashlib.sha256(lines.encode()).hexdigest()
