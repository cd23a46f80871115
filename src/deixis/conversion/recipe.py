"""A plan says where every tensor of a source goes; nothing is written before it is without fault.

A family's recipe turns a source into a plan; what is checked here is the same for all families.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from deixis.conversion.shards import Header, read_headers, read_json
from deixis.errors import WeightsError

SHOWN = 4  # names in one message


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The folder of a published checkpoint.

    Attributes:
        name: how a person knows it: the repository, or the folder's name.
        folder: where its ``config.json`` lies.
        commit: of the repository; empty for a folder.
    """

    name: str
    folder: Path
    commit: str = ""

    def config(self) -> dict[str, Any]:
        """Return what its ``config.json`` says."""
        return read_json(self.folder / "config.json")

    def headers(self) -> dict[str, Header]:
        """Return its tensors by name, without their values."""
        return read_headers(self.folder)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What is done to a tensor beside renaming it."""

    why: str
    apply: Callable[[Tensor], Tensor]
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """One tensor of a source and its place in our model."""

    name: str
    header: Header
    target: str
    change: Change | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape in our model."""
        return self.change.shape if self.change else self.header.shape


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All that a conversion will do.

    Attributes:
        model: our class of the model.
        moves: tensors that are used, each once.
        dropped: tensors that are not, and why.
        files: small files of the new folder, by name.
        published: our tensor's name -> its name in the published layout.
        advice: what to do if tensors are missing or too many, given (missing, extra, found).
    """

    family: str
    config: Any
    model: Any
    moves: tuple[Move, ...]
    dropped: Mapping[str, str]
    files: Mapping[str, bytes]
    published: Callable[[str], str] = str
    advice: Callable[[list[str], list[str], list[str]], str] = field(
        default=lambda missing, extra, found: "Give the checkpoint of one release, whole."
    )


def target_shapes(model: Any, config: Any) -> dict[str, tuple[int, ...]]:
    """Return the shapes of all tensors of a model, without memory for them."""
    with torch.device("meta"):
        built = model(config)
    return {name: tuple(value.shape) for name, value in built.state_dict().items()}


def check(plan: Plan, where: str) -> dict[str, tuple[int, ...]]:
    """Check that every tensor of the model is filled exactly once, with its shape.

    Returns:
        The shapes of the model's tensors.

    Raises:
        WeightsError: a tensor is missing, one too many, transposed or of another size.
    """
    expected = target_shapes(plan.model, plan.config)
    found: dict[str, Move] = {}
    for move in plan.moves:
        if move.target in found:
            raise WeightsError(
                f"{where}: {move.name}: expected one tensor for {move.target}, got also "
                f"{found[move.target].name}. Keep the weights of one release only."
            )
        found[move.target] = move
    missing = [plan.published(name) for name in expected if name not in found]
    extra = [move.name for target, move in found.items() if target not in expected]
    if missing or extra:
        advice = plan.advice(missing, extra, [move.name for move in plan.moves])
        raise WeightsError(f"{where}: {_counted(len(expected), missing, extra)}. {advice}")
    for target, move in found.items():
        if move.shape != expected[target]:
            raise WeightsError(f"{where}: {misshapen(move, expected[target])}")
    return expected


def _counted(total: int, missing: list[str], extra: list[str]) -> str:
    parts = [
        f"{len(names)} {what} ({', '.join(names[:SHOWN])}{', ...' if len(names) > SHOWN else ''})"
        for what, names in (("missing", missing), ("that no part of the model reads", extra))
        if names
    ]
    return f"expected the {total} tensors of the model, got {' and '.join(parts)}"


def misshapen(move: Move, expected: tuple[int, ...]) -> str:
    """Say what is wrong with a tensor's shape, and what to do."""
    got = move.shape
    if got == expected[::-1]:
        what, cure = " (transposed)", "Save it again as its framework's Linear has it: (out, in)."
    else:
        what, cure = "", "The weights and config.json are of different models; fetch both anew."
    return f"{move.name}: expected shape {expected}, got {got}{what}. {cure}"
