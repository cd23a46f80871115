"""Recorded values that know which of them have been used: fed in, or compared."""

import json
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

GOLDENS = Path(__file__).parents[2] / os.environ.get("DEIXIS_GOLDENS", "../shared/goldens")


class Recorded:
    """One place in a recorded file; what has not been used yet is in `left`."""

    def __init__(self, value: Any, path: tuple[Any, ...], left: set[tuple[Any, ...]]) -> None:
        self._value, self._path, self._left = value, path, left

    def __getitem__(self, key: Any) -> "Recorded":
        return Recorded(self._value[key], (*self._path, key), self._left)

    def __iter__(self) -> Iterator["Recorded"]:
        return (self[i] for i in range(len(self._value)))

    def __len__(self) -> int:
        return len(self._value)

    def __contains__(self, key: Any) -> bool:
        return key in self._value

    def items(self) -> Iterator[tuple[Any, "Recorded"]]:
        """Yield the keys of a mapping with what is recorded there."""
        return ((key, self[key]) for key in self._value)

    @property
    def plain(self) -> Any:
        """The plain value, unused by this."""
        return self._value

    def fed(self) -> Any:
        """Return the plain value, as an input: all of it counts as used."""
        self._left.difference_update(list(leaves(self._value, self._path)))
        return self._value

    def equals(self, ours: Any) -> None:
        """Compare exactly; numbers of any kind, arrays as lists."""
        ours = ours.tolist() if isinstance(ours, np.ndarray | np.generic) else ours
        assert ours == self.fed(), f"{self._path}: expected {self._value}, got {ours}"

    def close(self, ours: Any, *, within: float = 0.0, relative: float = 0.0) -> None:
        """Compare up to a tolerance."""
        theirs = np.asarray(self.fed(), dtype=np.float64)
        np.testing.assert_allclose(
            np.asarray(ours, dtype=np.float64).reshape(theirs.shape),
            theirs,
            rtol=relative,
            atol=within,
            err_msg=str(self._path),
        )


def leaves(value: Any, path: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    """Yield the paths of all single values below one."""
    if isinstance(value, dict):
        for key, below in value.items():
            yield from leaves(below, (*path, key))
    elif isinstance(value, list):
        for index, below in enumerate(value):
            yield from leaves(below, (*path, index))
    else:
        yield path


class File:
    """A recorded JSON file with the arrays of the same name beside it."""

    def __init__(self, folder: Path, stem: str) -> None:
        texts, arrays = folder / f"{stem}.json", folder / f"{stem}.npz"
        value = json.loads(texts.read_text()) if texts.is_file() else {}
        self._arrays = dict(np.load(arrays)) if arrays.is_file() else {}
        self.left = set(leaves(value, ())) | {("npz", name) for name in self._arrays}
        self.values = Recorded(value, (), self.left)

    def __getitem__(self, key: Any) -> Recorded:
        return self.values[key]

    def __contains__(self, key: Any) -> bool:
        return key in self.values

    def array(self, name: str) -> np.ndarray:
        """Return an array as an input."""
        self.left.discard(("npz", name))
        return self._arrays[name]

    def names(self) -> list[str]:
        """Return the names of all arrays."""
        return list(self._arrays)


def stems(folder: Path) -> list[str]:
    """Return the names of all recorded files, without their endings."""
    found = folder.iterdir() if folder.is_dir() else ()
    return sorted({path.stem for path in found if path.suffix in {".json", ".npz"}})


@cache
def recorded(folder: Path, stem: str) -> File:
    """Return a file; the test that asks for one is skipped where there are no recordings."""
    if not folder.is_dir():
        pytest.skip(f"{folder}: no recorded values here; name their folder in DEIXIS_GOLDENS")
    return File(folder, stem)
