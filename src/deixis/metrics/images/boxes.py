"""Boxes: IoU plain and generalised, and the scores of referring comprehension made from them.

Shapes: boxes are (x0, y0, x1, y1) in pixels, half-open; N and M of them are arrays (N, 4), (M, 4).
"""

from collections.abc import Sequence

import numpy as np

from deixis.metrics.matching import assign
from deixis.metrics.sums import Tally

Corners = Sequence[float] | np.ndarray

OVERLAP = 0.5  # IoU from which a box is right
SCORE = 0.7  # from which gRefCOCO's evaluator keeps a box
RANKS = (1, 5, 10)  # of MDETR's Precision@k


def tight_box(mask: np.ndarray) -> tuple[int, int, int, int] | None:
    """Return the half-open box around the pixels (H, W) that are set; None if there is none."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not rows.size:
        return None
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def corners(box: Corners) -> tuple[float, float, float, float]:
    """Return the corners of a box given as (x, y, width, height)."""
    x, y, width, height = (float(value) for value in box)
    return x, y, x + width, y + height


def box_iou(one: Corners, other: Corners) -> float:
    """Return the IoU of two boxes; 0 where neither has an area."""
    return float(box_ious([one], [other])[0, 0])


def box_ious(ours: Sequence[Corners], theirs: Sequence[Corners]) -> np.ndarray:
    """Return the IoU (N, M) of boxes; 0 where neither has an area."""
    shared, union, _ = _overlaps(ours, theirs)
    return np.divide(shared, union, out=np.zeros_like(union), where=union > 0)


def generalised_ious(ours: Sequence[Corners], theirs: Sequence[Corners]) -> np.ndarray:
    """Return the generalised IoU (N, M): the IoU, less the empty share of the box around both."""
    shared, union, around = _overlaps(ours, theirs)
    plain = np.divide(shared, union, out=np.zeros_like(union), where=union > 0)
    empty = np.divide(around - union, around, out=np.zeros_like(union), where=around > 0)
    return plain - empty


def measure_grec(
    true: Sequence[Corners],
    predicted: Sequence[Corners],
    scores: Sequence[float],
    *,
    no_target: bool,
    keep: float = SCORE,
    overlap: float = OVERLAP,
    enough: float = 1.0,
) -> Tally:
    """Tally one expression of gRefCOCO as its box evaluator does (GREC).

    Boxes are kept by score and paired greedily by the generalised IoU.

    Args:
        true: boxes; whatever they are, none counts where there is no target.
        predicted: boxes, with their scores.
        scores: of the predicted boxes.
        no_target: whether the expression means nothing in the image.
        keep: score from which a box is kept.
        overlap: IoU down to which boxes are paired.
        enough: F1 from which the expression counts as right.
    """
    kept = _kept(predicted, scores, float(np.float32(keep)), np.float32)
    pairs = _greedy_pairs(
        generalised_ious(kept, true).astype(np.float32), float(np.float32(overlap))
    )
    return _grec(pairs, len(kept), len(true), no_target, enough)


def measure_grec_clean(
    true: Sequence[Corners],
    predicted: Sequence[Corners],
    scores: Sequence[float],
    *,
    no_target: bool,
    keep: float = SCORE,
    overlap: float = OVERLAP,
    enough: float = 1.0,
) -> Tally:
    """Tally one expression with the plain IoU and the best pairs; arguments as `measure_grec`."""
    kept = _kept(predicted, scores, keep, np.float64)
    right = box_ious(kept, true) >= overlap
    rows, columns = assign(right.astype(np.float64))
    return _grec(int(right[rows, columns].sum()), len(kept), len(true), no_target, enough)


def measure_precision(
    true: Corners,
    predicted: Sequence[Corners],
    scores: Sequence[float],
    ranks: Sequence[int] = RANKS,
    overlap: float = OVERLAP,
) -> Tally:
    """Tally one expression as MDETR's Precision@k: a hit if one of the best k boxes is right.

    Right is a generalised IoU of 0.5; boxes are ranked by score, then by coordinates, both falling.
    """
    order = sorted(range(len(scores)), key=lambda i: (scores[i], list(predicted[i])), reverse=True)
    found = generalised_ious([predicted[i] for i in order], [true])
    return _precision(found >= overlap, ranks)


def measure_precision_clean(
    true: Corners,
    predicted: Sequence[Corners],
    scores: Sequence[float],
    ranks: Sequence[int] = RANKS,
    overlap: float = OVERLAP,
) -> Tally:
    """Tally Precision@k with the plain IoU, boxes ranked by score alone, in the order given."""
    order = sorted(range(len(scores)), key=lambda i: -scores[i])
    return _precision(box_ious([predicted[i] for i in order], [true]) >= overlap, ranks)


def measure_accuracy(true: Corners, predicted: Corners | None, *, above: bool = False) -> Tally:
    """Tally Acc@0.5 of one box: an IoU of at least 0.5, or ``above`` it, as Seg-Zero asks."""
    found = 0.0 if predicted is None else box_iou(predicted, true)
    return Tally.of([("box_accuracy", found > OVERLAP if above else found >= OVERLAP, 1)])


def _kept(
    boxes: Sequence[Corners], scores: Sequence[float], keep: float, kind: type[np.floating]
) -> list[Corners]:
    """Return the boxes whose score, in that precision, is high enough; best first."""
    ranked = sorted(zip(scores, map(list, boxes), strict=True), reverse=True)
    return [box for score, box in ranked if kind(score) >= keep]


def _greedy_pairs(ious: np.ndarray, least: float) -> int:
    """Return how many pairs (N, M) are made by taking the best one again and again."""
    ious, pairs = ious.copy(), 0
    for _ in range(min(ious.shape)):
        best = np.unravel_index(np.argmax(ious), ious.shape)
        if ious[best] < least:
            break
        ious[best[0], :] = 0
        ious[:, best[1]] = 0
        pairs += 1
    return pairs


def _grec(pairs: int, kept: int, true: int, no_target: bool, enough: float) -> Tally:
    if no_target:
        return Tally.of([("f1_score", kept == 0, 1), ("n_acc", kept == 0, 1)])
    f1 = 2 * pairs / (kept + true) if kept + true else 1.0
    return Tally.of([("f1_score", f1 >= enough, 1), ("t_acc", kept > 0, 1)])


def _precision(hits: np.ndarray, ranks: Sequence[int]) -> Tally:
    return Tally.of((f"precision@{k}", bool(hits[:k].any()), 1) for k in ranks)


def _overlaps(
    ours: Sequence[Corners], theirs: Sequence[Corners]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return intersections, unions and the areas around both, each (N, M)."""
    a = np.asarray(ours, dtype=np.float64).reshape(-1, 1, 4)
    b = np.asarray(theirs, dtype=np.float64).reshape(1, -1, 4)
    shared = _area(np.maximum(a[..., :2], b[..., :2]), np.minimum(a[..., 2:], b[..., 2:]))
    areas = _area(a[..., :2], a[..., 2:]) + _area(b[..., :2], b[..., 2:])
    around = _area(np.minimum(a[..., :2], b[..., :2]), np.maximum(a[..., 2:], b[..., 2:]))
    return shared, areas - shared, around


def _area(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    return np.clip(high - low, 0, None).prod(-1)
