"""Where the records of a large JSON list are in its file, so that opening it again reads nothing.

The places are kept in the user's cache under a hash of the whole file: another file, or the same
one edited, never meets an old index.
"""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from deixis.errors import DataError

VERSION = 2  # of what is kept; raise it when the meaning of an index changes
CHUNK = 2**22  # bytes read at once
WORTHWHILE = 2**20  # bytes from which a file's index is kept

Count = Callable[[Any, str], int]  # how many rows a record gives, and where an error is


@dataclass(frozen=True, eq=False)
class Rows(Sequence[Any]):
    """Rows (first byte, byte behind the last, number, record), kept as int64 (rows, 4)."""

    places: np.ndarray

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: Any) -> Any:
        found = self.places[index].tolist()
        return [tuple(row) for row in found] if isinstance(index, slice) else tuple(found)


def record_rows(path: Path, kind: str, count: Count) -> Rows:
    """Return one row per row of each record of a JSON list.

    Args:
        path: a JSON file that holds a list.
        kind: what counts, part of the hash.
        count: returns how many rows a record gives; one that it refuses with a DataError gives
            one row, to be refused again when it is read.

    Returns:
        Numbers run from 0 within a record, records from 0 within the file.

    Raises:
        DataError: the file is no JSON list.
    """
    size = path.stat().st_size
    kept = _folder() / f"{_hash(path, kind)}.npy" if size >= WORTHWHILE else None
    rows = None if kept is None else _load(kept, size)
    if rows is None:
        found = [
            (start, stop, number, index)
            for index, (start, stop, entry) in enumerate(_records(path))
            for number in range(_count(count, entry, f"{path}:{index}"))
        ]
        rows = np.array(found, dtype=np.int64).reshape(-1, 4)
        if kept is not None:
            _keep(kept, rows)
    return Rows(rows)


def _count(count: Count, entry: Any, where: str) -> int:
    try:
        return count(entry, where)
    except DataError:
        return 1


def read_record(path: Path, start: int, stop: int) -> Any:
    """Return the record between two bytes of a file.

    Raises:
        DataError: the file changed since its index was made.
    """
    with path.open("rb") as file:
        file.seek(start)
        text = file.read(stop - start)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{path}: expected the file as it was opened, got another. Open it again."
        ) from error


def _records(path: Path) -> Iterator[tuple[int, int, Any]]:
    """Yield the first byte, the byte behind the last, and each record of a JSON list."""
    decoder, marks = json.JSONDecoder(), " \t\n\r"
    try:
        text = path.read_bytes().decode("utf-8")
        place = len(text) - len(text.lstrip(marks))
        if text[place : place + 1] != "[":
            raise DataError(f"{path}: expected a list, got another kind of JSON.")
        place, byte, seen, first = place + 1, 0, 0, True
        while True:
            place = _skip(text, place, marks)
            if text[place : place + 1] == "]":
                break
            if not first:
                if text[place : place + 1] != ",":
                    raise ValueError(f"no comma at {place}")
                place = _skip(text, place + 1, marks)
            start = byte + len(text[seen:place].encode())
            entry, end = decoder.raw_decode(text, place)
            byte = start + len(text[place:end].encode())
            yield start, byte, entry
            place, seen, first = end, end, False
        if text[place + 1 :].strip(marks):
            raise ValueError(f"more behind the list at {place + 1}")
    except (ValueError, RecursionError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path}: expected JSON, got a broken file ({error}).") from error


def _skip(text: str, place: int, marks: str) -> int:
    while place < len(text) and text[place] in marks:
        place += 1
    return place


def _hash(path: Path, kind: str) -> str:
    digest = blake2b(f"{VERSION}/{kind}/".encode(), digest_size=20)
    with path.open("rb") as file:
        while part := file.read(CHUNK):
            digest.update(part)
    return digest.hexdigest()


def _folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "deixis" / "index"


def _load(kept: Path, size: int) -> np.ndarray | None:
    """Return a kept index, or None where there is none that can be used."""
    try:
        rows: np.ndarray = np.load(kept, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    good = rows.dtype == np.int64 and rows.ndim == 2 and rows.shape[1] == 4
    return rows if good and (not rows.size or rows[:, 1].max() <= size) else None


def _keep(kept: Path, rows: np.ndarray) -> None:
    """Keep an index, whole or not at all; where the cache cannot be written, do without."""
    draft = kept.with_name(f"{kept.name}.{os.getpid()}.draft")
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("wb") as file:
            np.save(file, rows)
        os.replace(draft, kept)
    except OSError:
        draft.unlink(missing_ok=True)
