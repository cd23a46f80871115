"""Reads the tensors of a checkpoint folder, pickled or safetensors, one shard after another.

Pickles are read with ``weights_only=True``: what is no plain tensor is refused, never run.
"""

import json
import pickle
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from deixis.conversion.writing import WORDS
from deixis.errors import WeightsError

INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
SINGLES = ("model.safetensors", "pytorch_model.bin")
NAMES = {word: name for name, (word, _) in WORDS.items()}
NOT_WEIGHTS = ("training_args", "optimizer", "scheduler")


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """A tensor before it is read: where it lies and its name there, its shape and its dtype."""

    shard: Path
    name: str
    shape: tuple[int, ...]
    dtype: str


def read_json(path: Path) -> dict[str, Any]:
    """Return the keys and values of a JSON file.

    Raises:
        WeightsError: there is none, or it is broken.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise WeightsError(
            f"{path}: expected this file of the checkpoint, got none. Copy the whole folder."
        ) from error
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path}: expected JSON, got: {error}. Copy the file again.") from error
    if not isinstance(document, dict):
        raise WeightsError(f"{path}: expected keys and values, got a list. Copy the file again.")
    return document


def find_shards(folder: Path) -> list[Path]:
    """Return the files with weights in reading order; safetensors before pickles.

    Raises:
        WeightsError: there are none, or the index names one that is missing.
    """
    for name in INDEXES:
        if (folder / name).is_file():
            weights = read_json(folder / name).get("weight_map")
            if not isinstance(weights, dict) or not weights:
                raise WeightsError(
                    f'{folder / name}: expected a "weight_map", got none. Copy the file again.'
                )
            shards = [folder / one for one in dict.fromkeys(sorted(map(str, weights.values())))]
            missing = [shard.name for shard in shards if not shard.is_file()]
            if missing:
                raise WeightsError(
                    f"{folder}: expected the {len(shards)} shards of {name}, got no "
                    f"{', '.join(missing)}. Fetch what is missing."
                )
            return shards
    singles = [folder / name for name in SINGLES if (folder / name).is_file()]
    return singles[:1] or _loose(folder)


def _loose(folder: Path) -> list[Path]:
    for kind in ("*.safetensors", "*.bin"):
        found = [p for p in sorted(folder.glob(kind)) if not p.name.startswith(NOT_WEIGHTS)]
        if found:
            return found
    return []


def read_headers(folder: Path) -> dict[str, Header]:
    """Return every tensor of a folder by name, without its values.

    Raises:
        WeightsError: a broken shard, a name in two shards, or an index that tells another story.
    """
    headers: dict[str, Header] = {}
    for shard in find_shards(folder):
        for name, header in _headers(shard).items():
            if name in headers:
                raise WeightsError(
                    f"{shard}: expected every tensor once, got {name} here and in "
                    f"{headers[name].shard.name}. Keep the files of one release only."
                )
            headers[name] = header
    for index in INDEXES:
        if (folder / index).is_file():
            _compare(folder / index, headers)
            break
    return headers


def _compare(index: Path, headers: Mapping[str, Header]) -> None:
    named = read_json(index)["weight_map"]
    lost = sorted(name for name in named if name not in headers)
    strange = sorted(name for name in headers if name not in named)
    for names, what in ((lost, "is in none of its shards"), (strange, "is not in the index")):
        if names:
            raise WeightsError(
                f"{index}: expected its tensors to be those of the shards, got {names[0]}, which "
                f"{what} ({len(names)} such). Copy index and shards of one release."
            )


def _headers(shard: Path) -> dict[str, Header]:
    if shard.suffix == ".safetensors":
        with _whole(shard), safe_open(shard, framework="pt") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            return {
                name: Header(
                    shard=shard,
                    name=name,
                    shape=tuple(one.get_shape()),
                    dtype=NAMES[one.get_dtype()],
                )
                for name, one in slices.items()
            }
    tensors = _load_pickle(shard)
    return {
        name: Header(shard=shard, name=name, shape=tuple(one.shape), dtype=dtype_name(one.dtype))
        for name, one in tensors.items()
    }


@contextmanager
def opened(shard: Path) -> Iterator[Callable[[str], Tensor]]:
    """Lend a function from a tensor's name to the tensor; memory goes back at the end.

    Raises:
        WeightsError: the file is cut short, or holds something else than tensors.
    """
    if shard.suffix == ".safetensors":
        with _whole(shard), safe_open(shard, framework="pt") as file:
            yield file.get_tensor
    else:
        tensors = _load_pickle(shard)
        yield tensors.pop


def dtype_name(dtype: torch.dtype) -> str:
    """Return ``bfloat16`` for ``torch.bfloat16``."""
    return str(dtype).removeprefix("torch.")


@contextmanager
def _whole(shard: Path) -> Iterator[None]:
    try:
        yield
    except KeyError as error:
        raise WeightsError(
            f"{shard}: expected numbers of {', '.join(WORDS)}, got {error}. "
            f"Give the checkpoint in the precision it was published in."
        ) from error
    except (SafetensorError, OSError) as error:
        raise WeightsError(
            f"{shard}: expected a whole safetensors file, got: {error}. Copy it again."
        ) from error


def _load_pickle(shard: Path) -> dict[str, Tensor]:
    """Map a zipped pickle into memory, or read an old one; never run what it holds."""
    lazy = zipfile.is_zipfile(shard)
    try:
        state = torch.load(shard, map_location="cpu", weights_only=True, mmap=lazy)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:160]
        raise WeightsError(
            f"{shard}: expected pickled tensors and nothing else, got: {reason}. "
            f"Copy the file again, from where it was published."
        ) from error
    if not isinstance(state, Mapping):
        raise WeightsError(
            f"{shard}: expected tensors by name, got {type(state).__name__}. "
            f"Give the checkpoint that save_pretrained wrote."
        )
    for name, value in state.items():
        if not isinstance(value, Tensor):
            raise WeightsError(
                f"{shard}: expected only tensors, got {name} of type {type(value).__name__}. "
                f"Give the model's weights, not the state of a training."
            )
    return dict(state)
