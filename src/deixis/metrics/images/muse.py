"""MUSE as PixelLM scores it: which prediction means which target, and what is left over.

A question has several targets. Predictions are paired with them by the cheapest sum of
cross-entropy and Dice, then compared as in `deixis.metrics.images.lisa`.

Shapes: M predicted logits and N true masks of (H, W) pixels, P points of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from deixis.metrics.images.labels import Counts, count_labels
from deixis.metrics.images.lisa import UNION_EPSILON, Float32Meter, soft_iou, tally_pairs
from deixis.metrics.matching import assign
from deixis.metrics.sums import Tally

POINTS = 12544  # at which PixelLM's matcher looks; their places are drawn anew every time


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """What one question came to.

    Attributes:
        partners: for each prediction the target that it is paired with, or None.
        pairs: counts of each pair: the matched ones in the order of predictions, then targets
            without a prediction, then predictions without a target.
        matched: whether each pair has both sides.
    """

    partners: tuple[int | None, ...]
    pairs: tuple[Counts, ...]
    matched: tuple[bool, ...]


def costs(logits: np.ndarray, true: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the costs (M, N) of every pair, cross-entropy and Dice, on the values (.., P) given.

    Args:
        logits: (M, H, W) or (M, P).
        true: (N, H, W) or (N, P).
    """
    if not len(logits) or not len(true):
        nothing = np.zeros((len(logits), len(true)))
        return nothing, nothing
    guess = logits.reshape(len(logits), -1).astype(np.float64)  # (M, P)
    target = true.reshape(len(true), -1).astype(np.float64)  # (N, P)
    negative = np.logaddexp(0, guess)  # of a pixel that should be 0
    entropy = (negative.sum(1)[:, None] - guess @ target.T) / guess.shape[1]
    share = 1 / (1 + np.exp(-guess))
    top = 2 * (share @ target.T) + 1
    bottom = share.sum(1)[:, None] + target.sum(1) + 1
    return entropy, 1 - top / bottom


def pair_up(
    logits: np.ndarray, true: np.ndarray, random: np.random.Generator | None = None
) -> tuple[int | None, ...]:
    """Return for each prediction (M, H, W) the target (N, H, W) that it is paired with, or None.

    Args:
        logits: the predictions, before any sigmoid.
        true: the targets, 0 or 1.
        random: draws PixelLM's 12,544 points, so that near-ties fall as they may; without one
            every pixel is looked at, and the same pairs come every time.
    """
    if random is not None:
        places = random.random((POINTS, 2))
        logits, true = sampled(logits, places), sampled(true, places)
    entropy, dice = costs(logits, true)
    partners: list[int | None] = [None] * len(entropy)
    for row, column in zip(*assign(-(entropy + dice)), strict=True):
        partners[row] = int(column)
    return tuple(partners)


def sampled(maps: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return maps (K, H, W) at places (P, 2) as (x, y) in [0, 1], as (K, P).

    Values lie at the centres of pixels and are blended linearly; beyond the image they are 0.
    """
    height, width = maps.shape[1:]
    framed = np.pad(maps.astype(np.float64), ((0, 0), (1, 1), (1, 1)))
    x, y = places[:, 0] * width + 0.5, places[:, 1] * height + 0.5  # in the frame
    left, top = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    right, low = x - left, y - top
    above = framed[:, top, left] * (1 - right) + framed[:, top, left + 1] * right
    below = framed[:, top + 1, left] * (1 - right) + framed[:, top + 1, left + 1] * right
    return above * (1 - low) + below * low


def compare(
    logits: np.ndarray, true: np.ndarray, partners: Sequence[int | None] | None = None
) -> Compared:
    """Compare the predictions (M, H, W) of one question with its targets (N, H, W).

    A prediction without a target is compared as raw logits, as published: only those in [0, 1]
    count, so a confident wrong mask has no pixel at all, and scores 1.

    Args:
        logits: the predictions, before any sigmoid.
        true: the targets, 0 or 1.
        partners: who is paired with whom; None: `pair_up` says.
    """
    partners = pair_up(logits, true) if partners is None else partners
    found = [(i, partner) for i, partner in enumerate(partners) if partner is not None]
    missed = [j for j in range(len(true)) if j not in {partner for _, partner in found}]
    surplus = [i for i, partner in enumerate(partners) if partner is None]
    empty = np.zeros(logits.shape[1:] if len(logits) else true.shape[1:], dtype=np.uint8)
    pairs = [count_labels(logits[i] > 0, true[j]) for i, j in found]
    pairs += [count_labels(empty, true[j]) for j in missed]
    pairs += [count_labels(logits[i], empty) for i in surplus]
    matched = [True] * len(found) + [False] * (len(missed) + len(surplus))
    return Compared(partners=tuple(partners), pairs=tuple(pairs), matched=tuple(matched))


def weight(questions: Sequence[tuple[int, int]]) -> int:
    """Return the weight of an image: the larger of its predictions and targets (M, N) in all."""
    return max(sum(m for m, _ in questions), sum(n for _, n in questions))


def measure(questions: Sequence[Compared], heavy: int) -> Tally:
    """Tally the questions of one image, which weighs so much, in exact sums."""
    parts = []
    for pair in (pair for compared in questions for pair in compared.pairs):
        shared, union = int(pair.intersection[1]), int(pair.union[1])
        parts.append(("giou", shared / (union + UNION_EPSILON) if union else 1.0, 0))
        parts.append(("ciou", shared, union))
    return Tally.of([*parts, ("giou", 0, heavy)])


def add_to_meter(meter: Float32Meter, questions: Sequence[Compared], heavy: int) -> np.ndarray:
    """Add one image to PixelLM's meter, in float32; return its mean IoU by class (2,)."""
    shared = np.zeros(2, dtype=np.float32)
    union, score = shared.copy(), shared.copy()
    for pair in (pair for compared in questions for pair in compared.pairs):
        shared += pair.intersection.astype(np.float32)
        union += pair.union.astype(np.float32)
        score += soft_iou(pair.intersection, pair.union)
    meter.add_sums(shared, union, score, heavy)
    return score / np.float32(heavy) if heavy else score


def measure_clean(logits: np.ndarray, true: np.ndarray) -> Tally:
    """Tally one question cleanly: pairs by the best sum of IoUs; whoever is left over counts 0."""
    return tally_pairs(true > 0, logits > 0)


def with_names(answer: str, slot: str, names: Sequence[str]) -> str:
    """Return an answer with a name in brackets in place of each slot: what a judge is to read.

    Slots beyond the names stay as they are.
    """
    pieces = answer.split(slot)
    for i in range(1, len(pieces)):
        pieces[i] = (f"({names[i - 1]})" if i <= len(names) else slot) + pieces[i]
    return "".join(pieces)
