"""Which predicted target answers which true one: the Hungarian method on the targets' IoU.

A target that finds no partner is paired with nothing: it is compared with an empty target.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from deixis.errors import DataError, ShapeError
from deixis.metrics.overlap import area, iou, overlap, visible_frames, visible_targets
from deixis.structures.answers import GroundedAnswer, Target

TIE_BREAK = 1e-9  # among pairings of equal IoU, prefer those that agree on the frames


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A true target and the predicted one that answers it; one side may be missing."""

    true: Target | None
    predicted: Target | None
    intersection: int
    union: int

    @property
    def iou(self) -> float:
        """Intersection over union, summed over frames; 0 where one side is missing."""
        return iou(self.intersection, self.union)

    @property
    def matched(self) -> bool:
        """Whether both sides are there."""
        return self.true is not None and self.predicted is not None


def match(truth: GroundedAnswer, predicted: GroundedAnswer) -> tuple[Pair, ...]:
    """Return every true and every predicted target exactly once, in pairs or alone.

    As many pairs are made as the shorter side allows, so that their IoUs add up to the most.
    """
    true, guesses = visible_targets(truth), visible_targets(predicted)
    overlaps = [[overlap(a, b) for b in guesses] for a in true]
    rows, columns = _assign(true, guesses, overlaps)
    pairs = [
        Pair(
            true=true[row],
            predicted=guesses[column],
            intersection=overlaps[row][column][0],
            union=overlaps[row][column][1],
        )
        for row, column in zip(rows, columns, strict=True)
    ]
    missed = [target for i, target in enumerate(true) if i not in rows]
    surplus = [target for i, target in enumerate(guesses) if i not in columns]
    pairs += [Pair(true=t, predicted=None, intersection=0, union=area(t)) for t in missed]
    pairs += [Pair(true=None, predicted=t, intersection=0, union=area(t)) for t in surplus]
    return tuple(pairs)


def assign(gain: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows and columns of the one-to-one assignment with the largest sum of gains.

    As many pairs are made as the shorter side (N, M) allows; rows are in order.

    Raises:
        ShapeError: not a matrix.
        DataError: a gain that is not a number.
    """
    if gain.ndim != 2:
        raise ShapeError(f"gains: expected a matrix (N, M), got shape {gain.shape}.")
    if np.isnan(gain).any():
        raise DataError("gains: expected numbers, got one that is none. Check the masks' sizes.")
    if 0 in gain.shape:
        return np.zeros(0, dtype=np.intp), np.zeros(0, dtype=np.intp)
    best = gain.argmax(1)
    if len(np.unique(best)) == len(best):  # everyone's favourite is free: nothing can be better
        return np.arange(len(best)), best
    from scipy.optimize import linear_sum_assignment  # slow to import, seldom needed

    rows, columns = linear_sum_assignment(gain, maximize=True)
    return rows, columns


def _assign(
    true: Sequence[Target], guesses: Sequence[Target], overlaps: list[list[tuple[int, int]]]
) -> tuple[list[int], list[int]]:
    """Return the rows and columns of the best one-to-one assignment."""
    if not true or not guesses:
        return [], []
    gain = np.array([[iou(*pair) for pair in row] for row in overlaps])  # (true, predicted)
    frames = [visible_frames(guess) for guess in guesses]
    gain += [[TIE_BREAK * (visible_frames(a) == b) for b in frames] for a in true]
    rows, columns = assign(gain)
    return rows.tolist(), columns.tolist()
