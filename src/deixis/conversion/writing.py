"""Writes safetensors files one tensor at a time, so that memory holds no more than one shard.

A file appears under its name when it is whole; what was done is written down after each file.
"""

import hashlib
import json
import math
import os
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor

from deixis.errors import DataError

PIECE = 1 << 26  # bytes that are written and hashed at a time
# dtype -> its word in a header and its bytes
WORDS = {
    "float64": ("F64", 8),
    "int64": ("I64", 8),
    "float32": ("F32", 4),
    "int32": ("I32", 4),
    "float16": ("F16", 2),
    "bfloat16": ("BF16", 2),
    "int16": ("I16", 2),
    "uint8": ("U8", 1),
    "int8": ("I8", 1),
    "bool": ("BOOL", 1),
}


def in_writing_order(tensors: Mapping[str, tuple[str, Sequence[int]]]) -> list[str]:
    """Return names of (dtype, shape) in the order of a file: wide dtypes first, so all align."""
    return sorted(tensors, key=lambda name: (-WORDS[tensors[name][0]][1], name))


def write_file(
    path: Path,
    tensors: Mapping[str, tuple[str, Sequence[int]]],
    values: Iterable[Tensor],
    written: Callable[[Tensor, int, int], None] = lambda tensor, begin, end: None,
) -> dict[str, str]:
    """Write a safetensors file; return the SHA-256 of each tensor's bytes.

    Args:
        path: its place.
        tensors: name -> (dtype, shape).
        values: the tensors themselves, in the order of ``in_writing_order``; each is let go
            before the next one is asked for.
        written: called with a tensor and which of its bytes are in the file by now.

    Raises:
        DataError: the place cannot be written to, or the disk is full.
    """
    draft = path.with_name(f".{path.name}.draft")
    hashes: dict[str, str] = {}
    try:
        with draft.open("wb") as file:
            file.write(_header(tensors))
            for name, value in zip(in_writing_order(tensors), values, strict=True):
                hashes[name] = _write(file, value, written)
                del value
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise DataError(
            f"{path}: expected room to write, got: {error.strerror}. Make room and run it again; "
            f"the files that are whole are kept."
        ) from error
    return hashes


def _header(tensors: Mapping[str, tuple[str, Sequence[int]]]) -> bytes:
    entries: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for name in in_writing_order(tensors):
        dtype, shape = tensors[name]
        word, width = WORDS[dtype]
        end = offset + math.prod(shape) * width
        entries[name] = {"dtype": word, "shape": list(shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


def _write(file: BinaryIO, value: Tensor, written: Callable[[Tensor, int, int], None]) -> str:
    """Write the bytes of a tensor, without a copy where it lies in one piece; return their hash."""
    flat = value.detach().contiguous().reshape(-1)
    digest = hashlib.sha256()
    data = flat.view(torch.uint8).numpy().data if flat.numel() else memoryview(b"")
    for begin in range(0, len(data), PIECE):
        piece = data[begin : begin + PIECE]
        file.write(piece)
        digest.update(piece)
        written(value, begin, begin + len(piece))
    return digest.hexdigest()
