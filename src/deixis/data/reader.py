"""Readers: files -> samples, one by one, when asked for. Our own format is a JSON sample a line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol, overload

import numpy as np

from deixis.errors import DataError
from deixis.structures.numbering import ordinal
from deixis.structures.samples import Sample
from deixis.structures.wire import sample_from_json


class Reader(Protocol):
    """What the rest of the house asks of a data set: a length, and samples by index."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample: ...


class JsonlReader(Sequence[Sample]):
    """The samples of a JSONL file; image paths are relative to the file.

    Opening notes where the lines begin; a line is read and checked when its sample is asked for.

    Raises:
        DataError: the file is missing or empty; later, a line that is no valid sample, as
            ``file:line: field: expected, got``.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise DataError(f"{path}: expected a samples file, got none. Check the path.")
        places = [(line, start) for line, start, text in self._lines() if text.strip()]
        if not places:
            raise DataError(f"{path}: expected a sample on each line, got an empty file.")
        self._places = np.array(places, dtype=np.int64)  # line index and first byte

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, index: int) -> Sample: ...

    @overload
    def __getitem__(self, index: slice) -> list[Sample]: ...

    def __getitem__(self, index: int | slice) -> Sample | list[Sample]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        line, start = self._places[index].tolist()
        with self.path.open("rb") as file:
            file.seek(start)
            text = file.readline()
        return sample_from_json(text, self.path.parent, where=f"{self.path}:{ordinal(line)}")

    def _lines(self) -> Iterator[tuple[int, int, bytes]]:
        """Every line with its index and its first byte."""
        start = 0
        with self.path.open("rb") as file:
            for line, text in enumerate(file):
                yield line, start, text
                start += len(text)
