"""Looks at a folder that a conversion made: is every tensor still what was written?"""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from deixis.conversion.convert import REPORT, checksum
from deixis.conversion.shards import dtype_name, read_json
from deixis.errors import WeightsError
from deixis.models.released_files import Weights, map_weights

SHOWN = 4


def is_converted(folder: Path) -> bool:
    """Say whether a folder holds the report of a conversion."""
    return (folder / REPORT).is_file()


def audit(folder: Path) -> str:
    """Compare every tensor of a folder with the report of its conversion; say what was found.

    Raises:
        WeightsError: tensors that are missing, new or changed; the message names them.
    """
    report = read_json(folder / REPORT)
    expected: dict[str, Any] = report["tensors"]
    weights = map_weights(folder)
    missing = sorted(expected.keys() - weights.tensors.keys())
    extra = sorted(weights.tensors.keys() - expected.keys())
    changed = [name for name in hashes_differ(weights, expected) if name not in missing]
    for names, what in ((missing, "missing"), (extra, "new"), (changed, "changed")):
        if names:
            shown = ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
            raise WeightsError(
                f"{folder}: expected the {len(expected)} tensors of its conversion, got "
                f"{len(names)} {what}: {shown}. Convert again, or copy the folder again."
            )
    found = checksum({name: entry["sha256"] for name, entry in expected.items()})
    if found != report["checksum"]:
        raise WeightsError(
            f"{folder / REPORT}: expected the checksum {found[:16]} of its own list, got "
            f"{report['checksum'][:16]}. The report was changed; convert again."
        )
    origin = " and ".join(one["name"] for one in report["sources"])
    return (
        f"{len(expected)} tensors as converted from {origin}, {len(report['dropped'])} left out; "
        f"checksum {found[:16]}"
    )


def hashes_differ(weights: Weights, expected: dict[str, Any]) -> Iterator[str]:
    """Yield the names of tensors whose dtype, shape or bytes are not those of the report."""
    read = 0
    for name, entry in expected.items():
        tensor = weights.tensors.get(name)
        if tensor is None:
            continue
        same = [list(tensor.shape), dtype_name(tensor.dtype)] == [entry["shape"], entry["dtype"]]
        data = tensor.reshape(-1).view(torch.uint8).numpy().data if tensor.numel() else b""
        if not same or hashlib.sha256(data).hexdigest() != entry["sha256"]:
            yield name
        read += tensor.numel() * tensor.element_size()
        if read > 1 << 28:
            weights.let_go()
            read = 0


def smoke_of(folder: Path) -> dict[str, Any]:
    """Return the answer that was written down when the folder was made."""
    return dict(json.loads((folder / REPORT).read_text(encoding="utf-8"))["smoke"])
