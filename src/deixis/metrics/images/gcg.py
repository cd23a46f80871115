"""Grounded captions (GCG) as GLaMM scores them: masks found, and found with the right phrase.

Shapes: N true and M predicted masks of one image; IoUs are (N, M).
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from deixis.metrics.matching import assign
from deixis.metrics.packed import rle_ious
from deixis.metrics.sums import FAILED, Part, Tally

OVERLAP = 0.5  # IoU from which a mask is recalled
ALIKE = 0.5  # similarity from which a phrase is the same
UNNAMED = f"{FAILED}masks and phrases differ in number"

Similarity = Callable[[str, str], float]  # of a true and a predicted phrase, at most 1
Rles = Sequence[dict[str, Any]]


def measure(
    true: Rles,
    true_phrases: Sequence[str],
    predicted: Rles,
    phrases: Sequence[str],
    similarity: Similarity,
) -> Tally:
    """Tally one image: its greedy mean IoU, and how many true phrases are recalled.

    Where masks and phrases differ in number GLaMM's code fails after it has counted the true
    phrases; ours counts that failure by name, and those phrases as missed.

    Args:
        true: masks as COCO RLE, in the order of the annotations.
        true_phrases: their phrases.
        predicted: masks as COCO RLE.
        phrases: of the predicted masks.
        similarity: of two phrases.
    """
    return Tally.of(_measure(true, true_phrases, predicted, phrases, similarity))


def greedy_miou(ious: np.ndarray) -> float:
    """Return the mean IoU of pairs made by taking the best one again and again; 0 without one.

    What is left over costs nothing.
    """
    rest, found = ious.T.copy(), []  # predictions first: ties fall as in the published code
    while rest.size and rest.max() > 0:
        best = np.unravel_index(np.argmax(rest), rest.shape)
        found.append(rest[best])
        rest = np.delete(np.delete(rest, best[0], axis=0), best[1], axis=1)
    return float(np.mean(found)) if found else 0.0


def greedy_matches(
    ious: np.ndarray, alike: np.ndarray, overlap: float = OVERLAP, least: float = ALIKE
) -> list[tuple[int, int]]:
    """Return (true, predicted) pairs in the order in which they are found.

    The best IoU is taken again and again; the search ends at the first pair whose IoU or whose
    phrases are not good enough, even where later pairs would be.
    """
    ious, pairs = ious.copy(), []
    while ious.size:
        row, column = (int(i) for i in np.unravel_index(np.argmax(ious), ious.shape))
        if ious[row, column] < overlap or alike[row, column] < least:
            break
        pairs.append((row, column))
        ious[row, :] = 0
        ious[:, column] = 0
    return pairs


def measure_clean(
    true: Rles,
    true_phrases: Sequence[str],
    predicted: Rles,
    phrases: Sequence[str],
    similarity: Similarity,
) -> Tally:
    """Tally one image with the best pairs; masks left over count 0, and no good pair is missed."""
    ious = rle_ious(true, predicted)
    rows, columns = assign(ious)
    most = max(len(true), len(predicted))
    parts: list[Part] = [("miou", float(ious[rows, columns].sum()) / most if most else 1.0, 1)]
    if len(true) != len(true_phrases) or len(predicted) != len(phrases):
        return Tally.of([*parts, (UNNAMED, 1, 0), ("recall", 0, len(true_phrases))])
    good = (ious >= OVERLAP) & (similarities(true_phrases, phrases, similarity) >= ALIKE)
    rows, columns = assign(good.astype(np.float64))
    found = int(good[rows, columns].sum())
    return Tally.of([*parts, ("recall", found, len(true_phrases))])


def similarities(
    true: Sequence[str], predicted: Sequence[str], similarity: Similarity
) -> np.ndarray:
    """Return the similarity (N, M) of every two phrases."""
    rows = [[similarity(one, other) for other in predicted] for one in true]
    return np.array(rows, dtype=np.float64).reshape(len(true), len(predicted))


def _measure(
    true: Rles,
    true_phrases: Sequence[str],
    predicted: Rles,
    phrases: Sequence[str],
    similarity: Similarity,
) -> Iterable[Part]:
    ious = rle_ious(true, predicted)
    yield "miou", greedy_miou(ious), 1
    yield "recall", 0, len(true_phrases)
    if len(true) != len(true_phrases) or len(predicted) != len(phrases):
        yield UNNAMED, 1, 0
        return
    alike = similarities(true_phrases, phrases, similarity)
    yield "recall", len(greedy_matches(ious, alike)), 0
