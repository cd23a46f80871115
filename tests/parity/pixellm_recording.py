"""PixelLM's recordings: values that know whether they have been fed in or compared."""

import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

GOLDENS = os.environ.get("DEIXIS_GOLDENS", "../shared/goldens")
FOLDER = Path(__file__).parents[2] / GOLDENS / "pixellm"


class Recording:
    """All files of one folder; ``left`` holds the places that nothing has used yet."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tensors = {p.stem: load_file(p) for p in sorted(folder.glob("*.safetensors"))}
        self.values = {p.stem: json.loads(p.read_text()) for p in sorted(folder.glob("*.json"))}
        self.left = {(stem, name) for stem, found in self.tensors.items() for name in found}
        self.left |= {place for stem, v in self.values.items() for place in leaves(v, (stem,))}

    def peek(self, *place: Any) -> Any:
        """Return a plain value without using it."""
        value = self.values
        for key in place:
            value = value[key]
        return value

    def value(self, *place: Any) -> Any:
        """Return a plain value that is fed in or compared with all that it holds."""
        value = self.peek(*place)
        self.left.difference_update(leaves(value, place))
        return value

    def tensor(self, stem: str, name: str) -> Tensor:
        """Return a tensor that is fed in or compared."""
        self.left.discard((stem, name))
        return self.tensors[stem][name]

    def names(self, stem: str, start: str = "") -> list[str]:
        """Return the names of a file's tensors."""
        return [name for name in self.tensors[stem] if name.startswith(start)]

    def close(self, stem: str, name: str, ours: Tensor, within: float, relative: float = 0) -> None:
        """Compare a whole tensor."""
        theirs = self.tensor(stem, name)
        torch.testing.assert_close(
            ours.detach().to(theirs.dtype), theirs, atol=within, rtol=relative,
            msg=lambda said: f"{stem}: {name}: {said}",
        )  # fmt: skip


def leaves(value: Any, place: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    """Return the places of all single values below one."""
    if isinstance(value, dict):
        return [leaf for key, below in value.items() for leaf in leaves(below, (*place, key))]
    if isinstance(value, list):
        return [leaf for i, below in enumerate(value) for leaf in leaves(below, (*place, i))]
    return [place]
