"""Mask: which pixels of one image something covers.

A mask *is* a boolean array (H, W). It is kept as packed bits of its bounding box, so that the
masks of a long clip cost little; COCO RLE and polygons are encodings made on demand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from deixis.errors import DataError, ShapeError

LARGEST = 2**28  # pixels that a mask read from a file may have


class Mask:
    """A set of pixels of one image (H, W); immutable, equal by pixels.

    Raises:
        ShapeError: the array has not two axes, or is empty.
        DataError: the array is not boolean.
    """

    __slots__ = ("__dict__", "_bits", "_window", "size")

    def __init__(self, pixels: np.ndarray) -> None:
        pixels = np.asarray(pixels)
        if pixels.ndim != 2 or 0 in pixels.shape:
            raise ShapeError(f"mask: expected an array (H, W), got shape {pixels.shape}.")
        if pixels.dtype != np.bool_:
            raise DataError(
                f"mask: expected booleans, got {pixels.dtype}. Compare first: mask > 0."
            )
        self.size = (int(pixels.shape[0]), int(pixels.shape[1]))  # (height, width)
        rows = np.flatnonzero(pixels.any(1))
        if rows.size:
            columns = np.flatnonzero(pixels[rows[0] : rows[-1] + 1].any(0))
            window = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
        else:
            window = (0, 0, 0, 0)
        self._window = window
        x0, y0, x1, y1 = window
        self._bits = np.packbits(pixels[y0:y1, x0:x1])

    @classmethod
    def empty(cls, size: tuple[int, int]) -> Mask:
        """Return a mask of no pixel, of the given (height, width)."""
        return cls(np.zeros(size, dtype=bool))

    @property
    def pixels(self) -> np.ndarray:
        """A fresh boolean array (H, W)."""
        pixels = np.zeros(self.size, dtype=bool)
        x0, y0, x1, y1 = self._window
        pixels[y0:y1, x0:x1] = self._inside()
        return pixels

    @cached_property
    def area(self) -> int:
        """Number of pixels."""
        return int(np.bitwise_count(self._bits).sum())

    @property
    def box(self) -> tuple[int, int, int, int] | None:
        """Half-open corners (x0, y0, x1, y1) of the smallest box around it; None if empty."""
        return self._window if self.area else None

    def intersection(self, other: Mask) -> int:
        """Return how many pixels both masks cover.

        Raises:
            ShapeError: the masks belong to images of different sizes.
        """
        if self.size != other.size:
            raise ShapeError(f"masks: expected one size, got {self.size} and {other.size}.")
        a, b = self._window, other._window
        if a == b:
            return int(np.bitwise_count(self._bits & other._bits).sum())
        x0, y0, x1, y1 = max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])
        if x0 >= x1 or y0 >= y1:
            return 0
        ours = self._inside()[y0 - a[1] : y1 - a[1], x0 - a[0] : x1 - a[0]]
        theirs = other._inside()[y0 - b[1] : y1 - b[1], x0 - b[0] : x1 - b[0]]
        return int(np.count_nonzero(ours & theirs))

    def union(self, other: Mask) -> int:
        """Return how many pixels at least one of the masks covers."""
        return self.area + other.area - self.intersection(other)

    def joined(self, other: Mask) -> Mask:
        """Return the mask of the pixels that at least one of the masks covers.

        Raises:
            ShapeError: the masks belong to images of different sizes.
        """
        if self.size != other.size:
            raise ShapeError(f"masks: expected one size, got {self.size} and {other.size}.")
        pixels = self.pixels
        x0, y0, x1, y1 = other._window
        pixels[y0:y1, x0:x1] |= other._inside()
        return Mask(pixels)

    def _inside(self) -> np.ndarray:
        """Pixels of the bounding box."""
        x0, y0, x1, y1 = self._window
        height, width = y1 - y0, x1 - x0
        bits = np.unpackbits(self._bits, count=height * width)
        return bits.view(bool).reshape(height, width)

    # -- encodings -------------------------------------------------------------------------

    def to_rle(self) -> dict[str, object]:
        """Return COCO's compressed RLE: {"size": [H, W], "counts": text}."""
        x0, y0, _, _ = self._window
        inside = self._inside()
        framed = np.zeros((inside.shape[1], inside.shape[0] + 2), dtype=np.int8)
        framed[:, 1:-1] = inside.T  # COCO runs down the columns
        column, row = np.nonzero(np.diff(framed, axis=1))  # runs start and stop in turns
        changes = (column + x0) * self.size[0] + row + y0
        # a run that goes on at the top of the next column stops and starts at one place
        meets = np.flatnonzero(changes[1:-1:2] == changes[2::2]) * 2 + 1
        changes = np.delete(changes, np.concatenate((meets, meets + 1)))
        total = self.size[0] * self.size[1]
        ends = changes if changes.size and changes[-1] == total else np.append(changes, total)
        return {"size": list(self.size), "counts": _pack_counts(np.diff(ends, prepend=0))}

    @classmethod
    def from_rle(cls, rle: Mapping[str, Any]) -> Mask:
        """Read COCO's RLE, {"size": [H, W], "counts": ...}: compressed text, or a list of runs.

        Raises:
            DataError: no such fields, or runs that do not fill the size exactly.
        """
        height, width = _read_size(rle)
        counts = rle["counts"]
        runs = _unpack_counts(counts) if isinstance(counts, str | bytes) else _check_runs(counts)
        if (runs < 0).any() or runs.sum() != height * width:
            raise DataError(
                f"RLE: expected runs that add up to {height} x {width} = {height * width} pixels, "
                f"got {runs.sum()}. Check that size is [height, width]."
            )
        values = np.arange(len(runs)) % 2 == 1
        return cls(np.repeat(values, runs).reshape(width, height).T)

    def to_polygons(self) -> list[list[int]]:
        """Return the outlines [x, y, x, y, ...], of holes too; even-odd filling gives the mask.

        They run along the edges of pixels, so corners are whole numbers from 0 to width and height.
        """
        x0, y0, _, _ = self._window
        outlines = _outlines(np.pad(self._inside(), 1))
        return [np.add(outline, (x0, y0)).ravel().tolist() for outline in outlines]

    @classmethod
    def from_polygons(cls, polygons: Sequence[Sequence[float]], size: tuple[int, int]) -> Mask:
        """Fill outlines [x, y, x, y, ...]: a pixel belongs to the mask if its centre is inside.

        Inside means within an odd number of outlines, so an outline within another is a hole.
        What lies outside the image is cut off.

        Raises:
            DataError: an outline of fewer than three corners, or with a number that is not finite.
        """
        _check_polygons(polygons)
        height, width = size
        places = [np.empty(0, np.int64), *(_crossings(polygon, size) for polygon in polygons)]
        place, times = np.unique(np.concatenate(places), return_counts=True)
        turns = np.zeros((height, width + 1), dtype=bool)  # where a row goes in or out
        turns.flat[place[times % 2 == 1]] = True
        return cls(np.logical_xor.accumulate(turns, axis=1)[:, :width])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Mask):
            return NotImplemented
        return (
            self.size == other.size
            and self._window == other._window
            and np.array_equal(self._bits, other._bits)
        )

    def __hash__(self) -> int:
        return hash((self.size, self._window, self._bits.tobytes()))

    def __repr__(self) -> str:
        return f"Mask(size={self.size}, area={self.area}, box={self.box})"


# -- COCO's text of run lengths --------------------------------------------------------------
# From the fourth on, a run is written as its difference to the run two before; a number is
# written in digits of 5 bits, lowest first, each with a sixth bit that says "more follows".


def _pack_counts(runs: np.ndarray) -> str:
    rest = runs.astype(np.int64)
    rest[3:] -= runs[1:-2]
    digits = []
    unfinished = np.ones(len(rest), dtype=bool)
    while unfinished.any():
        digit = rest & 0x1F
        rest = rest >> 5
        more = np.where(digit & 0x10, rest != -1, rest != 0) & unfinished
        digits.append(np.where(unfinished, digit + 0x20 * more + 48, 0))
        unfinished = more
    text = np.stack(digits, axis=1).astype(np.uint8).ravel()
    return text[text > 0].tobytes().decode("ascii")


def _unpack_counts(text: str | bytes) -> np.ndarray:
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    codes = np.frombuffer(data, dtype=np.uint8).astype(np.int64) - 48
    last = (codes & 0x20) == 0
    if not codes.size or codes.min() < 0 or codes.max() > 63 or not last[-1]:
        raise DataError("RLE: expected COCO's compressed counts, got a text that is none.")
    ends = np.flatnonzero(last)
    starts = np.concatenate(([0], ends[:-1] + 1))
    place = np.arange(len(codes)) - np.repeat(starts, ends - starts + 1)
    if place.max() > 7:
        raise DataError("RLE: expected COCO's compressed counts, got a number of over 35 bits.")
    runs = np.add.reduceat((codes & 0x1F) << (5 * place), starts)
    runs -= np.where(codes[ends] & 0x10, np.int64(1) << (5 * (place[ends] + 1)), 0)
    runs[1::2] = np.cumsum(runs[1::2])
    runs[2::2] = np.cumsum(runs[2::2])
    return runs


def _check_runs(counts: object) -> np.ndarray:
    if not isinstance(counts, Sequence) or not all(type(n) is int and n < LARGEST for n in counts):
        raise DataError(
            f"RLE: expected counts as text or as a list of whole numbers, "
            f"got {type(counts).__name__}."
        )
    return np.array(counts, dtype=np.int64)


def _read_size(rle: Mapping[str, Any]) -> tuple[int, int]:
    if not isinstance(rle, Mapping) or not {"size", "counts"} <= set(rle):
        raise DataError('RLE: expected {"size": [height, width], "counts": ...}, got less.')
    size = list(rle["size"]) if isinstance(rle["size"], Sequence) else []
    if len(size) != 2 or not all(type(n) is int and n > 0 for n in size):
        raise DataError(
            f"RLE: expected size as [height, width], two whole numbers over 0, got {rle['size']}."
        )
    if size[0] * size[1] > LARGEST:
        raise DataError(f"RLE: expected at most {LARGEST} pixels, got {size[0]} x {size[1]}.")
    return size[0], size[1]


# -- outlines --------------------------------------------------------------------------------


def _outlines(framed: np.ndarray) -> list[np.ndarray]:
    """Outlines (corners, 2) as (x, y) of pixels that have an empty border; it is not counted.

    The corners of one row of the grid, taken in pairs, are its horizontal edges, and those of one
    column its vertical edges. Following both in turns gives the outlines.
    """
    q = framed.view(np.uint8)
    a, b, c, d = q[:-1, :-1], q[:-1, 1:], q[1:, :-1], q[1:, 1:]  # around each grid point
    touching = (a == d) & (b == c) & (a != b)  # two pixels meet at their corners only
    corners = ((a ^ b ^ c ^ d) == 1) | touching
    row, column = np.nonzero(corners)
    times = np.where(touching[row, column], 2, 1)
    row, column = np.repeat(row, times), np.repeat(column, times)
    # Where two pixels touch, the left edge continues so that the pixels stay apart.
    second = np.concatenate(([False], (row[1:] == row[:-1]) & (column[1:] == column[:-1])))
    first = np.concatenate((second[1:], [False]))
    swap = b[row, column] == 1
    rank = np.where(swap, first, second)
    by_column = np.lexsort((rank, row, column))
    across = np.arange(len(row)) ^ 1
    down = np.empty_like(across)
    down[by_column] = by_column[across]
    return [np.stack((column[o], row[o]), axis=1) for o in _circles(across, down)]


def _circles(across: np.ndarray, down: np.ndarray) -> list[np.ndarray]:
    """Follow the edges of both directions in turns until every corner is on one circle."""
    steps = (across.tolist(), down.tolist())
    seen = bytearray(len(across))
    circles = []
    for start in range(len(across)):
        circle, at, turn = [], start, 0
        while not seen[at]:
            seen[at] = 1
            circle.append(at)
            at, turn = steps[turn][at], 1 - turn
        if circle:
            circles.append(np.array(circle))
    return circles


def _crossings(polygon: Sequence[float], size: tuple[int, int]) -> np.ndarray:
    """Where an outline crosses the lines of pixel centres: the flat places in (H, W + 1) beyond."""
    height, width = size
    start = np.asarray(polygon, dtype=np.float64).reshape(-1, 2)
    stop = np.roll(start, -1, axis=0)
    start, stop = np.where((start[:, 1:] <= stop[:, 1:]), (start, stop), (stop, start))
    first = np.clip(np.ceil(start[:, 1] - 0.5), 0, height).astype(np.int64)
    last = np.clip(np.ceil(stop[:, 1] - 0.5), 0, height).astype(np.int64)  # not included
    count = last - first
    edge = np.repeat(np.arange(len(count)), count)
    rows = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count) + first[edge]
    rise = (stop - start)[edge]
    x = start[edge, 0] + (rows + 0.5 - start[edge, 1]) * rise[:, 0] / rise[:, 1]
    columns = np.clip(np.ceil(x - 0.5), 0, width).astype(np.int64)
    return rows * (width + 1) + columns


def _check_polygons(polygons: Sequence[Sequence[float]]) -> None:
    for polygon in polygons:
        if len(polygon) < 6 or len(polygon) % 2:
            raise DataError(
                f"polygon: expected x, y pairs of at least 3 corners, got {len(polygon)} numbers."
            )
        if not np.isfinite(polygon).all():
            raise DataError("polygon: expected finite numbers, got one that is not.")
