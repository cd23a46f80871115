"""Masks packed once into 64-bit words, and IoU of many pairs of them by counting bits.

Shapes: N and M masks of (H, W) pixels, V = ceil(H * W / 64) words each.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from deixis.errors import ShapeError

WORD = 64


class PackedMasks:
    """N masks of one size as words (N, V), ready for any number of comparisons.

    Attributes:
        size: (height, width) of every mask.
        words: uint64 (N, V), the pixels row by row.
        areas: int64 (N,), pixels of each mask.

    Raises:
        ShapeError: not an array (N, H, W) of booleans.
    """

    def __init__(self, pixels: np.ndarray) -> None:
        pixels = np.asarray(pixels)
        if pixels.ndim != 3 or pixels.dtype != np.bool_:
            raise ShapeError(
                f"masks: expected booleans (N, H, W), got {pixels.dtype} of shape {pixels.shape}. "
                f"Stack masks of one size."
            )
        self.size = (int(pixels.shape[1]), int(pixels.shape[2]))
        words = -(-self.size[0] * self.size[1] // WORD)
        packed = np.zeros((len(pixels), words * WORD // 8), dtype=np.uint8)
        rows = np.packbits(pixels.reshape(len(pixels), self.size[0] * self.size[1]), axis=1)
        packed[:, : rows.shape[1]] = rows
        self.words = packed.view(np.uint64)  # (N, V)
        self.areas = np.bitwise_count(self.words).sum(1, dtype=np.int64)
        self._spans = [_span(row) for row in self.words]  # of the words that are not all empty
        self._scratch = np.empty(words, np.uint64), np.empty(words, np.uint8)

    def __len__(self) -> int:
        return len(self.words)

    def intersection(self, index: int, other: "PackedMasks", its: int) -> int:
        """Return how many pixels one of these masks shares with one of the others."""
        ours, theirs = self._spans[index], other._spans[its]
        start, stop = max(ours[0], theirs[0]), min(ours[1], theirs[1])
        if start >= stop:
            return 0
        shared, counts = self._scratch[0][: stop - start], self._scratch[1][: stop - start]
        np.bitwise_and(self.words[index, start:stop], other.words[its, start:stop], out=shared)
        return int(np.bitwise_count(shared, out=counts).sum(dtype=np.uint32))

    def iou(self, index: int, other: "PackedMasks", its: int) -> float:
        """Return the IoU of one of these masks with one of the others; 1 where both are empty."""
        shared = self.intersection(index, other, its)
        union = int(self.areas[index]) + int(other.areas[its]) - shared
        return shared / union if union else 1.0

    def intersections(self, other: "PackedMasks") -> np.ndarray:
        """Return how many pixels every mask shares with every one of the others, int64 (N, M).

        Raises:
            ShapeError: the masks belong to images of different sizes.
        """
        if self.size != other.size:
            raise ShapeError(f"masks: expected one size, got {self.size} and {other.size}.")
        shared = np.zeros((len(self), len(other)), dtype=np.int64)
        for i in range(len(self)):
            for j in range(len(other)):
                shared[i, j] = self.intersection(i, other, j)
        return shared

    def ious(self, other: "PackedMasks") -> np.ndarray:
        """Return the IoU of every mask with every one of the others, (N, M)."""
        return _quotients(self.intersections(other), self.areas, other.areas)


def rle_ious(one: Sequence[Mapping[str, Any]], other: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """Return the IoU (N, M) of masks in COCO's compressed RLE, without decoding any.

    Raises:
        ShapeError: the masks belong to images of different sizes.
    """
    from pycocotools import mask as coco  # slow to import, seldom needed

    sizes = {tuple(rle["size"]) for rle in (*one, *other)}
    if len(sizes) > 1:
        raise ShapeError(f"RLEs: expected masks of one size, got {sorted(sizes)}.")
    if not one or not other:
        return np.zeros((len(one), len(other)))
    ours, theirs = _as_bytes(one), _as_bytes(other)
    areas = coco.area(ours).astype(np.int64), coco.area(theirs).astype(np.int64)
    found = coco.iou(ours, theirs, [0] * len(theirs))  # (N, M)
    both_empty = (areas[0] == 0)[:, None] & (areas[1] == 0)
    return np.where(both_empty, 1.0, found)


def _as_bytes(rles: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return RLEs as pycocotools wants them."""
    counts = [rle["counts"] for rle in rles]
    texts = [text.encode("ascii") if isinstance(text, str) else text for text in counts]
    return [{"size": list(r["size"]), "counts": t} for r, t in zip(rles, texts, strict=True)]


def _span(words: np.ndarray) -> tuple[int, int]:
    """Return the half-open range of words outside which there is no pixel."""
    found = np.flatnonzero(words)
    return (int(found[0]), int(found[-1]) + 1) if found.size else (0, 0)


def _quotients(shared: np.ndarray, ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    union = ours[:, None] + theirs - shared
    return np.divide(shared, union, out=np.ones(union.shape), where=union > 0)
