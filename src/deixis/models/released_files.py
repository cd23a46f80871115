"""Safetensors files of a model folder: checked, hashed, and mapped where they are large.

A mapped weight stays in its file until it is read, and its memory can be handed back: a model of
many gigabytes opens at once, and several processes share one copy.
"""

import json
import math
import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from deixis.errors import WeightsError

MAPPED = 1 << 28  # bytes from which a file is mapped; smaller ones may be replaced at any time
BLOCK = 1 << 22
HEADER = struct.Struct("<Q")  # a safetensors file begins with the length of its header
DTYPES = {
    "F64": torch.float64,
    "I64": torch.int64,
    "F32": torch.float32,
    "I32": torch.int32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I16": torch.int16,
    "U8": torch.uint8,
    "I8": torch.int8,
    "BOOL": torch.bool,
}


@dataclass(slots=True)
class Weights:
    """The tensors of a folder by name, and the files that they are mapped from."""

    tensors: dict[str, Tensor] = field(default_factory=dict)
    maps: list[mmap.mmap] = field(default_factory=list)

    def let_go(self) -> None:
        """Hand back the memory of mapped weights; whoever reads them next reads the file."""
        for one in self.maps:
            if hasattr(one, "madvise"):
                one.madvise(mmap.MADV_DONTNEED)


def weight_files(folder: Path) -> list[Path]:
    """Return the safetensors files of a folder.

    Raises:
        WeightsError: there are none.
    """
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise WeightsError(
            f"{folder}: expected weights in *.safetensors, got none. Copy the whole model folder."
        )
    return files


def map_weights(folder: Path) -> Weights:
    """Return all tensors of a folder; large files are not read yet.

    Raises:
        WeightsError: there are none, or a file is broken or cut short.
    """
    weights = Weights()
    for path in weight_files(folder):
        weights.tensors.update(map_file(path, weights.maps))
    return weights


def map_file(path: Path, maps: list[mmap.mmap] | None = None) -> dict[str, Tensor]:
    """Return the tensors of one file; what it is mapped to is added to ``maps``.

    Raises:
        WeightsError: the file is broken or cut short.
    """
    try:
        entries, start = read_header(path)
        buffer = _buffer(path)
        tensors = {name: _tensor(buffer, entry, start) for name, entry in entries.items()}
    except (OSError, ValueError, KeyError, TypeError, struct.error) as error:
        raise WeightsError(
            f"{path}: expected whole safetensors weights, got: {error}. Copy the file again."
        ) from error
    if maps is not None and isinstance(buffer, mmap.mmap):
        maps.append(buffer)
    return tensors


def read_header(path: Path) -> tuple[dict[str, Mapping[str, list[int]]], int]:
    """Return what a file says of its tensors, and where their bytes begin.

    Raises:
        ValueError, struct.error: not a safetensors file, or one that was cut short.
    """
    with path.open("rb") as file:
        length = HEADER.unpack(file.read(HEADER.size))[0]
        size = path.stat().st_size
        if length > size:
            raise ValueError(f"a header of {length} bytes in a file of {size}")
        entries = json.loads(file.read(length))
    entries.pop("__metadata__", None)
    start = HEADER.size + length
    end = max((one["data_offsets"][1] for one in entries.values()), default=0)
    if size != start + end:
        raise ValueError(f"{size} bytes in place of {start + end}")
    return entries, start


def _buffer(path: Path) -> mmap.mmap | bytearray:
    if path.stat().st_size < MAPPED:
        return bytearray(path.read_bytes())
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)


def _tensor(buffer: mmap.mmap | bytearray, entry: Mapping[str, list[int]], start: int) -> Tensor:
    dtype, shape = DTYPES[str(entry["dtype"])], entry["shape"]
    count = math.prod(shape)
    if not count:
        return torch.empty(shape, dtype=dtype)
    begin, end = entry["data_offsets"]
    if (end - begin) != count * dtype.itemsize:
        raise ValueError(f"{end - begin} bytes for a tensor of shape {shape}")
    flat = torch.frombuffer(buffer, dtype=dtype, count=count, offset=start + begin)
    return flat.reshape(shape)
