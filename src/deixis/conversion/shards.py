"""Reads the tensors of a checkpoint folder, pickled or safetensors, one shard after another.

Pickles are read with ``weights_only=True``: what is no plain tensor is refused, never run.
"""

import ctypes
import json
import mmap
import pickle
import struct
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from deixis.conversion.writing import WORDS
from deixis.errors import WeightsError
from deixis.models.released_files import MAPPED, map_file, read_header

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
        return _safe_headers(shard)
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
        yield map_file(shard).__getitem__
    else:
        yield _load_pickle(shard).pop


def hand_back(shard: Path) -> Callable[[Tensor, int, int], None]:
    """Return a function that hands back the memory of bytes that were read of a mapped shard."""
    advise = getattr(ctypes.CDLL(None), "madvise", None) if sys.platform == "linux" else None
    if shard.suffix == ".safetensors":
        mapped = shard.stat().st_size >= MAPPED
    else:
        mapped = zipfile.is_zipfile(shard)
    if advise is None or not mapped:
        return lambda tensor, begin, end: None

    def let_go(tensor: Tensor, begin: int, end: int) -> None:
        # whole pages inside the tensor only: they are clean, and their file still has them
        start = tensor.data_ptr()
        first = -(-(start + begin) // mmap.PAGESIZE) * mmap.PAGESIZE
        last = (start + end) // mmap.PAGESIZE * mmap.PAGESIZE
        if last > first and tensor.is_contiguous():
            advise(ctypes.c_void_p(first), ctypes.c_size_t(last - first), mmap.MADV_DONTNEED)

    return let_go


def dtype_name(dtype: torch.dtype) -> str:
    """Return ``bfloat16`` for ``torch.bfloat16``."""
    return str(dtype).removeprefix("torch.")


def _safe_headers(shard: Path) -> dict[str, Header]:
    try:
        entries, _ = read_header(shard)
    except (OSError, ValueError, KeyError, TypeError, struct.error) as error:
        raise WeightsError(
            f"{shard}: expected a whole safetensors file, got: {error}. Copy it again."
        ) from error
    headers = {}
    for name, entry in entries.items():
        word = str(entry["dtype"])
        if word not in NAMES:
            raise WeightsError(
                f"{shard}: {name}: expected numbers of {', '.join(NAMES)}, got {word}. "
                f"Give the checkpoint in the precision it was published in."
            )
        headers[name] = Header(
            shard=shard, name=name, shape=tuple(entry["shape"]), dtype=NAMES[word]
        )
    return headers


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
