"""Which models are there, which could be converted, and whether a folder is a model at all.

Everything here reads headers only and runs without torch.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from deixis.conversion.published import PUBLISHED, READY
from deixis.errors import WeightsError

if TYPE_CHECKING:
    from rich.console import Console

PACKAGE = Path(__file__).parents[1] / "weights"
OURS = ("deixis", *READY)  # families that can be opened
# architecture in a published checkpoint's config.json -> what it is, and its family
SYSTEMS = {
    "PixelLMForCausalLM": ("PixelLM", "pixellm"),
    "PixelQwen2_5_VLForConditionalGeneration": ("UniPixel", "unipixel"),
    "PrimaForCausalLM": ("PRIMA", "prima"),
}
LAYOUTS = ("", "hf_model")  # where in a folder a published checkpoint may lie
HEADER = struct.Struct("<Q")  # a safetensors file begins with the length of its header


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A model in a folder."""

    name: str
    folder: Path
    kind: str
    parameters: int
    megabytes: float


def check_model(model: str) -> None:
    """Refuse what cannot be a model, in milliseconds.

    Raises:
        WeightsError: an unknown name, a folder that holds no model, weights cut short.
    """
    folder = Path(model)
    if not folder.exists():
        names = [found.name for found in installed()]
        if model in names:
            return
        known = "".join(f", {name}" for name in names)
        raise WeightsError(
            f'model: expected the folder of a model{known}, got "{model}". See: deixis models.'
        )
    read_model(folder)


def read_model(folder: Path, name: str = "") -> Found:
    """Return what a folder with a model holds.

    Raises:
        WeightsError: there is none, it is published and not converted yet, or its weights are
            not whole.
    """
    system = convertible(folder)
    if system is not None:
        raise WeightsError(
            f"{folder}: expected a model that is ready to use, got a published checkpoint of "
            f"{system}. {_how(folder)}"
        )
    config = _read_config(folder)
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        raise WeightsError(
            f"{folder}: expected weights in *.safetensors beside config.json, got none. "
            f"Give the folder that training wrote, for example out/tiny/best."
        )
    parameters = sum(_count_parameters(path) for path in weights)
    kind = str(config.get("model_type"))
    if kind not in OURS:
        raise WeightsError(
            f'{folder}: expected a model of type {" or ".join(OURS)}, got "{kind}". '
            f"A published checkpoint is converted first: deixis models {folder}."
        )
    size = sum(path.stat().st_size for path in weights) / 1e6
    return Found(
        name=name or folder.name, folder=folder, kind=kind, parameters=parameters, megabytes=size
    )


def installed() -> Iterator[Found]:
    """Yield the models inside the package."""
    for config in sorted(PACKAGE.glob("*/config.json")):
        yield read_model(config.parent)


def convertible(folder: Path) -> str | None:
    """Return which published system a folder's checkpoint is of, or None."""
    inside = [folder / part for part in LAYOUTS if (folder / part / "config.json").is_file()]
    names = _read_config(inside[0] if inside else folder).get("architectures") or [""]
    return SYSTEMS.get(names[0], ("",))[0] or None if isinstance(names, list) else None


def print_models(folders: Sequence[Path]) -> None:
    """Write what is installed and in the given folders, and what is published."""
    from rich.console import Console
    from rich.table import Table

    table = Table("model", "parameters", "size", "where", box=None, pad_edge=False)
    found = list(installed())
    foreign: list[tuple[Path, str]] = []
    for folder in folders:
        system = convertible(folder)
        if system is None:
            found.append(read_model(folder))
        else:
            foreign.append((folder, system))
    for one in found:
        size = f"{one.megabytes:.1f} MB"
        table.add_row(one.name, f"{one.parameters / 1e6:.2f} M", size, _shown(one.folder))
    console = Console(soft_wrap=True, highlight=False)
    console.print(table if found else "No model is installed.")
    for folder, system in foreign:
        console.print(
            f"{folder}: a published checkpoint of {system}; not converted yet. {_how(folder)}"
        )
    _print_published(console)


def _how(folder: Path) -> str:
    """Say how a published checkpoint in a folder is converted."""
    system = convertible(folder)
    family = next((family for name, family in SYSTEMS.values() if name == system), "")
    if family not in READY:
        return "This family cannot be converted yet."
    tower = next((one.tower for one in PUBLISHED if one.family == family and one.tower), "")
    end = f" --vision-tower {tower}" if tower else ""
    return f"Run: deixis convert {folder} OUT --family {family}{end}"


def _print_published(console: Console) -> None:
    console.print("\nPublished checkpoints, fetched and converted by the command below each:")
    for one in PUBLISHED:
        console.print(
            f"{one.name:<12} {one.billions:5.2f} B parameters, {one.gigabytes:5.2f} GB to fetch; "
            f"{one.licence}; {one.origin}\n    {one.command}",
            markup=False,
        )
    console.print(
        "\nWithout a network, fetch a repository elsewhere (hf download REPOSITORY --local-dir "
        "FOLDER)\nand give its folder in place of the repository."
    )


def _read_config(folder: Path) -> dict[str, object]:
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = "none" if isinstance(error, FileNotFoundError) else "a file that cannot be read"
        raise WeightsError(
            f"{folder}: expected the folder of a model, with config.json in it, got {reason}. "
            f"See: deixis models."
        ) from error
    if not isinstance(config, dict):
        raise WeightsError(f"{path}: expected keys and values, got something else.")
    return config


def _count_parameters(path: Path) -> int:
    """Return how many numbers a safetensors file holds, after a look at its length.

    Raises:
        WeightsError: it is cut short, or is something else.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(HEADER.size)
        length = HEADER.unpack(head)[0] if len(head) == HEADER.size else size
        text = file.read(length) if length < size else b""
    try:
        tensors = json.loads(text)
        tensors.pop("__metadata__", None)
        expected = HEADER.size + length + max(one["data_offsets"][1] for one in tensors.values())
        shapes = [one["shape"] for one in tensors.values()]
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise WeightsError(
            f"{path}: expected a safetensors file, got a broken one ({size} bytes). Copy it again."
        ) from error
    if size != expected:
        raise WeightsError(
            f"{path}: expected {expected} bytes, got {size}: weights that were cut short. "
            f"Copy the file again."
        )
    return sum(math.prod(shape) for shape in shapes)


def _shown(folder: Path) -> str:
    return "in the package" if PACKAGE in folder.parents else str(folder)
